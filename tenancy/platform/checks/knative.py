"""Checks Knative's settings for the isolation of tenants."""

import re
from collections.abc import Iterator

from policies.model import Platform
from tenancy.platform.cluster_facts import ClusterFacts, Finding, Severity

# Fields of a pod that only the operator may set.
CLOSED_FEATURES = (
    "kubernetes.podspec-affinity",
    "kubernetes.podspec-hostaliases",
    "kubernetes.podspec-hostipc",
    "kubernetes.podspec-hostnetwork",
    "kubernetes.podspec-hostpid",
    "kubernetes.podspec-nodeselector",
    "kubernetes.podspec-runtimeclassname",
    "kubernetes.podspec-schedulername",
    "kubernetes.podspec-shareprocessnamespace",
    "kubernetes.podspec-tolerations",
    "kubernetes.podspec-volumes-csi",
    "kubernetes.podspec-volumes-ephemeral",
    "kubernetes.podspec-volumes-hostpath",
    "kubernetes.podspec-volumes-image",
    "kubernetes.podspec-volumes-mount-propagation",
    "kubernetes.containerspec-addcapabilities",
    "tag-header-based-routing",
)
DEFAULT_DOMAIN_TEMPLATE = "{{.Name}}.{{.Namespace}}.{{.Domain}}"
# Registry names that exist on no network.
LOCAL_REGISTRIES = frozenset({"kind.local", "ko.local", "dev.local"})
ISTIO_INGRESS = "istio.ingress.networking.knative.dev"
# Knative's own default of max-revision-timeout-seconds.
_DEFAULT_MAX_SECONDS = 600
_SETTINGS = "Use the settings in manifests/platform/knative.yaml."


def check_knative(facts: ClusterFacts, platform: Platform) -> Iterator[Finding]:
    """Findings about Knative's ConfigMaps; a missing key has Knative's default."""
    if not facts.has_knative:
        return
    yield from _names(facts)
    yield from _features(facts)
    yield from _timeouts(facts, platform)
    deployment = facts.knative_config.get("config-deployment", {})
    skipped = deployment.get("registries-skipping-tag-resolving", "kind.local,ko.local,dev.local")
    public = sorted({name.strip() for name in skipped.split(",")} - LOCAL_REGISTRIES - {""})
    if public:
        yield Finding(
            Severity.UNSAFE, "knative.tags",
            f"Tags of {', '.join(public)} are not resolved to digests: the image of a tenant's function can change"
            " without a new revision.",
            "Remove it from registries-skipping-tag-resolving, or name images by digest.",
        )  # fmt: skip
    resources = [f"queue-sidecar-{what}-{kind}" for what in ("cpu", "memory") for kind in ("request", "limit")]
    defaults_on = facts.knative_config.get("config-features", {}).get("queueproxy.resource-defaults") == "enabled"
    unset = [] if defaults_on else [name for name in resources if not deployment.get(name)]
    if unset:
        yield Finding(
            Severity.MISSING, "knative.queue_resources",
            f"Queue-proxy has no {', '.join(unset)}: every pod in a namespace with a quota is rejected.", _SETTINGS,
        )  # fmt: skip
    wanted = (f"{platform.queue_proxy_cpu_limit_millis}m", f"{platform.queue_proxy_memory_mib}Mi")
    has = (deployment.get("queue-sidecar-cpu-limit"), deployment.get("queue-sidecar-memory-limit"))
    if not unset and not defaults_on and has != wanted:
        yield Finding(
            Severity.ADVICE, "knative.queue_size",
            f"Queue-proxy's limits are {has[0]} and {has[1]}; quotas are calculated with {wanted[0]} and {wanted[1]}.",
            "Set queue_proxy_cpu_limit_millis and queue_proxy_memory_mib in the platform file to the same values.",
        )  # fmt: skip


def _timeouts(facts: ClusterFacts, platform: Platform) -> Iterator[Finding]:
    longest = int(
        facts.knative_config.get("config-defaults", {}).get("max-revision-timeout-seconds", _DEFAULT_MAX_SECONDS)
    )
    slow = sorted(name for name, function in platform.functions.items() if function.timeout_seconds > longest)
    if slow:
        yield Finding(
            Severity.MISSING, "knative.timeout",
            f"Knative rejects functions with a timeout longer than {longest} seconds: {', '.join(slow)}.",
            "Raise max-revision-timeout-seconds, or lower timeout_seconds in the platform file.",
        )  # fmt: skip


def _names(facts: ClusterFacts) -> Iterator[Finding]:
    network = facts.knative_config.get("config-network", {})
    template = network.get("domain-template", DEFAULT_DOMAIN_TEMPLATE)
    if not re.fullmatch(r"\{\{\.Name\}\}\.\{\{\.Namespace\}\}\..+", template.replace(" ", "")):
        yield Finding(
            Severity.UNSAFE, "knative.domain_template",
            f"The domain template is {template!r}: without a dot between name and namespace, two tenants' functions"
            " can have one host name.",
            f"Set domain-template to {DEFAULT_DOMAIN_TEMPLATE!r}.",
        )  # fmt: skip
    if network.get("autocreate-cluster-domain-claims", "false") != "false":
        yield Finding(
            Severity.UNSAFE, "knative.domain_claims",
            "autocreate-cluster-domain-claims is on: a tenant can claim any host name with a DomainMapping.", _SETTINGS,
        )  # fmt: skip
    if network.get("ingress-class", ISTIO_INGRESS) != ISTIO_INGRESS:
        yield Finding(
            Severity.UNSAFE, "knative.ingress",
            f"Knative's ingress is {network['ingress-class']}, but our policies protect Istio's local gateway only.",
            "Install net-istio, and set ingress-class to its name.",
        )  # fmt: skip


def _features(facts: ClusterFacts) -> Iterator[Finding]:
    features = facts.knative_config.get("config-features", {})
    opened = [name for name in CLOSED_FEATURES if features.get(name, "disabled").lower() != "disabled"]
    if opened:
        yield Finding(
            Severity.UNSAFE, "knative.features",
            f"Users who may write Knative Services can set nodes, privileges and volumes of pods: {', '.join(opened)}.",
            "Set them to disabled.",
        )  # fmt: skip
    if features.get("secure-pod-defaults", "disabled").lower() not in {"enabled", "allowrootbounded"}:
        yield Finding(
            Severity.MISSING, "knative.pod_defaults",
            "secure-pod-defaults is off: Pod Security rejects functions without an explicit security context.",
            _SETTINGS,
        )  # fmt: skip
