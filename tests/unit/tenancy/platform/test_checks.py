"""What `osfaas platform check` says of a cluster: one table, a row for each thing that can be wrong."""

from dataclasses import replace
from typing import Any

import pytest

from policies.model import Builds, CatalogueFunction, Platform
from policies.platform import platform_manifests
from tenancy.platform.checks.runner import run_checks
from tenancy.platform.checks.versions import ADMISSION_KINDS, TENANT_KIND, version_of
from tenancy.platform.cluster_facts import ClusterFacts, Enforcement, Severity
from tenancy.platform.sidecars import knative_settings
from tenancy.platform.sources import combined, merge_values, read_values
from tests.unit.manifests.rendered import MANIFESTS, rendered

DIGEST = f"@sha256:{'0' * 64}"
IMAGE = f"registry.example.org/checksums{DIGEST}"
PLATFORM = Platform(functions={"checksums": CatalogueFunction(name="checksums", image=IMAGE)}, sidecars=True)

_VALUES = [read_values(MANIFESTS / "platform" / "istio" / f"{name}.yaml") for name in ("istiod", "sidecars")]
# As istiod's ConfigMap repeats them.
INJECTION = merge_values(*_VALUES)


def ours() -> dict[str, dict[str, str]]:
    settings = combined(rendered("manifests/platform"), knative_settings(PLATFORM))
    return {item["metadata"]["name"]: item["data"] for item in settings}


def sound() -> ClusterFacts:
    """A cluster as `install` leaves it, with the probe passed and istio-cni there."""
    policies = [item for item in platform_manifests(PLATFORM) if item["kind"] == "NetworkPolicy"]
    return ClusterFacts(
        kubernetes="v1.36.3",
        knative="1.23.0",
        istio="1.30.1",
        has_knative=True,
        has_istio=True,
        kinds=frozenset({TENANT_KIND, *ADMISSION_KINDS}),
        daemonsets=frozenset({"cilium", "istio-cni-node"}),
        knative_config=ours(),
        injection=INJECTION,
        mesh_config={"pathNormalization": {"normalization": "NONE"}},
        network_policies=tuple(policies),
        enforcement=Enforcement.ENFORCED,
        images={"osfaas-gateway": f"registry.example.org:5000/gateway:1{DIGEST}"},
    )


def config(name: str, **values: str) -> dict[str, dict[str, str]]:
    before = ours()
    return {**before, name: {**before[name], **{key.replace("_", "-"): value for key, value in values.items()}}}


def without(name: str, key: str) -> dict[str, dict[str, str]]:
    before = ours()
    return {**before, name: {k: v for k, v in before[name].items() if k != key}}


def policy(*rules: dict[str, Any], namespace: str = "istio-system") -> tuple[dict[str, Any], ...]:
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": list(rules)}
    return (
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "theirs", "namespace": namespace},
            "spec": spec,
        },
    )


def role(group: str, resource: str, verb: str = "create") -> tuple[dict[str, Any], ...]:
    rule = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
    return ({"metadata": {"name": "edit"}, "rules": [rule]},)


