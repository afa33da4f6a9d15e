"""What one call writes into the image's filesystem is there for the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.commands import CommandError
from tests.isolation.arena import VICTIM
from tests.isolation.function import running_function

if TYPE_CHECKING:
    from tests.isolation.arena import Arena

_WRITE = ("python3", "-c", "open('/tmp/iso', 'w').write('mine')")


def test_a_function_of_the_catalogue_cannot_write_anywhere(arena: Arena) -> None:
    """Its root filesystem is read-only; the same image without that setting writes."""
    pod = running_function(arena).name
    problem = _write(arena, VICTIM.namespace, pod, "function")
    assert "Read-only file system" in problem, problem
    place = arena.low.probe
    assert not _write(arena, place.namespace, place.name, "probe")


def _write(arena: Arena, namespace: str, pod: str, container: str) -> str:
    """What stood in the way, or nothing."""
    try:
        arena.cluster.kubectl("exec", "-n", namespace, pod, "-c", container, "--", *_WRITE)
    except CommandError as error:
        return str(error)
    return ""
