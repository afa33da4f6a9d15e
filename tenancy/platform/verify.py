"""Verifies the platform: all Deployments are available, and a function of a scratch tenant responds."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from policies.metadata import tenant_labels
from policies.model import Platform, TenantSpec
from policies.names import ProjectId, function_host
from policies.tenant import tenant_manifests
from tenancy.kubernetes.client import Cluster, Kind, Ref
from tenancy.platform.errors import PlatformError
from tenancy.platform.probes import NAMESPACE, HttpProbe, run_probe
from tenancy.platform.rollout import Rollout
from tenancy.platform.sources import apply_phases

KNATIVE_SERVICE = Kind("serving.knative.dev/v1", "Service")


def verify_platform(rollout: Rollout, platform: Platform, *, function: str, image: str) -> None:
    """Runs the verification and reports each step with its duration.

    Args:
        rollout: the cluster and the report.
        platform: its description.
        function: of the catalogue; its health path is requested.
        image: of the probe pod; needs `python3`.

    Raises:
        PlatformError: a step failed; says why.
    """
    for namespace in (platform.istio_namespace, platform.knative_namespace, platform.system_namespace):
        with rollout.step(f"Deployments of {namespace} available"):
            rollout.wait_for_deployments(namespace)
    if function not in platform.functions:
        raise PlatformError(
            f"the catalogue has no function {function}; its functions: {', '.join(platform.functions) or 'none'}"
        )
    spec = TenantSpec(ProjectId(f"verify{secrets.token_hex(4)}"), "osfaas platform verify", functions=(function,))
    with scratch_tenant(rollout, platform, spec):
        with rollout.step(f"function {function} of a scratch tenant Ready"):
            rollout.wait(f"function {function}", lambda: _not_ready(rollout.cluster, spec, function))
        health = platform.functions[function].health_path
        probe = HttpProbe(platform.local_gateway_url + health, function_host(function, spec.namespace), seconds=30.0)
        with rollout.step(f"{probe.host}{health} responds through the local gateway"):
            said = run_probe(
                rollout.cluster, platform.system_namespace, image, probe, labels=platform.gateway_labels,
                start_seconds=rollout.wait_seconds,
            )  # fmt: skip
            if said != "answered 200":
                raise PlatformError(f"the request to the function through the local gateway failed: {said}")


@contextmanager
def scratch_tenant(rollout: Rollout, platform: Platform, spec: TenantSpec) -> Iterator[None]:
    """Creates a tenant's objects without a record; the controller ignores objects that it has not applied."""
    cluster = rollout.cluster
    try:
        with rollout.step(f"scratch tenant {spec.namespace}"):
            rollout.apply(apply_phases(tenant_manifests(spec, platform)))
        yield
    finally:
        ref = Ref(NAMESPACE, "", spec.namespace)
        made = cluster.get(ref)
        if made is not None and tenant_labels(spec).items() <= made["metadata"].get("labels", {}).items():
            cluster.delete(ref, uid=made["metadata"]["uid"])


def _not_ready(cluster: Cluster, spec: TenantSpec, function: str) -> str:
    service = cluster.get(Ref(KNATIVE_SERVICE, spec.namespace, function))
    conditions = (service or {}).get("status", {}).get("conditions", ())
    for condition in conditions:
        if condition["type"] == "Ready":
            if condition["status"] == "True":
                return ""
            return f"{condition.get('reason', '')} {condition.get('message', '')}".strip() or "not Ready"
    return "Knative has not reconciled it yet"
