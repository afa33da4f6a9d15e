"""What holds for every tenant and every platform, whatever their values."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.labels import MANAGED_BY, TENANT
from policies.model import CatalogueFunction, Destination, IsolationLevel, Limits, Manifest, Platform, TenantSpec
from policies.names import ProjectId
from policies.platform import platform_manifests
from policies.tenant import tenant_manifests

LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?)?")
OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.\-]{0,251}[a-z0-9])?")

project_ids = st.one_of(
    st.uuids().map(lambda uuid: uuid.hex), st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
)
destinations = st.builds(
    lambda address, port: Destination(f"{address}/32", (port,)),
    st.ip_addresses(v=4),
    st.integers(min_value=1, max_value=65535),
)
limits = st.builds(
    Limits,
    pods=st.integers(min_value=1, max_value=500),
    cpu_millis=st.integers(min_value=500, max_value=100_000),
    memory_mib=st.integers(min_value=384, max_value=100_000),
)
specs = st.builds(
    TenantSpec,
    project_id=project_ids.map(ProjectId),
    display_name=st.text(max_size=30),
    isolation=st.sampled_from(IsolationLevel),
    limits=limits,
    functions=st.sampled_from([(), ("checksums",), ("checksums", "other"), ("other", "other")]),
    suspended=st.one_of(st.none(), st.text(max_size=20)),
)
platforms = st.builds(
    Platform,
    functions=st.just(
        {
            "checksums": CatalogueFunction(name="checksums", image="dev.local/checksums:test"),
            "other": CatalogueFunction(name="other", image="dev.local/other:1", cpu_millis=250, window_seconds=60),
        }
    ),
    destinations=st.lists(destinations, max_size=3).map(tuple),
    sandbox_runtime_class=st.just("gvisor"),
    sandbox_user_namespaces=st.booleans(),
    sandbox_own_functions=st.booleans(),
    sidecars=st.booleans(),
)


def of_kind(manifests: tuple[Manifest, ...], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def rules(manifests: tuple[Manifest, ...]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every rule of every NetworkPolicy: the policy's name, the direction, the rule."""
    for policy in of_kind(manifests, "NetworkPolicy"):
        for direction in ("ingress", "egress"):
            for rule in policy["spec"].get(direction, []):
                yield policy["metadata"]["name"], direction, rule


@given(specs, platforms)
def test_every_rule_of_a_tenant_names_peers_and_ports(spec: TenantSpec, platform: Platform) -> None:
    """Nothing is open to everybody, and never a port that nobody named: not the function's own, not 8022."""
    for _, direction, rule in rules(tenant_manifests(spec, platform)):
        assert rule["from" if direction == "ingress" else "to"]
        assert rule["ports"]
        assert all(isinstance(port["port"], int) and port["protocol"] in {"TCP", "UDP"} for port in rule["ports"])
        if direction == "ingress":
            assert not {8022, 8080} & {port["port"] for port in rule["ports"]}


@given(platforms)
def test_rules_of_the_platform_without_peers_are_the_webhooks_and_the_public_ingress(platform: Platform) -> None:
    """The API server has no label, and the world has none either."""
    open_to_all = {
        (name, port["port"])
        for name, _, rule in rules(platform_manifests(platform))
        for port in rule["ports"]
        if not rule.get("from")
    }
    assert open_to_all == {
        ("osfaas-webhooks", 8443),
        ("osfaas-istiod", 15017),
        *(("osfaas-ingress", port) for port in (80, 443, 8080, 8443, 15021)),
    }


@given(specs, platforms)
def test_peers_in_the_cluster_are_pods_of_one_named_namespace(spec: TenantSpec, platform: Platform) -> None:
    """A peer with a pod selector alone would mean the tenant's own pods; one with a namespace alone, all pods there."""
    for _, direction, rule in rules(tenant_manifests(spec, platform)):
        for peer in rule["from" if direction == "ingress" else "to"]:
            if "ipBlock" not in peer:
                assert list(peer["namespaceSelector"]["matchLabels"]) == ["kubernetes.io/metadata.name"]
                assert peer["podSelector"]["matchLabels"]


