"""Admission of objects in tenants' namespaces: kinds and labels that only the platform may write."""

from policies.admission import TENANT_NAMESPACES, Rule, exempt, mutating, quoted, quoted_list, resources, validating
from policies.labels import (
    CLUSTER_LOCAL,
    ISOLATION,
    KNATIVE_VISIBILITY,
    MANAGED_BY,
    MONITORING,
    PROJECT_ANNOTATION,
    SYSTEM,
    TENANT,
)
from policies.mesh import INJECTION_LABEL
from policies.model import Manifest, Platform
from policies.own_function_secrets import OBJECT_PREFIX, SECRET_TYPE

_PROTECTED_LABELS = (
    MANAGED_BY,
    TENANT,
    ISOLATION,
    INJECTION_LABEL,
    "istio.io/rev",
    "istio.io/dataplane-mode",
    # Routes the traffic of the namespace through an arbitrary proxy.
    "istio.io/use-waypoint",
    "istio.io/use-waypoint-namespace",
    "istio.io/ingress-use-waypoint",
    # Opens the metrics of the platform, and its gateway, to the pods of the namespace.
    MONITORING,
    SYSTEM,
    "pod-security.kubernetes.io/enforce",
    "pod-security.kubernetes.io/enforce-version",
)
# Kinds that route or authorise traffic, or open the network past the NetworkPolicies.
_FORBIDDEN_KINDS = (
    resources("networking.istio.io", "*"),
    resources("security.istio.io", "*"),
    resources("extensions.istio.io", "*"),
    resources("telemetry.istio.io", "*"),
    resources("gateway.networking.k8s.io", "*"),
    resources("networking.k8s.io", "ingresses"),
    # They are additive: one that allows everything undoes the default deny. Deleting ours opens the namespace until
    # the controller recreates it.
    resources("networking.k8s.io", "networkpolicies", operations=("CREATE", "UPDATE", "DELETE")),
    resources("networking.internal.knative.dev", "*"),
    resources("serving.knative.dev", "domainmappings"),
    # With these a tenant could direct the ingress, which may connect to every namespace, to another tenant's pods.
    resources("", "endpoints"),
    resources("discovery.k8s.io", "endpointslices"),
    resources("cilium.io", "ciliumnetworkpolicies"),
    resources("projectcalico.org", "networkpolicies"),
    resources("crd.projectcalico.org", "networkpolicies"),
)
# Kubernetes itself writes Endpoints and EndpointSlices for every Service, under one of these two identities.
_KUBERNETES = (
    "request.userInfo.username == 'system:kube-controller-manager'"
    " || 'system:serviceaccounts:kube-system' in request.userInfo.?groups.orValue([])"
)


def build_object_admission(platform: Platform) -> tuple[Manifest, ...]:
    """Validating policies on kinds, Services, Knative Services and the namespaces themselves."""
    return (
        *_kinds(platform),
        *_services(platform),
        *_knative_services(),
        *_namespaces(platform),
        *_function_secrets(platform),
    )


def _kinds(platform: Platform) -> tuple[Manifest, ...]:
    match = {"namespaceSelector": TENANT_NAMESPACES, "resourceRules": list(_FORBIDDEN_KINDS)}
    kubernetes = {"name": "not-of-kubernetes", "expression": f"!({_KUBERNETES})"}
    rule = Rule("false", "only the platform may write objects of this kind in a tenant's namespace")
    return validating("osfaas-kinds", match, [rule], [*exempt(platform), kubernetes])


def _services(platform: Platform) -> tuple[Manifest, ...]:
    """Knative's controller creates one ExternalName Service for each Knative Service; it is exempt."""
    match = {"namespaceSelector": TENANT_NAMESPACES, "resourceRules": [resources("", "services")]}
    rules = [
        Rule(
            "object.spec.?type.orValue('ClusterIP') == 'ClusterIP'",
            "a Service in a tenant's namespace must have the type ClusterIP",
        ),
        Rule("size(object.spec.?externalIPs.orValue([])) == 0", "a tenant's Service must not have externalIPs"),
    ]
    return validating("osfaas-services", match, rules, exempt(platform))


