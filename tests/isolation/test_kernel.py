"""A pod in the sandbox never gets at the node's kernel, whatever it may do inside; a pod outside of it does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from policies.labels import BUILD, MANAGED_BY, OWN_FUNCTION
from tenancy.isolation.attacks import all_attacks
from tenancy.isolation.pods import probe_pod
from tenancy.isolation.runners import PodName
from tenancy.isolation.targets import Context
from tenancy.isolation.verdict import Verdict
from tests.cluster.commands import CommandError, wait_until
from tests.cluster.platform.sandbox import RUNTIME_CLASS
from tests.isolation.arena import (
    BOXED,
    IMAGE,
    LOW,
    PLATFORM,
    SETTLING_SECONDS,
    TENANT,
    Arena,
    Place,
    mutation,
    user_of,
    validation,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.model import Manifest, TenantSpec

CALLS = [f"kernel-{call}" for call in ("io-uring-setup", "bpf", "keyctl", "unshare", "userfaultfd")]
KERNEL = [*CALLS, "kernel-identity", "kernel-proc", "kernel-sys"]


@pytest.fixture(scope="module")
def roots(arena: Arena) -> Iterator[dict[str, Place]]:
    """By runtime: a privileged pod of root, without a filter of system calls. Nothing but the runtime protects."""
    with arena.cluster.namespace("iso-kernel") as namespace:
        places = {}
        for name, more in (("runc", {}), (RUNTIME_CLASS, {"runtimeClassName": RUNTIME_CLASS})):
            pod = _lasting(probe_pod(namespace, name, IMAGE))
            pod["spec"] |= more
            pod["spec"]["containers"][0]["securityContext"] = {"privileged": True, "runAsUser": 0}
            arena.cluster.kubectl.apply(pod)
            places[name] = Place(LOW, PodName(namespace, name), arena.tenant.victim, arena.tenant.decoy)
        for place in places.values():
            _await_ready(arena, place.probe)
        yield places


def test_a_tenant_in_the_sandbox_is_defended_against_every_attack(arena: Arena) -> None:
    """Those on the kernel and all others: the network's defences hold for gVisor's own network stack, too."""
    context = Context(BOXED, PLATFORM, arena.boxed.victim, arena.targets)
    findings = arena.find([each.name for each in all_attacks(context)], arena.boxed)
    wrong = {name: each for name, each in findings.items() if each.verdict is not Verdict.DEFENDED}
    assert not wrong, "\n".join(f"{name}: {each.evidence}; {each.control}" for name, each in wrong.items())
    assert set(KERNEL) <= set(findings)


@pytest.mark.parametrize("name", KERNEL)
def test_the_nodes_kernel_answers_root_outside_of_the_sandbox_only(
    arena: Arena, roots: dict[str, Place], name: str
) -> None:
    """The same privileged pod twice: the runtime is the difference."""
    arena.expect_answered(name, roots["runc"])
    arena.expect_refused(name, roots[RUNTIME_CLASS])


def test_without_admission_a_pod_of_the_level_runs_on_the_nodes_kernel(arena: Arena) -> None:
    """The defence is taken away: nothing else puts a tenant's pod into the sandbox."""
    place = Place(BOXED, PodName(BOXED.namespace, "unboxed"), arena.boxed.victim, arena.boxed.decoy)
    pod = _lasting(probe_pod(BOXED.namespace, "unboxed", IMAGE))
    with arena.without(mutation("osfaas-pods-sandbox"), validation("osfaas-pods-sandbox")):
        _create_outside_the_sandbox(arena, pod)
        _await_ready(arena, place.probe)
        arena.expect_answered("kernel-identity", place)
    arena.cluster.kubectl("delete", "pod", "unboxed", "-n", BOXED.namespace, "--wait=false")


@pytest.mark.parametrize(
    ("name", "label"), [("osfaas-pods-own-functions", OWN_FUNCTION), ("osfaas-pods-builds", BUILD)]
)
def test_a_pod_of_a_tenants_own_code_is_in_the_sandbox_below_its_level(arena: Arena, name: str, label: str) -> None:
    """The API server sets the runtime class, and refuses the pod without it."""
    for spec in (LOW, TENANT):
        assert _admitted(arena, spec, label)["runtimeClassName"] == RUNTIME_CLASS
    with arena.without(mutation(name)):
        # No other policy refuses it at this level, so the sentence is certain.
        _await_refusal(arena, LOW, label, f"must have the RuntimeClass {RUNTIME_CLASS}")
        with arena.without(validation(name)):
            wait_until(
                "a pod on the node's kernel",
                lambda: "runtimeClassName" not in _admitted(arena, LOW, label),
                seconds=SETTLING_SECONDS,
                pause=0.5,
            )
            # From L3 on, the level's own rule is left, which asks for one of the two.
            _await_refusal(arena, TENANT, label, "must run in a user namespace or in the sandbox")


def test_another_pod_of_the_same_tenant_gets_a_user_namespace(arena: Arena) -> None:
    """The level's own defence, in place of the sandbox."""
    spec = _admitted(arena, TENANT)
    assert (spec["hostUsers"], spec.get("runtimeClassName")) == (False, None)


def _admitted(arena: Arena, spec: TenantSpec, label: str | None = None) -> Any:
    """The spec that the API server makes of a pod of the tenant; a dry run as the tenant's user."""
    pod = probe_pod(spec.namespace, "dry", IMAGE)
    if label is not None:
        pod["metadata"]["labels"][label] = "hello"
    words = ("create", "--dry-run=server", "--as", user_of(spec), "-o", "json", "-f", "-")
    return json.loads(arena.cluster.kubectl(*words, stdin=json.dumps(pod)))["spec"]


def _await_refusal(arena: Arena, spec: TenantSpec, label: str, why: str) -> None:
    """Until the tenant's pod with the label is refused for this reason."""

    def is_refused() -> bool:
        try:
            _admitted(arena, spec, label)
        except CommandError as error:
            return why in str(error)
        return False

    wait_until(why, is_refused, seconds=SETTLING_SECONDS, pause=0.5)


def _create_outside_the_sandbox(arena: Arena, pod: Manifest) -> None:
    """As soon as the cluster has applied the removal of the policies."""
    words = ("create", "--dry-run=server", "-o", "json", "-f", "-")

    def is_outside() -> bool:
        admitted = json.loads(arena.cluster.kubectl(*words, stdin=json.dumps(pod)))
        return "runtimeClassName" not in admitted["spec"]

    wait_until("admission without the sandbox", is_outside, seconds=SETTLING_SECONDS, pause=0.5)
    arena.cluster.kubectl("create", "-f", "-", stdin=json.dumps(pod))


def _await_ready(arena: Arena, pod: PodName) -> None:
    arena.cluster.kubectl("wait", "--for=condition=Ready", f"pod/{pod.name}", "-n", pod.namespace, "--timeout=90s")


def _lasting(pod: Manifest) -> Manifest:
    """A probe that outlives a replay, and that no replay takes for its own leftover."""
    pod["spec"].pop("activeDeadlineSeconds")
    pod["metadata"]["labels"].pop(MANAGED_BY)
    return pod
