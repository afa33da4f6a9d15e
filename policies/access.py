"""Identities inside a tenant's namespace: one service account, which may do nothing and hands out no token."""

from policies.metadata import tenant_metadata
from policies.model import Manifest, TenantSpec

# Kubernetes makes it in every namespace; server-side apply only turns its token off. It has no binding.
SERVICE_ACCOUNT = "default"


def build_service_account(spec: TenantSpec) -> Manifest:
    """The default ServiceAccount without a token for pods."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": tenant_metadata(spec, SERVICE_ACCOUNT),
        "automountServiceAccountToken": False,
    }
