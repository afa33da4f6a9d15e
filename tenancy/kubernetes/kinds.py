"""The kinds of Kubernetes objects that the controller and the directory work with."""

from policies.labels import API_GROUP, API_VERSION, TENANT_KIND
from tenancy.kubernetes.client import Kind

TENANTS = Kind(f"{API_GROUP}/{API_VERSION}", TENANT_KIND)
NAMESPACE = Kind("v1", "Namespace")
RESOURCE_QUOTA = Kind("v1", "ResourceQuota")
LIMIT_RANGE = Kind("v1", "LimitRange")
KNATIVE_SERVICE = Kind("serving.knative.dev/v1", "Service")
DEPLOYMENT = Kind("apps/v1", "Deployment")
POD = Kind("v1", "Pod")

# What a tenant's namespace may contain of ours. Nothing of another kind is ever looked at, and so never removed. The
# controller's role (manifests/controller/access.yaml) has to allow all of it: one refused list stops every round.
OWNED_KINDS = (
    RESOURCE_QUOTA,
    LIMIT_RANGE,
    Kind("v1", "ServiceAccount"),
    Kind("rbac.authorization.k8s.io/v1", "RoleBinding"),
    Kind("networking.k8s.io/v1", "NetworkPolicy"),
    Kind("security.istio.io/v1", "AuthorizationPolicy"),
    Kind("security.istio.io/v1", "PeerAuthentication"),
    KNATIVE_SERVICE,
)

# Knative puts it on everything that belongs to one of its Services.
SERVICE_LABEL = "serving.knative.dev/service"
