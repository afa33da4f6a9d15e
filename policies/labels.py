"""Our labels, annotations and names in Kubernetes."""

API_GROUP = "osfaas.dev"
API_VERSION = "v1alpha1"
TENANT_PLURAL = "tenants"
TENANT_KIND = "Tenant"
FUNCTION_KIND = "Function"
FUNCTION_PLURAL = "functions"
SECRET_KIND = "FunctionSecret"  # noqa: S105 - names
SECRET_PLURAL = "functionsecrets"  # noqa: S105
TRIGGER_KIND = "FunctionTrigger"
TRIGGER_PLURAL = "functiontriggers"

# The field manager of server-side apply; an object that it has never written is not ours.
FIELD_MANAGER = "osfaas-controller"

# On every object that the controller created, tenants' namespaces included.
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY_US = "osfaas"
# On a tenant's namespace and everything in it that is ours: the name of the Tenant record.
TENANT = "osfaas.dev/tenant"
# On a tenant's namespace: the Keystone project (a label value cannot hold every id, an annotation can).
PROJECT_ANNOTATION = "osfaas.dev/project-id"
# On a tenant's namespace: L1 to L5. The admission policies read it. On pods of the catalogue's functions: the level at
# which they were created.
ISOLATION = "osfaas.dev/isolation"
# On a Knative Service of a tenant: "true" makes it reachable through /v1/invoke.
CALLABLE = "osfaas.dev/callable"
# On such a Knative Service: "true" if it takes objects as inputs and outputs.
OBJECTS = "osfaas.dev/objects"
# On a Knative Service that was made from a `Function` object of the tenant, and on its pods.
OWN_FUNCTION = "osfaas.dev/function"
# On the Job that builds an own function, and on its pods: the function's name.
BUILD = "osfaas.dev/build"
# On such a Job: which build of the function it is (`policies.own_build.build_key`).
BUILD_KEY = "osfaas.dev/build-key"
# On pods of own functions: the RuntimeClass of the sandbox in which they run, if the platform has one.
SANDBOX = "osfaas.dev/sandbox"
# On the namespaces of gateway and controller.
SYSTEM = "osfaas.dev/system"
# On the namespace of the monitoring: its pods may scrape our metrics.
MONITORING = "osfaas.dev/monitoring"

# Knative's labels: the visibility of a Knative Service, and the Service of a pod, a revision or a Kubernetes Service.
KNATIVE_VISIBILITY = "networking.knative.dev/visibility"
CLUSTER_LOCAL = "cluster-local"
KNATIVE_SERVICE = "serving.knative.dev/service"
# Set by Kubernetes on every namespace; immutable.
NAMESPACE_NAME = "kubernetes.io/metadata.name"
