"""The election over a Lease, with an API server's rules in memory and a clock of one's own."""

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest

from policies.model import Manifest
from tenancy.controller.leadership import LEASE, Leadership, Terms
from tenancy.kubernetes.client import Ref
from tenancy.model.errors import ConflictError, UnavailableError

TERMS = Terms(lease=15, deadline=10, retry=2)
REF = Ref(LEASE, "osfaas-system", "osfaas-controller")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Leases:
    """One Lease with optimistic concurrency."""

    def __init__(self) -> None:
        self.lease: Manifest | None = None
        self.version = 0
        self.away = False
        self.before_write: Callable[[], None] = lambda: None

    def get(self, ref: Ref) -> Manifest | None:
        self._answer()
        return copy.deepcopy(self.lease)

    def create(self, manifest: Manifest) -> Manifest:
        self._answer()
        if self.lease:
            raise ConflictError("exists")
        return self._store(manifest)

    def merge(self, ref: Ref, patch: Manifest) -> Manifest:
        self._answer()
        self.before_write()
        assert self.lease
        if patch["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError("changed")
        return self._store({**self.lease, "spec": {**self.lease["spec"], **patch["spec"]}})

    def _answer(self) -> None:
        if self.away:
            raise UnavailableError("away")

    def _store(self, manifest: Manifest) -> Manifest:
        self.version += 1
        self.lease = copy.deepcopy(manifest)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        # What the clock of another machine says is never used.
        self.lease["spec"]["renewTime"] = f"1970-01-01T00:00:00.{self.version:06d}Z"
        return self.lease


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
def candidate(leases: Leases, clock: Clock) -> Callable[[str], Leadership]:
    return lambda name: Leadership(leases, REF, name, TERMS, clock=clock)  # type: ignore[arg-type]


Candidate = Callable[[str], Leadership]


def test_a_lease_that_is_held_is_not_taken(candidate: Candidate, clock: Clock) -> None:
    """As long as it is renewed, whatever the holder's clock says."""
    first, second = candidate("a"), candidate("b")
    first._try()
    for _ in range(20):
        clock.now += 2
        first._try()
        second._try()
        assert (first.leads, second.leads) == (True, False)


def test_a_silent_leader_stops_before_another_begins(candidate: Candidate, clock: Clock) -> None:
    """There is no moment at which both may write."""
    first, second = candidate("a"), candidate("b")
    first._try()
    second._try()
    led = []
    for _ in range(40):
        clock.now += 0.5
        second._try()
        led.append((first.leads, second.leads))
    assert (True, True) not in led
    assert led[-1] == (False, True)


def test_one_who_was_faster_wins(candidate: Candidate, leases: Leases, clock: Clock) -> None:
    """Both see an abandoned Lease; one write succeeds."""
    candidate("gone")._try()
    first, second = candidate("a"), candidate("b")
    first._try()
    second._try()
    clock.now += 20

    def meddle() -> None:
        leases.before_write = lambda: None
        first._try()

    leases.before_write = meddle
    second._try()
    assert (first.leads, second.leads) == (True, False)


def test_a_leader_without_an_api_server_stops_in_time(candidate: Candidate, leases: Leases, clock: Clock) -> None:
    """It cannot know whether another one leads."""
    leader = candidate("a")
    leader._try()
    leases.away = True
    clock.now += TERMS.deadline - 1
    leader._try()
    assert leader.leads
    clock.now += 1
    leader._try()
    assert not leader.leads


def test_a_leader_whose_lease_was_taken_stops_at_once(candidate: Candidate, leases: Leases) -> None:
    """An administrator may have written another name into it."""
    leader = candidate("a")
    leader._try()
    assert leases.lease
    leases.lease["spec"]["holderIdentity"] = "b"
    leader._try()
    assert not leader.leads


def test_a_leader_that_ends_gives_the_lease_back(candidate: Candidate, leases: Leases) -> None:
    """So that the next one need not wait."""
    stop, seen = threading.Event(), []

    def began() -> None:
        seen.append("began")
        stop.set()

    candidate("a").run(stop, began, lambda: seen.append("lost"))
    assert seen == ["began"]
    second = candidate("b")
    second._try()
    assert second.leads
    assert leases.lease
    assert leases.lease["spec"]["leaseTransitions"] == 1


def test_losing_the_lead_ends_the_run(leases: Leases) -> None:
    """The process is started anew, with nothing under way."""
    seen: list[str] = []
    quick = Terms(lease=0.3, deadline=0.2, retry=0.01)
    away: Any = leases
    leadership = Leadership(away, REF, "a", quick)

    def began() -> None:
        seen.append("began")
        leases.away = True

    leadership.run(threading.Event(), began, lambda: seen.append("lost"))
    assert seen == ["began", "lost"]
