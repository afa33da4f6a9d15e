"""Processes of one pod use up the ids of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.commands import run

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_the_kubelets_limit_ends_it(arena: Arena) -> None:
    """Raised for this one pod, on the node, all of them run."""
    arena.assert_defended("fork-bomb")
    probe = arena.tenant.probe
    uid = arena.cluster.kubectl.get("pod", probe.name, "-n", probe.namespace)["metadata"]["uid"]
    for value, expect in (("max", arena.expect_answered), ("512", arena.expect_refused)):
        script = f"for file in $(find /sys/fs/cgroup -path '*pod{uid}*' -name pids.max); do echo {value} > $file; done"
        run(arena.cluster.running.on_node("sh", "-c", script))
        expect("fork-bomb", arena.tenant)
