"""The kinds of Kubernetes objects that the controller and the directory work with."""

from policies.labels import API_GROUP, API_VERSION, FUNCTION_KIND, SECRET_KIND, TENANT_KIND, TRIGGER_KIND
from tenancy.kubernetes.client import Kind

TENANTS = Kind(f"{API_GROUP}/{API_VERSION}", TENANT_KIND)
FUNCTIONS = Kind(f"{API_GROUP}/{API_VERSION}", FUNCTION_KIND)
FUNCTION_SECRETS = Kind(f"{API_GROUP}/{API_VERSION}", SECRET_KIND)
SECRET = Kind("v1", "Secret")
TRIGGERS = Kind(f"{API_GROUP}/{API_VERSION}", TRIGGER_KIND)
NAMESPACE = Kind("v1", "Namespace")
RESOURCE_QUOTA = Kind("v1", "ResourceQuota")
LIMIT_RANGE = Kind("v1", "LimitRange")
KNATIVE_SERVICE = Kind("serving.knative.dev/v1", "Service")
REVISION = Kind("serving.knative.dev/v1", "Revision")
POD_AUTOSCALER = Kind("autoscaling.internal.knative.dev/v1alpha1", "PodAutoscaler")
DEPLOYMENT = Kind("apps/v1", "Deployment")
POD = Kind("v1", "Pod")
JOB = Kind("batch/v1", "Job")
SECRET = Kind("v1", "Secret")

# Kinds of our objects in a tenant's namespace. Other kinds are never read, and so never deleted. The controller's role
# (manifests/controller/access.yaml) must allow all of them: one forbidden list stops every reconcile.
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

# Ours as well, but for builds: read in tenants' namespaces only, where a RoleBinding allows it, and never watched.
BUILD_KINDS = (SECRET, JOB)

# Knative's labels on the objects of a Service and of a revision.
SERVICE_LABEL = "serving.knative.dev/service"
REVISION_LABEL = "serving.knative.dev/revision"