TEMPLATE = "{{.Name}}-{{.Namespace}}.{{.Domain}}"
U, M, A = Severity.UNSAFE, Severity.MISSING, Severity.ADVICE
PORT = {"protocol": "TCP", "port": 8081}
WORLD = {"ipBlock": {"cidr": "0.0.0.0/0"}}
FLANNEL = frozenset({"kube-flannel-ds", "istio-cni-node"})
WRONG: list[tuple[str, Severity, dict[str, Any]]] = [
    ("version.kubernetes", M, {"kubernetes": "v1.33.9"}),
    ("version.kubernetes", A, {"kubernetes": "v1.37.0"}),
    ("version.knative", M, {"has_knative": False}),
    ("version.knative", A, {"knative": "devel"}),
    ("version.istio", M, {"istio": "1.28.3"}),
    ("version.istio", M, {"has_istio": False}),
    ("kind.tenant", M, {"kinds": frozenset(ADMISSION_KINDS)}),
    ("kind.admission", M, {"kinds": frozenset({TENANT_KIND, ADMISSION_KINDS[0]})}),
    ("policies.missing", U, {"missing": ("NetworkPolicy osfaas-activator in knative-serving",)}),
    ("cni.ignored", U, {"enforcement": Enforcement.IGNORED}),
    ("cni.unclear", A, {"enforcement": Enforcement.UNCLEAR}),
    ("cni.unproved", A, {"enforcement": Enforcement.NOT_TRIED}),
    ("cni.ignoring", U, {"enforcement": Enforcement.NOT_TRIED, "daemonsets": FLANNEL}),
    ("cni.unknown", U, {"enforcement": Enforcement.NOT_TRIED, "daemonsets": frozenset({"istio-cni-node"})}),
    ("policies.opened", U, {"network_policies": policy({"ports": [PORT]})}),
    ("policies.opened", U, {"network_policies": policy({})}),
    ("policies.opened", U, {"network_policies": policy({"from": [{"namespaceSelector": {}}], "ports": [PORT]})}),
    ("policies.opened", U, {"network_policies": policy({"from": [WORLD], "ports": [PORT]})}),
    ("policies.opened", U, {"network_policies": policy({"ports": [{"port": 8000, "endPort": 8100}]})}),
    ("policies.opened", U, {"network_policies": policy({"ports": [{"port": 8012}]}, namespace="knative-serving")}),
    ("mesh.paths", U, {"mesh_config": {}}),
    ("mesh.ports", U, {"translated_gateways": ("knative-local-gateway",)}),
    ("mesh.ambient", U, {"daemonsets": frozenset({"istio-cni-node", "ztunnel"})}),
    ("mesh.ambient", U, {"ambient_namespaces": ("team",)}),
    ("sidecars.no_cni", U, {"daemonsets": frozenset({"cilium"})}),
    ("sidecars.values", M, {"injection": {}}),
    ("sidecars.values", M, {"injection": {"pilot": {"cni": {"enabled": True}}, "global": {"proxy": {}}}}),
    ("sidecars.values", M, {"injection": {**INJECTION, "pilot": {"cni": {"enabled": False}}}}),
    ("sidecars.knative", M, {"outside_mesh": ("activator",)}),
    ("sidecars.knative", M, {"knative_config": config("config-network", mesh_compatibility_mode="auto")}),
    ("knative.domain_template", U, {"knative_config": config("config-network", domain_template=TEMPLATE)}),
    ("knative.domain_claims", U, {"knative_config": config("config-network", autocreate_cluster_domain_claims="true")}),
    ("knative.ingress", U, {"knative_config": config("config-network", ingress_class="kourier")}),
    ("knative.tags", U, {"knative_config": config("config-deployment", registries_skipping_tag_resolving="docker.io")}),
    ("knative.queue_resources", M, {"knative_config": without("config-deployment", "queue-sidecar-cpu-limit")}),
    ("knative.queue_size", A, {"knative_config": config("config-deployment", queue_sidecar_memory_limit="1Gi")}),
    ("knative.timeout", M, {"knative_config": config("config-defaults", max_revision_timeout_seconds="900")}),
    ("knative.timeout", M, {"knative_config": without("config-defaults", "max-revision-timeout-seconds")}),
    ("knative.pod_defaults", M, {"knative_config": without("config-features", "secure-pod-defaults")}),
    (
        "knative.features",
        U,
        {"knative_config": config("config-features", tag_header_based_routing="enabled")},
    ),
    ("rights.aggregated", A, {"tenant_roles": role("networking.istio.io", "virtualservices")}),
    ("rights.aggregated", A, {"tenant_roles": role("serving.knative.dev", "domainmappings")}),
    ("rights.aggregated", A, {"tenant_roles": role("serving.knative.dev", "*", "*")}),
]


