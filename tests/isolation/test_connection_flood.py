"""Ten thousand connections of one pod: none to what all tenants share, and none at others' expense to what is open."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from typing import TYPE_CHECKING

from tenancy.isolation.attack import Connect, Outcome, PodProbe, Resolve
from tenancy.isolation.network_attacks import http
from tenancy.isolation.pods import probe_pod
from tenancy.isolation.runners import PodName, run_in_pod
from tests.cluster.node.facts import OPENSTACK_ADDRESS
from tests.cluster.progress import say
from tests.isolation.arena import IMAGE, PLATFORM, STORE_PORT, network_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.isolation.arena import Arena


NAME = "connection-flood"
COUNT = 10_000
_KILLED = 128 + signal.SIGKILL
# The probe's own way to open many, held until the input ends.
_HOLD = """
import os, sys
program = {"__name__": "held"}
exec(os.environ["OSFAAS_PROBE"], program)
sockets = []
program["_open_many"](sockets, {"host": sys.argv[1], "port": int(sys.argv[2]), "count": int(sys.argv[3]), "seconds": 5})
print(sum(map(program["_is_open"], sockets)), flush=True)
sys.stdin.read()
"""


def test_a_tenant_opens_not_one_connection_to_what_all_share(arena: Arena) -> None:
    """A pod of no tenant opens them all: the local gateway itself limits nobody."""
    arena.assert_defended(NAME)
    refs = [network_policy(PLATFORM.istio_namespace, "osfaas-ingress")]
    with arena.without(*refs):
        evidence = arena.expect_answered(NAME, arena.outsider)
    assert evidence.detail.startswith(f"{COUNT} of {COUNT} "), evidence


def test_connections_to_the_object_store_cost_the_pod_that_holds_them_and_no_other(arena: Arena) -> None:
    """What functions may reach, they may reach often. The memory is the pod's own, and others are served meanwhile."""
    with _held(arena, arena.tenant.probe, 1) as count:
        assert count == 1
        before = _memory(arena)
    with _held(arena, arena.tenant.probe, COUNT) as count:
        assert count == COUNT
        used = _memory(arena) - before
        say(f"{count} connections: {used / 1024:.0f} KiB of the pod's own memory")
        _assert_others_are_served(arena)
    assert used > COUNT * 2048


def test_the_memory_limit_of_a_pod_bounds_its_connections(arena: Arena) -> None:
    """The same from a pod with less memory than they take: the kernel ends it, and its connections with it."""
    namespace = arena.tenant.spec.namespace
    pod = probe_pod(namespace, "flood", IMAGE)
    resources = pod["spec"]["containers"][0]["resources"]
    resources["requests"]["memory"] = resources["limits"]["memory"] = "32Mi"
    arena.cluster.kubectl.apply(pod)
    try:
        arena.cluster.kubectl("wait", "--for=condition=Ready", "pod/flood", "-n", namespace, "--timeout=120s")
        with _held(arena, PodName(namespace, "flood"), COUNT) as count:
            assert count == 0
            _assert_others_are_served(arena)
    finally:
        arena.cluster.kubectl("delete", "pod", "flood", "-n", namespace, "--wait=false")


def _assert_others_are_served(arena: Arena) -> None:
    questions: list[PodProbe] = [
        Connect(OPENSTACK_ADDRESS, STORE_PORT, http(OPENSTACK_ADDRESS)),
        Resolve("kubernetes.default.svc.cluster.local"),
    ]
    for told in run_in_pod(arena.configuration, arena.tenant.decoy, questions):
        assert told.outcome is Outcome.ANSWERED, told
    # No Service of this name: the gateway's own answer.
    assert arena.cluster.curl_from_node(f"http://{arena.targets.local_gateway}/").answered


def _memory(arena: Arena) -> int:
    """Bytes that the kernel charges to the tenant's probe pod."""
    probe = arena.tenant.probe
    uid = arena.cluster.kubectl.get("pod", probe.name, "-n", probe.namespace)["metadata"]["uid"]
    # cgroup v1 or v2.
    files = ("memory/*/kubepods*/*/*pod{}/memory.usage_in_bytes", "*/kubepods*/*/*pod{}/memory.current")
    script = f"cat {' '.join(f'/sys/fs/cgroup/{file.format(uid)}' for file in files)} 2>/dev/null"
    argv = arena.cluster.running.on_node("sh", "-c", script)
    return int(subprocess.run(argv, capture_output=True, text=True, check=False).stdout)


@contextlib.contextmanager
def _held(arena: Arena, pod: PodName, wanted: int) -> Iterator[int]:
    """The block in which a pod holds as many connections to the object store as it could open: their number."""
    inside = ["python3", "-c", _HOLD, OPENSTACK_ADDRESS, str(STORE_PORT), str(wanted)]
    argv = [*arena.cluster.kubectl.words, "exec", "-i", "-n", pod.namespace, pod.name, "--", *inside]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            # What says nothing was ended by the kernel, and by nothing else.
            assert line or process.wait() == _KILLED
            yield int(line or 0)
        finally:
            process.stdin.close()
