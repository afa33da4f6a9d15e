"""List and watch: whatever goes wrong it goes on, and a store that may have missed something says so."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from policies.model import Manifest
from tenancy.kubernetes.client import Change, Kind, Listing
from tenancy.kubernetes.informer import Reflector, Store, WatchedKind, WatchIntervals
from tenancy.kubernetes.kinds import TENANTS
from tenancy.model.errors import (
    ClusterError,
    ExpiredError,
    ForbiddenError,
    KindMissingError,
    UnavailableError,
)

WATCHED = WatchedKind(TENANTS, "team=a")
QUICK = WatchIntervals(relist=60, first_pause=0.001, max_pause=0.002)
Script = list[Any]


def item(name: str, version: str = "5", group: str = "faas-a") -> Manifest:
    return {"kind": "Any", "metadata": {"name": name, "namespace": group, "resourceVersion": version}}


def change(type_: str, name: str, version: str = "6", group: str = "faas-a") -> Change:
    return Change(type_, item(name, version, group))


class Source:
    """Answers lists and watches from a script, one step after the other; a function in it is called. Then it stops."""

    def __init__(self, script: Script, stop: threading.Event) -> None:
        self._script = script
        self._stop = stop
        self.asked: list[str] = []

    def list(self, kind: Kind, *, labels: str) -> Listing:
        assert (kind, labels) == (WATCHED.kind, WATCHED.labels)
        self.asked.append("list")
        return Listing(tuple(self._next() or ()), "1")

    def watch(self, kind: Kind, since: str, *, labels: str) -> Iterator[Change]:
        assert (kind, labels) == (WATCHED.kind, WATCHED.labels)
        self.asked.append(f"watch {since}")
        while (step := self._next()) is not None:
            yield step

    def _next(self) -> Any:
        while self._script:
            step = self._script.pop(0)
            if isinstance(step, Exception):
                raise step
            if not callable(step):
                return step
            step()
        self._stop.set()
        return None


class Stored:
    """A store of versions that follows a script."""

    def __init__(self) -> None:
        self.enqueued: list[str] = []
        self.failures: list[WatchedKind] = []
        self.seen: list[Any] = []
        self.store: Store[str] = Store(
            WATCHED,
            lambda manifest: manifest["metadata"]["namespace"] or None,
            lambda manifest: str(manifest["metadata"]["resourceVersion"]),
            self.enqueued.append,
            self.failures.append,
        )

    def look(self) -> None:
        """A step of a script: notes what the store has of a tenant at that moment."""
        self.seen.append(self.store.group("faas-a"))

    def follow(
        self, *script: Any, intervals: WatchIntervals = QUICK, clock: Callable[[], float] | None = None
    ) -> Source:
        stop = threading.Event()
        source = Source([*script], stop)
        Reflector(source, WATCHED, self.store, intervals=intervals, clock=clock or time.monotonic).run(stop)
        return source


@pytest.fixture
def stored() -> Stored:
    return Stored()


def test_store_is_absent_before_the_first_list(stored: Stored) -> None:
    """Nothing known is not the same as nothing there."""
    assert stored.store.group("faas-a") is None
    assert stored.store.values() is None


@pytest.mark.parametrize(
    ("failure", "counted"),
    [
        (UnavailableError("away"), 1),
        (ForbiddenError("403"), 1),
        (ClusterError("odd"), 1),
        (ExpiredError("410"), 0),
        (RuntimeError("a defect"), 1),
        (KeyError("metadata"), 1),
    ],
)
def test_after_a_break_the_store_is_absent_until_everything_is_listed_again(
    stored: Stored, failure: Exception, counted: int
) -> None:
    """410 Gone is no failure, but changes were missed all the same."""
    source = stored.follow([item("a")], stored.look, failure, stored.look, [item("b")], stored.look)
    assert stored.seen == [{"a": "5"}, None, {"b": "5"}]
    assert source.asked == ["list", "watch 1", "list", "watch 1"]
    assert len(stored.failures) == counted


def test_list_that_fails_leaves_the_store_absent(stored: Stored) -> None:
    stored.follow(UnavailableError("away"), stored.look, ExpiredError("between two pages"), stored.look)
    assert stored.seen == [None, None]


def test_object_that_a_change_cannot_be_taken_from_makes_the_store_absent(stored: Stored) -> None:
    """A change that was not understood is one that was missed."""
    broken = Change("MODIFIED", {"metadata": {"name": "a", "resourceVersion": "6"}})
    stored.follow([item("a")], broken, stored.look, [item("a", "6")], stored.look)
    assert stored.seen == [None, {"a": "6"}]


def test_object_deleted_while_the_watch_was_broken_disappears_and_its_tenant_is_enqueued(stored: Stored) -> None:
    """Also if nothing else of the tenant is left."""
    stored.follow(
        [item("a")], stored.enqueued.clear, UnavailableError("away"), [item("b", group="faas-b")], stored.look
    )
    assert stored.seen == [{}]
    assert sorted(stored.enqueued) == ["faas-a", "faas-b"]


def test_deleted_object_disappears(stored: Stored) -> None:
    """One that has lost the label of the selector is deleted as well, for the watch."""
    stored.follow([item("a"), item("b")], change("DELETED", "a"), stored.look, change("DELETED", "b"), stored.look)
    assert stored.seen == [{"b": "5"}, {}]
    assert stored.store.values() == ()


def test_object_of_no_tenant_is_not_kept(stored: Stored) -> None:
    stored.follow([item("a", group="")], change("ADDED", "b", group=""))
    assert stored.store.values() == ()
    assert stored.enqueued == []


def test_kind_that_the_cluster_does_not_serve_has_no_objects_and_is_no_failure(stored: Stored) -> None:
    """It may be installed later."""
    missing = KindMissingError("no such kind")
    stored.follow(missing, stored.look, missing, stored.look, [item("a")], stored.look)
    assert stored.seen == [{}, {}, {"a": "5"}]
    assert stored.failures == []


def test_tenant_is_enqueued_after_the_store_has_the_change() -> None:
    """Otherwise its reconcile would find nothing new."""
    seen: list[Any] = []

    def keep(manifest: Manifest) -> str:
        return str(manifest["metadata"]["resourceVersion"])

    def on_change(name: str) -> None:
        seen.append(store.group(name))

    store: Store[str] = Store(WATCHED, lambda manifest: "faas-a", keep, on_change, lambda watched: None)
    store.replace((item("a"),))
    store.apply(change("MODIFIED", "a"))
    store.apply(change("DELETED", "a"))
    assert seen == [{"a": "5"}, {"a": "6"}, {}]


def test_watch_goes_on_from_the_last_version_bookmarks_included_and_the_store_stays_complete(stored: Stored) -> None:
    bookmark = Change("BOOKMARK", {"metadata": {"resourceVersion": "77"}})
    source = stored.follow([item("a")], change("MODIFIED", "a", "8"), None, bookmark, None, stored.look)
    assert source.asked == ["list", "watch 1", "watch 8", "watch 77"]
    assert stored.seen == [{"a": "8"}]


def test_everything_is_listed_again_after_the_interval_and_the_store_stays_complete(stored: Stored) -> None:
    """In case a watch lost a change."""
    now = [0.0]
    source = stored.follow(
        [item("a")],
        lambda: now.append(100.0),
        None,
        stored.look,
        [item("a", "9")],
        stored.look,
        clock=lambda: now[-1],
        intervals=WatchIntervals(relist=60, first_pause=0),
    )
    assert source.asked == ["list", "watch 1", "list", "watch 1"]
    assert stored.seen == [{"a": "5"}, {"a": "9"}]


class Pauses(threading.Event):
    """An event that notes how long it was waited for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        return self.is_set()


@pytest.mark.parametrize(
    "failure", [UnavailableError("down"), ExpiredError("410 of every watch"), ValueError("no JSON")]
)
def test_pauses_between_failures_grow_and_end_with_the_first_success(stored: Stored, failure: Exception) -> None:
    """A list that succeeds is none: a server that lists but refuses watches must still be backed off."""
    stop = Pauses()
    script = [*[step for _ in range(8) for step in ([], failure)], [], change("ADDED", "a"), failure]
    source = Source(script, stop)
    Reflector(source, WATCHED, stored.store, intervals=WatchIntervals(first_pause=1, max_pause=8)).run(stop)
    longest = (1, 2, 4, 8, 8, 8, 8, 8, 1)
    assert all(most / 2 <= waited <= most for waited, most in zip(stop.waited, longest, strict=False))


def test_server_that_ends_every_watch_at_once_is_not_asked_without_pause(stored: Stored) -> None:
    stop = Pauses()
    source = Source([[item("a")], *[None] * 20], stop)
    Reflector(source, WATCHED, stored.store, intervals=WatchIntervals(first_pause=0.5)).run(stop)
    assert stop.waited[:20] == [0.5] * 20
