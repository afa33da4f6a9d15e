"""Ten thousand connections of one pod: none to what all tenants share, and none at others' expense to what is open."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

from tenancy.isolation.attack import Connect, Outcome, Resolve
from tenancy.isolation.network_attacks import http
from tenancy.isolation.runners import run_in_pod
from tests.cluster.node.facts import OPENSTACK_ADDRESS
from tests.cluster.progress import say
from tests.isolation.arena import PLATFORM, STORE_PORT, network_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.isolation.arena import Arena


NAME = "connection-flood"
COUNT = 10_000
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
    before = _memory(arena)
    with _held(arena, OPENSTACK_ADDRESS, STORE_PORT) as count:
        assert count == COUNT
        used = _memory(arena) - before
        say(f"{count} connections: {used / 1024:.0f} KiB of the pod's own memory")
        _assert_others_are_served(arena)
    # Each is charged to the pod, whose limit therefore bounds their number.
    assert used > COUNT * 1024


def _assert_others_are_served(arena: Arena) -> None:
    questions = [
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
    script = f"find /sys/fs/cgroup -type d -name '*pod{uid}*' | head -n 1 | xargs -I% cat %/memory.current"
    printed = subprocess.run(
        arena.cluster.running.on_node("sh", "-c", script), capture_output=True, text=True, check=True
    ).stdout
    return int(printed)


@contextlib.contextmanager
def _held(arena: Arena, host: str, port: int) -> Iterator[int]:
    """The block in which the tenant's pod holds as many connections as it could open: their number."""
    probe = arena.tenant.probe
    command = ["exec", "-i", "-n", probe.namespace, probe.name, "--", "python3", "-c", _HOLD, host, str(port)]
    argv = [*arena.cluster.kubectl.words, *command, str(COUNT)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline() or 0)
        finally:
            process.stdin.close()
