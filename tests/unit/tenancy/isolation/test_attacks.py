"""The list of attacks: complete, with unique names, each with a positive control that can fail."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from policies.model import Builds, CatalogueFunction, Destination, IsolationLevel, Platform, TenantSpec
from policies.names import NamespaceName, ProjectId
from tenancy.isolation.attack import Assumed, BuildProbe, Connect, Read, Request, SystemCall
from tenancy.isolation.attacks import all_attacks
from tenancy.isolation.probe_program import _SYSTEM_CALLS
from tenancy.isolation.targets import FUNCTION_PORTS, Context, PlatformPod, Targets, Victim

SOMEWHERE = PlatformPod("10.0.0.1", ready=True)
BUILDS = Builds(
    image="builder",
    registry="192.0.2.3",
    registry_url="https://192.0.2.3",
    token_url="https://192.0.2.3/token",
    index_url="https://192.0.2.3/simple/",
    bases={},
    destinations=(Destination("192.0.2.3/32", (443,)),),
)


def context(level: IsolationLevel = IsolationLevel.L3, *, ready: bool = True, store: bool = True) -> Context:
    endpoint = PlatformPod("10.0.0.1", ready)
    return Context(
        tenant=TenantSpec(ProjectId("a"), isolation=level),
        platform=Platform(
            functions={"checksums": CatalogueFunction(name="checksums", image="image")},
            destinations=(Destination("192.0.2.1/32", (443,)),),
        ),
        victim=Victim(NamespaceName("faas-b"), "checksums", "10.0.0.9", "word"),
        targets=Targets(
            "10.96.0.1", endpoint, endpoint, endpoint, endpoint, endpoint, "10.96.0.2", "10.10.0.2",
            ("6.1.0-1", "6.1.0-2"), ("192.0.2.2", 5000), ("192.0.2.1", 443) if store else None,
        ),
    )  # fmt: skip


def test_a_target_that_does_not_run_cannot_prove_a_defence() -> None:
    """Controls at the platform's own pods fail when the pods are not ready, or no store is known."""
    controls = {attack.name: attack.control for attack in all_attacks(context(ready=False, store=False))}
    for name in ("local-gateway-by-cluster-ip", "activator-by-host", "autoscaler", "knative-webhook", "istiod-15010"):
        assert isinstance(controls[name], Assumed)
        assert not controls[name].holds
    for name in ("metadata-address", "keystone"):
        assert controls[name] == Assumed("no object store is given (--store HOST:PORT)", holds=False)


def test_names_are_unique_and_every_knative_port_is_tried() -> None:
    """The report and the tests find attacks by name."""
    attacks = all_attacks(context())
    names = [attack.name for attack in attacks]
    assert len(names) == len(set(names))
    tried = {
        each.attempt.port for each in attacks if isinstance(each.attempt, Connect) and each.name.startswith("pod-ip")
    }
    assert tried == set(FUNCTION_PORTS)


def test_the_activator_is_asked_for_the_victims_revision() -> None:
    """By the headers that Knative's own ingress would set."""
    attempts = {attack.name: attack.attempt for attack in all_attacks(context())}
    attempt = attempts["activator-forged-headers-8012"]
    assert isinstance(attempt, Connect)
    assert "Knative-Serving-Namespace: faas-b\r\n" in attempt.sends
    assert "Knative-Serving-Revision: checksums-00001\r\n" in attempt.sends


def test_an_attack_over_the_api_differs_from_its_control() -> None:
    """Otherwise the control would be the attack itself; the sandbox is about what admission adds."""
    for attack in all_attacks(context(IsolationLevel.L5)):
        if isinstance(attack.attempt, Request) and attack.name != "no-sandbox":
            assert isinstance(attack.control, Request)
            assert (attack.attempt.path, attack.attempt.body) != (attack.control.path, attack.control.body), attack.name


def test_the_sandbox_is_tried_only_where_the_level_promises_it() -> None:
    """From L4 on."""

    def names(level: IsolationLevel) -> set[str]:
        return {attack.name for attack in all_attacks(context(level))}

    assert names(IsolationLevel.L4) - names(IsolationLevel.L3) == {"no-sandbox"}
    assert names(IsolationLevel.L5) == names(IsolationLevel.L4)


@pytest.mark.parametrize(
    ("level", "user_namespaces", "tried"),
    [
        (IsolationLevel.L3, False, True),
        (IsolationLevel.L4, False, False),
        (IsolationLevel.L4, True, True),
    ],
)
def test_user_namespaces_are_not_tried_where_a_sandbox_takes_their_place(
    level: IsolationLevel, user_namespaces: bool, tried: bool
) -> None:
    """A tenant at L4 in gVisor was called breached, because its pods may have `hostUsers: true`."""
    plain = context(level)
    platform = replace(plain.platform, sandbox_runtime_class="gvisor", sandbox_user_namespaces=user_namespaces)
    names = {attack.name for attack in all_attacks(replace(plain, platform=platform))}
    assert ("host-users" in names) is tried


