"""Watches of the controller: whatever goes wrong, they go on."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tenancy.kubernetes.client import Change, Listing
from tenancy.kubernetes.kinds import TENANTS
from tenancy.kubernetes.watches import WatchedKind, watch_loop
from tenancy.model.errors import ExpiredError, UnavailableError


def record(name: str) -> dict[str, Any]:
    return {"kind": "Tenant", "metadata": {"name": name, "resourceVersion": "1"}}


class Cluster:
    """Fails once as it is told, and then has one record and one change."""

    def __init__(self, failure: Exception) -> None:
        self._failures = [failure]

    def list(self, kind: Any, *, labels: str) -> Listing:
        return Listing((record("faas-a"),), "1")

    def watch(self, kind: Any, since: str, *, labels: str) -> Iterator[Change]:
        if self._failures:
            raise self._failures.pop()
        yield Change("MODIFIED", record("faas-b"))


@pytest.mark.parametrize(
    ("failure", "broken"),
    [(ExpiredError("410"), 0), (UnavailableError("away"), 1), (RuntimeError("a defect"), 1), (KeyError("metadata"), 1)],
)
def test_watch_that_broke_begins_anew(monkeypatch: pytest.MonkeyPatch, failure: Exception, broken: int) -> None:
    monkeypatch.setattr("tenancy.kubernetes.watches._RETRY_SECONDS", 0.001)
    stop, names, breaks = threading.Event(), [], []

    def enqueue(name: str) -> None:
        names.append(name)
        if name == "faas-b":
            stop.set()

    cluster: Any = Cluster(failure)
    watch_loop(cluster, WatchedKind(TENANTS), enqueue, breaks.append, stop)
    assert names == ["faas-a", "faas-a", "faas-b"]
    assert len(breaks) == broken
