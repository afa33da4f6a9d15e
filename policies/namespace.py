"""The namespace of a tenant."""

from policies.labels import ISOLATION, PROJECT_ANNOTATION
from policies.mesh import INJECTION_LABEL, has_sidecars
from policies.metadata import tenant_labels
from policies.model import Manifest, Platform, TenantSpec

# Without a version, the cluster's newest rules apply. Enforced for pods; audit and warn report violations on their
# controllers (Deployments, Knative Services).
_POD_SECURITY = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


def build_namespace(spec: TenantSpec, platform: Platform) -> Manifest:
    """The Namespace; admission policies read its isolation label, network policies of others its name."""
    injection = {INJECTION_LABEL: "enabled" if has_sidecars(spec, platform) else "disabled"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": spec.namespace,
            "labels": {
                **tenant_labels(spec),
                ISOLATION: spec.isolation.value,
                **_POD_SECURITY,
                **injection,
            },
            "annotations": {PROJECT_ANNOTATION: spec.project_id},
        },
    }
