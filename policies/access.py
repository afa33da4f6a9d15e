"""Identities in a tenant's namespace: an unprivileged service account, and the RoleBindings of the control plane."""

from policies.metadata import tenant_metadata
from policies.model import Manifest, Platform, TenantSpec

# Kubernetes creates it in every namespace; server-side apply only disables its token. It has no binding.
SERVICE_ACCOUNT = "default"
# From manifests/controller/access.yaml. Bound in tenants' namespaces only: pods expose their environment variables.
CONTROLLER_ROLE = "osfaas-controller-in-tenants"
# From manifests/functions-api/access.yaml; bound likewise.
FUNCTIONS_API_ROLE = "osfaas-functions-api-in-tenants"


def build_service_account(spec: TenantSpec) -> Manifest:
    """The default ServiceAccount without a token for pods."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": tenant_metadata(spec, SERVICE_ACCOUNT),
        "automountServiceAccountToken": False,
    }


def build_controller_binding(spec: TenantSpec, platform: Platform) -> Manifest:
    """The RoleBinding that lets the controller list pods, Deployments and revisions of this namespace, delete pods, and
    report on `Function` objects.
    """
    return _binding(spec, platform, CONTROLLER_ROLE, platform.controller_account)


def build_functions_api_binding(spec: TenantSpec, platform: Platform) -> Manifest:
    """The RoleBinding that lets `/v1/functions` write `Function` objects of this namespace, and read logs in it."""
    return _binding(spec, platform, FUNCTIONS_API_ROLE, platform.functions_api_account)


def _binding(spec: TenantSpec, platform: Platform, role: str, account: str) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": tenant_metadata(spec, role),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": platform.system_namespace}],
    }
