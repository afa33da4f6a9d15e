"""Identities inside a tenant's namespace: one service account, which may do nothing and hands out no token, and the
controller's right to see and to end the pods there.
"""

from policies.metadata import tenant_metadata
from policies.model import Manifest, Platform, TenantSpec

# Kubernetes makes it in every namespace; server-side apply only turns its token off. It has no binding.
SERVICE_ACCOUNT = "default"
# Of manifests/controller/access.yaml. Bound in tenants' namespaces only: pods of others show their variables.
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
    """The RoleBinding by which the controller sees pods and Deployments of this namespace, and ends its pods."""
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
