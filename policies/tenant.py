"""All objects of one tenant, in the order in which they are applied."""

from policies.access import build_service_account
from policies.errors import PolicyError
from policies.function import build_function
from policies.mesh import build_tenant_mesh
from policies.model import CatalogueFunction, IsolationLevel, Manifest, Platform, TenantSpec
from policies.namespace import build_namespace
from policies.network import build_network_policies
from policies.quota import build_limit_range, build_quota, require_room


def tenant_manifests(spec: TenantSpec, platform: Platform) -> tuple[Manifest, ...]:
    """The objects that the tenant has, the namespace first, what runs last.

    A suspended tenant has no Knative Service: without it there is no route and no pod, and a resume makes the same one
    again from the catalogue, which holds all of its state. The controller removes Knative Services of its own that are
    not in the answer. Until it has, the quota allows no new pod and no call gets in, so that pods sleep all the same.

    Raises:
        PolicyError: an unknown function, a level that the platform cannot give, or limits too small for one pod.
    """
    require_level(spec, platform)
    functions = _functions(spec, platform)
    return (
        build_namespace(spec, platform),
        build_service_account(spec),
        build_quota(spec, platform),
        build_limit_range(spec, platform),
        *build_network_policies(spec, platform),
        *build_tenant_mesh(spec, platform),
        *(build_function(spec, platform, function) for function in functions if spec.suspended is None),
    )


def require_level(spec: TenantSpec, platform: Platform) -> None:
    """Raises PolicyError when the platform cannot give the level."""
    if spec.isolation >= IsolationLevel.L4 and platform.sandbox_runtime_class is None:
        raise PolicyError(
            f"level {spec.isolation.value} needs a sandboxed runtime (gVisor or Kata), and this platform names no"
            " RuntimeClass; set one in the platform file or choose L3"
        )


def _functions(spec: TenantSpec, platform: Platform) -> tuple[CatalogueFunction, ...]:
    unknown = sorted(set(spec.functions) - set(platform.functions))
    if unknown:
        known = ", ".join(sorted(platform.functions)) or "none"
        raise PolicyError(f"the platform has no function {', '.join(unknown)}; its catalogue has: {known}")
    functions = tuple(platform.functions[name] for name in dict.fromkeys(spec.functions))
    for function in functions:
        require_room(function, spec.limits)
    return functions
