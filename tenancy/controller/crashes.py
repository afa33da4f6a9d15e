"""Why the container of an own function ended, or does not answer, from its pods. Pure.

The kubelet keeps the end of a container's output in its status if it failed (Knative sets this policy), so no log is
read here. It is the tenant's own output: shown in its own `Function` objects, and nowhere else.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from policies.model import Manifest
from tenancy.model.reasons import CRASH_REASONS

CONTAINER = "function"
_LINES, _CHARACTERS = 10, 1_000


def crash_of(pods: Iterable[Manifest]) -> tuple[str, str] | None:
    """Reason and message if the function's container ended; None if none did."""
    for container in _containers(pods):
        state, last = container.get("state", {}), container.get("lastState", {})
        ended = state.get("terminated") or last.get("terminated")
        if container.get("ready") or not ended:
            continue
        waiting = state.get("waiting", {}).get("reason", "")
        reason = waiting if waiting in CRASH_REASONS else ended.get("reason") or "Error"
        output = last_lines(ended.get("message", ""))
        said = f"; its last output: {output}" if output else "; it wrote nothing"
        return reason, f"its container ended with exit code {ended.get('exitCode', '?')} ({ended.get('reason')}){said}"
    return None


def not_answering(pods: Iterable[Manifest], port: int) -> str | None:
    """The sentence about a container that runs but has not passed its readiness probe; None if there is none."""
    for container in _containers(pods):
        if "running" in container.get("state", {}):
            return f"its container runs, but does not answer on port {port} yet: it must listen on 0.0.0.0:$PORT"
    return None


def last_lines(text: str) -> str:
    """The end of an output: complete lines where possible, printable characters only."""
    lines = text.rstrip().splitlines()[-_LINES:]
    clean = "\n".join("".join(each if each.isprintable() else " " for each in line) for line in lines)
    return clean[-_CHARACTERS:].strip()


def _containers(pods: Iterable[Manifest]) -> Iterator[Mapping[str, Any]]:
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp"):
            continue
        for container in pod.get("status", {}).get("containerStatuses", ()):
            if container.get("name") == CONTAINER:
                yield container
