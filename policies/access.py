"""Identities in a tenant's namespace: an unprivileged service account, and the controller's RoleBinding."""

from policies.metadata import tenant_metadata
from policies.model import Manifest, Platform, TenantSpec

# Kubernetes creates it in every namespace; server-side apply only disables its token. It has no binding.
SERVICE_ACCOUNT = "default"
# From manifests/controller/access.yaml. Bound in tenants' namespaces only: pods expose their environment variables.
CONTROLLER_ROLE = "osfaas-controller-in-tenants"


def build_service_account(spec: TenantSpec) -> Manifest:
    """The default ServiceAccount without a token for pods."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": tenant_metadata(spec, SERVICE_ACCOUNT),
        "automountServiceAccountToken": False,
    }


def build_controller_binding(spec: TenantSpec, platform: Platform) -> Manifest:
    """The RoleBinding that lets the controller list pods and Deployments of this namespace, and delete pods."""
    account = {
        "kind": "ServiceAccount",
        "name": platform.controller_account,
        "namespace": platform.system_namespace,
    }
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": tenant_metadata(spec, CONTROLLER_ROLE),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": CONTROLLER_ROLE},
        "subjects": [account],
    }