def test_every_call_to_the_kernel_is_one_that_the_probe_program_knows() -> None:
    """And its control asks no particular kernel: that of a sandbox answers it too."""
    attacks = [attack for attack in all_attacks(context()) if isinstance(attack.attempt, SystemCall)]
    assert len(attacks) >= 5
    for attack in attacks:
        assert isinstance(attack.attempt, SystemCall)
        assert attack.attempt.name in _SYSTEM_CALLS
        assert attack.attempt.kernels == ("6.1.0-1", "6.1.0-2")
        assert attack.control == SystemCall("getpid", ())


def test_the_kernels_release_is_that_of_a_node_as_a_whole() -> None:
    """A sandbox may name a release that begins like a node's, and dots are no wildcards."""
    (attack,) = [attack for attack in all_attacks(context()) if attack.name == "kernel-identity"]
    assert isinstance(attack.attempt, Read)
    for release, wanted in (("6.1.0-1", True), ("6.1.0-2", True), ("6.1.0-12", False), ("6x1.0-1", False)):
        assert bool(re.search(attack.attempt.telling, release, re.MULTILINE)) is wanted


@pytest.mark.parametrize("level", IsolationLevel)
def test_another_tenants_nodes_are_tried_from_every_level(level: IsolationLevel) -> None:
    """They were promised to that other tenant, whatever the level of who tries."""
    attacks = {attack.name: attack for attack in all_attacks(context(level))}
    for name in ("foreign-node", "foreign-node-affinity", "foreign-node-name", "system-priority"):
        assert attacks[name].fails_from is IsolationLevel.L1
        assert isinstance(attacks[name].control, Request)


def test_a_deletion_asks_for_its_dry_run_in_the_body() -> None:
    """The API server does not look at the query of a DELETE that has a body: it would really delete."""
    attempts = [attack.attempt for attack in all_attacks(context())]
    deletions = [each for each in attempts if isinstance(each, Request) and each.method == "DELETE"]
    assert deletions
    assert all(each.body["dryRun"] == ["All"] for each in deletions)


def test_own_code_is_tried_at_every_level_that_promises_something() -> None:
    """The product's gateway only where it runs."""
    attacks = {attack.name: attack for attack in all_attacks(context())}
    assert {
        "own-sidecar-port", "connection-flood", "fork-bomb", "disk-exhaustion", "shared-volume", "foreign-secret",
        "setuid-pod",
    } <= set(attacks)  # fmt: skip
    assert "identity-headers" not in attacks
    here = context()
    running = replace(here, targets=replace(here.targets, own_gateway=PlatformPod("10.0.0.7", ready=False)))
    attack = next(each for each in all_attacks(running) if each.name == "identity-headers")
    assert isinstance(attack.attempt, Connect)
    assert (attack.attempt.host, attack.attempt.port) == ("10.0.0.7", 8788)
    assert "X-Roles: admin\r\n" in attack.attempt.sends
    assert isinstance(attack.control, Assumed)
    assert not attack.control.holds


def with_builds(of: Context) -> Context:
    platform = replace(of.platform, builds=BUILDS)
    return replace(of, platform=platform, targets=replace(of.targets, registries=(("192.0.2.3", 443),)))


def test_builds_are_tried_where_there_are_any_and_have_one_way_out_of_their_own() -> None:
    plain, builds = (
        {attack.name: attack for attack in all_attacks(each)} for each in (context(), with_builds(context()))
    )
    added = {name: attack for name, attack in builds.items() if name not in plain}
    registry = added.pop("registry-1")
    assert registry.control == BuildProbe(Connect("192.0.2.3", 443, registry.attempt.sends))  # type: ignore[union-attr]
    store = added.pop("build-object-store")
    assert store.attempt == BuildProbe(store.control)  # type: ignore[arg-type]
    assert {"build-pod-ip-8080", "build-kubernetes-api", "build-metadata-address"} < set(added)
    for name, attack in added.items():
        same = plain[name.removeprefix("build-")]
        assert (attack.attempt, attack.control) == (BuildProbe(same.attempt), same.control)  # type: ignore[arg-type]


def test_each_attack_has_a_test_of_its_defence() -> None:
    """The name of the attack is in one of the files; most attacks have a file of their own."""
    folder = Path(__file__).parents[3] / "isolation"
    texts = "".join(path.read_text(encoding="utf-8") for path in folder.glob("test_*.py"))
    here = with_builds(context(IsolationLevel.L4))
    running = replace(here, targets=replace(here.targets, own_gateway=SOMEWHERE))
    stems = {path.stem.removeprefix("test_").replace("_", "-") for path in folder.glob("test_*.py")}
    for attack in all_attacks(running):
        assert f'"{attack.name}"' in texts or any(attack.name.startswith(stem) for stem in stems), attack.name
