"""All objects of the platform besides Istio, Knative and our own Deployments, in the order of application."""

from policies.admission_objects import build_object_admission
from policies.admission_pods import build_pod_admission
from policies.mesh import build_gateway_authorization, build_knative_mesh, build_revision_field
from policies.model import Manifest, Platform
from policies.platform_network import build_platform_network_policies


def platform_manifests(platform: Platform) -> tuple[Manifest, ...]:
    """NetworkPolicies and AuthorizationPolicies in Istio's and Knative's namespaces, and the admission policies."""
    return (
        *build_platform_network_policies(platform),
        *build_gateway_authorization(platform),
        build_revision_field(platform),
        *build_knative_mesh(platform),
        *build_pod_admission(platform),
        *build_object_admission(platform),
    )