@pytest.mark.parametrize(
    ("code", "severity", "changed"), WRONG, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_wrong_is_said(code: str, severity: Severity, changed: dict[str, Any]):
    """One finding for one fault, and nothing else."""
    findings = run_checks(replace(sound(), **changed), PLATFORM)
    assert {(finding.code, finding.severity) for finding in findings} == {(code, severity)}
    for finding in findings:
        assert finding.message.endswith(".")
        assert finding.remedy.endswith(".")


@pytest.mark.parametrize("feature", ["csi", "ephemeral", "hostpath", "image", "mount-propagation"])
def test_each_kind_of_volume_is_closed_by_the_settings_and_reported_when_open(feature: str):
    """With an image as a volume, a tag is not resolved; a claim of a pod's own needs no right to make claims."""
    name = f"kubernetes.podspec-volumes-{feature}"
    assert ours()["config-features"][name] == "disabled"
    (finding,) = run_checks(replace(sound(), knative_config=config("config-features", **{name: "enabled"})), PLATFORM)
    assert (finding.code, finding.severity) == ("knative.features", Severity.UNSAFE)
    assert name in finding.message


def test_a_sound_cluster_gets_no_finding():
    """Otherwise nobody reads them."""
    assert run_checks(sound(), PLATFORM) == ()


HARMLESS: list[dict[str, Any]] = [
    {"network_policies": policy({"ports": [{"port": 443}]})},
    {"network_policies": policy({"from": [{"podSelector": {}}], "ports": [PORT]})},
    {"network_policies": policy({"ports": [PORT]}, namespace="elsewhere")},
    {"tenant_roles": role("networking.istio.io", "virtualservices", "get")},
    {"tenant_roles": role("serving.knative.dev", "services")},
    {"knative_config": {**ours(), "config-network": {"mesh-compatibility-mode": "enabled"}}},
]


@pytest.mark.parametrize("changed", HARMLESS)
def test_what_does_no_harm_is_not_said(changed: dict[str, Any]):
    """Open public ports, reading, Knative's own good defaults."""
    assert run_checks(replace(sound(), **changed), PLATFORM) == ()


def test_the_bases_addresses_are_recognised():
    """An overlay that forgot to replace them."""
    policies = tuple(item for item in rendered("manifests/system") if item["kind"] == "NetworkPolicy")
    findings = run_checks(replace(sound(), network_policies=policies), PLATFORM)
    assert [finding.code for finding in findings] == ["overlay.placeholder", "overlay.placeholder"]


BUILDS = Builds(
    image=IMAGE,
    registry="registry.example.org",
    registry_url="https://registry.example.org",
    token_url="https://faas.example.org/v1/registry/token",
    index_url="https://packages.example.org/simple/",
    bases={},
    destinations=(),
)


@pytest.mark.parametrize(
    ("base", "needs", "platform", "policy"),
    [
        ("gateway", {"osfaas-worker": IMAGE}, PLATFORM, "gateway-to-database"),
        ("admin-api", {"osfaas-worker": IMAGE}, PLATFORM, "admin-api-to-database"),
        ("functions-api", {}, replace(PLATFORM, builds=BUILDS), "functions-api-to-registry"),
    ],
)
def test_an_address_is_missing_only_where_something_needs_it(
    base: str, needs: dict[str, str], platform: Platform, policy: str
):
    """A site without workers has no database, and one without builds no registry."""
    policies = tuple(item for item in rendered(f"manifests/{base}") if item["kind"] == "NetworkPolicy")
    facts = replace(sound(), network_policies=policies)
    (advice,) = run_checks(facts, PLATFORM)
    assert (advice.code, advice.severity) == ("overlay.placeholder", Severity.ADVICE)
    assert policy in advice.message
    (missing,) = run_checks(replace(facts, images={**facts.images, **needs}), platform)
    assert (missing.code, missing.severity) == ("overlay.placeholder", Severity.MISSING)


def test_a_runtime_class_that_is_not_there_is_said():
    """Pods of L4 would not start."""
    platform = replace(PLATFORM, sandbox_runtime_class="gvisor")
    assert [finding.code for finding in run_checks(sound(), platform)] == ["runtime.missing"]
    assert run_checks(replace(sound(), runtime_classes=frozenset({"gvisor"})), platform) == ()


def test_without_sidecars_only_advice_is_given():
    """NetworkPolicies decide then."""
    findings = run_checks(replace(sound(), daemonsets=frozenset({"cilium"})), replace(PLATFORM, sidecars=False))
    assert [(finding.code, finding.severity) for finding in findings] == [("sidecars.off", Severity.ADVICE)]


@pytest.mark.parametrize("image", ["gateway", "gateway:latest", "r.test:5000/gateway:1", f"gateway@md5:{'0' * 32}"])
def test_an_image_without_a_digest_is_said(image: str):
    """Whoever may push to the registry decides what runs, and two pods may run two things."""
    own = run_checks(replace(sound(), images={**sound().images, "osfaas-controller": image}), PLATFORM)
    assert [(finding.code, finding.severity) for finding in own] == [("image.no_digest", Severity.ADVICE)]
    assert f"osfaas-controller ({image})" in own[0].message
    assert "osfaas-gateway" not in own[0].message

    functions = {**PLATFORM.functions, "words": CatalogueFunction(name="words", image=image)}
    theirs = run_checks(sound(), replace(PLATFORM, functions=functions))
    assert [(finding.code, finding.severity) for finding in theirs] == [("image.no_digest", Severity.ADVICE)]
    assert f"function words ({image})" in theirs[0].message


def test_unsafe_findings_come_first():
    """Whatever was looked at first."""
    findings = run_checks(ClusterFacts(), Platform(functions={}))
    order = [list(Severity).index(finding.severity) for finding in findings]
    assert order == sorted(order)
    assert order[0] == 0


@pytest.mark.parametrize(
    ("text", "version"),
    [("v1.36.3", (1, 36)), ("1.30-alpha.1", (1, 30)), ("knative-v1.15.2", (1, 15)), ("devel", None), ("", None)],
)
def test_versions_are_read(text: str, version: tuple[int, int] | None):
    """As Kubernetes, Istio and Knative write them."""
    assert version_of(text) == version