def _knative_services() -> tuple[Manifest, ...]:
    """Nobody is exempt: no function of a tenant has a name outside the cluster.

    An object without the label, as in plain Knative manifests, gets the only allowed visibility; one with another value
    is rejected, not changed.
    """
    match = {
        "namespaceSelector": TENANT_NAMESPACES,
        "resourceRules": [resources("serving.knative.dev", "services", "routes")],
    }
    key, value = quoted(KNATIVE_VISIBILITY), quoted(CLUSTER_LOCAL)
    label = (
        "has(object.metadata.labels)"
        f" ? [JSONPatch{{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey({key}), value: {value}}}]"
        f" : [JSONPatch{{op: 'add', path: '/metadata/labels', value: {{{key}: {value}}}}}]"
    )
    unset = {"name": "has-no-visibility", "expression": f"!({key} in object.metadata.?labels.orValue({{}}))"}
    rule = Rule(
        f"object.metadata.?labels[?{quoted(KNATIVE_VISIBILITY)}].orValue('') == {quoted(CLUSTER_LOCAL)}",
        f"Knative Services and Routes of tenants need the label {KNATIVE_VISIBILITY}={CLUSTER_LOCAL}",
    )
    name = "osfaas-visibility"
    patch = {"patchType": "JSONPatch", "jsonPatch": {"expression": label}}
    return (*mutating(name, match, [patch], [unset]), *validating(name, match, [rule]))


def _namespaces(platform: Platform) -> tuple[Manifest, ...]:
    """The selector matches the old or the new object, so removing the label is an update that matches too."""
    match = {"objectSelector": TENANT_NAMESPACES, "resourceRules": [resources("", "namespaces")]}
    same_labels = (
        f"request.operation == 'UPDATE' && {quoted_list(_PROTECTED_LABELS)}.all(key,"
        " object.metadata.?labels[?key].orValue('') == oldObject.metadata.?labels[?key].orValue(''))"
    )
    annotation = quoted(PROJECT_ANNOTATION)
    same_project = (
        f"request.operation == 'UPDATE' && object.metadata.?annotations[?{annotation}].orValue('')"
        f" == oldObject.metadata.?annotations[?{annotation}].orValue('')"
    )
    rules = [
        Rule(same_labels, "only the platform may write the labels that determine a tenant's isolation"),
        Rule(same_project, "only the platform may write the project of a namespace"),
    ]
    return validating("osfaas-namespaces", match, rules, exempt(platform))


def _function_secrets(platform: Platform) -> tuple[Manifest, ...]:
    """RBAC knows no prefixes of names: /v1/secrets may make and delete its own Secrets, and no others.

    It cannot read any, by RBAC. An update would answer with the values, so it may make none.
    """
    account = f"system:serviceaccount:{platform.system_namespace}:{platform.functions_api_account}"
    match = {
        "namespaceSelector": TENANT_NAMESPACES,
        "resourceRules": [resources("", "secrets", operations=("CREATE", "UPDATE", "DELETE"))],
    }
    condition = {"name": "of-the-functions-api", "expression": f"request.userInfo.username == {quoted(account)}"}
    concerned = "(request.operation == 'DELETE' ? oldObject : object)"
    own = (
        f"request.operation != 'UPDATE' && {concerned}.?type.orValue('') == {quoted(SECRET_TYPE)}"
        f" && {concerned}.metadata.name.startsWith({quoted(OBJECT_PREFIX)})"
    )
    fixed = "request.operation != 'CREATE' || object.?immutable.orValue(false)"
    rules = [
        Rule(own, "the functions API may create and delete Secrets of functions only"),
        Rule(fixed, "a Secret of functions must be immutable"),
    ]
    return validating("osfaas-function-secrets", match, rules, [condition])
