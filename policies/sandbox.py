"""Which pods run in the sandboxed runtime: the one decision that builders, admission and reports share."""

from policies.model import IsolationLevel, Platform


def sandbox_of(level: IsolationLevel, platform: Platform, *, tenant_code: bool) -> str | None:
    """RuntimeClass of a pod of a tenant, or None for the node's default runtime.

    Args:
        level: of the tenant.
        platform: the cluster.
        tenant_code: whether the pod runs code that the operator has not chosen: a function of the tenant's own, or its
            build. Such code is in the sandbox at every level, unless the platform file says otherwise.
    """
    if level >= IsolationLevel.L4 or (tenant_code and platform.sandbox_own_functions):
        return platform.sandbox_runtime_class
    return None