@given(specs, platforms)
def test_the_way_out_is_dns_and_the_named_destinations(spec: TenantSpec, platform: Platform) -> None:
    """No block is wider than what the operator wrote, least of all the whole world."""
    blocks = [
        (peer["ipBlock"]["cidr"], tuple(port["port"] for port in rule["ports"]))
        for _, direction, rule in rules(tenant_manifests(spec, platform))
        if direction == "egress"
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    wanted = [(block.cidr, block.ports) for block in platform.destinations]
    assert blocks == (wanted if spec.isolation >= IsolationLevel.L2 and spec.suspended is None else [])
    assert all(ipaddress.ip_network(cidr).prefixlen > 0 for cidr, _ in blocks)


@given(specs.filter(lambda spec: spec.isolation >= IsolationLevel.L2 or spec.suspended is not None), platforms)
def test_every_pod_is_closed_both_ways_before_anything_is_opened(spec: TenantSpec, platform: Platform) -> None:
    """Policies add up, so this one alone keeps what the others do not open."""
    first = of_kind(tenant_manifests(spec, platform), "NetworkPolicy")[0]
    assert first["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@given(specs, platforms)
def test_labels_and_names_are_legal_and_every_object_is_marked_as_ours(spec: TenantSpec, platform: Platform) -> None:
    """The API server would refuse the rest, and the controller would not know its own."""
    for manifest in (*tenant_manifests(spec, platform), *platform_manifests(platform)):
        metadata = manifest["metadata"]
        assert OBJECT_NAME.fullmatch(metadata["name"])
        assert metadata["labels"][MANAGED_BY] == "osfaas"
        assert all(LABEL_VALUE.fullmatch(value) for value in metadata["labels"].values())
    for manifest in tenant_manifests(spec, platform):
        assert manifest["metadata"]["labels"][TENANT] == spec.namespace
        assert manifest["metadata"].get("namespace", manifest["metadata"]["name"]) == spec.namespace


@given(specs, platforms)
def test_the_same_object_is_never_rendered_twice(spec: TenantSpec, platform: Platform) -> None:
    """Two of one name would take turns for ever."""
    for manifests in (tenant_manifests(spec, platform), platform_manifests(platform)):
        names = [(m["apiVersion"], m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in manifests]
        assert len(names) == len(set(names))


@given(specs, platforms)
def test_the_quota_holds_the_pods_that_the_scale_allows(spec: TenantSpec, platform: Platform) -> None:
    """A function at its largest scale fits, the other containers included; a suspended tenant has room for no pod."""
    manifests = tenant_manifests(spec, platform)
    hard = of_kind(manifests, "ResourceQuota")[0]["spec"]["hard"]
    if spec.suspended is not None:
        assert hard["pods"] == "0"
    for service in of_kind(manifests, "Service"):
        annotations = service["spec"]["template"]["metadata"]["annotations"]
        function = platform.functions[service["metadata"]["name"]]
        scale = int(annotations["autoscaling.knative.dev/max-scale"])
        assert 1 <= scale <= int(hard["pods"])
        asked = scale * (function.cpu_millis + platform.queue_proxy_cpu_millis)
        cpu = scale * (function.cpu_millis + platform.queue_proxy_cpu_limit_millis)
        memory = scale * (function.memory_mib + platform.queue_proxy_memory_mib)
        containers = 2
        if "sidecar.istio.io/proxyCPU" in annotations:
            asked += scale * platform.sidecar_cpu_millis
            cpu += scale * platform.sidecar_cpu_limit_millis
            memory += scale * platform.sidecar_memory_mib
            containers = 3
        assert asked <= int(hard["requests.cpu"].removesuffix("m"))
        assert cpu <= int(hard["limits.cpu"].removesuffix("m"))
        assert memory <= int(hard["limits.memory"].removesuffix("Mi"))
        # The LimitRange's default for containers that say nothing of it, which are all.
        assert scale * containers * 256 <= int(hard["limits.ephemeral-storage"].removesuffix("Mi"))


@given(specs, platforms)
def test_a_suspended_tenant_runs_nothing_and_is_called_by_nobody(spec: TenantSpec, platform: Platform) -> None:
    """No Knative Service, and not one way in or out, at any level; an empty reason suspends like any other."""
    manifests = tenant_manifests(spec, platform)
    if spec.suspended is not None:
        assert not of_kind(manifests, "Service")
        assert not [*rules(manifests)]
    else:
        assert len(of_kind(manifests, "Service")) == len(set(spec.functions))


@given(platforms)
def test_admission_policies_fail_closed_and_each_is_bound(platform: Platform) -> None:
    """A policy without a binding judges nothing, and one that may fail open judges when it suits the attacker."""
    manifests = platform_manifests(platform)
    policies = of_kind(manifests, "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy")
    assert policies
    for policy in policies:
        assert policy["spec"]["failurePolicy"] == "Fail"
        bindings = of_kind(manifests, policy["kind"] + "Binding")
        assert [b for b in bindings if b["spec"]["policyName"] == policy["metadata"]["name"]]


@given(platforms)
def test_admission_policies_hold_in_tenants_namespaces_only(platform: Platform) -> None:
    """Everybody else on the cluster is left alone."""
    for policy in of_kind(platform_manifests(platform), "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"):
        match = policy["spec"]["matchConstraints"]
        selector = match.get("namespaceSelector") or match["objectSelector"]
        assert selector["matchExpressions"][0]["key"] in {"osfaas.dev/tenant", "osfaas.dev/isolation"}
        assert all(rule["operator"] in {"Exists", "In"} for rule in selector["matchExpressions"])


@pytest.mark.parametrize("text", ["it's", "a\\b", "a\nb"])
def test_what_would_end_a_cel_string_is_refused(text: str) -> None:
    """A name from the platform file is data in an expression, never code."""
    platform = Platform(functions={}, sandbox_runtime_class=text)
    with pytest.raises(ValueError, match="not a valid name"):
        platform_manifests(platform)


@given(specs, platforms)
def test_sidecars_are_where_istio_cni_can_redirect(spec: TenantSpec, platform: Platform) -> None:
    """From L3 on and outside the sandbox, whose network stack passes the rules of the pod's namespace by."""
    manifests = tenant_manifests(spec, platform)
    wanted = platform.sidecars and spec.isolation is IsolationLevel.L3
    (namespace,) = of_kind(manifests, "Namespace")
    assert namespace["metadata"]["labels"]["istio-injection"] == ("enabled" if wanted else "disabled")
    assert bool(of_kind(manifests, "PeerAuthentication")) == wanted
    for service in of_kind(manifests, "Service"):
        assert ("sidecar.istio.io/proxyCPU" in service["spec"]["template"]["metadata"]["annotations"]) == wanted
