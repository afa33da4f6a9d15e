"""List and watch: a reflector that keeps a store current, with the semantics and terms of Kubernetes' client-go.

Guaranteed:

- Complete or absent: after `replace`, and until `lose`, a store has seen every change that the server has sent, in the
  server's order. A watch that sends nothing for `WATCH_SILENCE_SECONDS`, not even a bookmark, counts as broken.
- Level-triggered: a store has the latest version of an object, not each one between.
- At least once: `Store` calls `on_change` for the group of each listed object, of each change and of each object that a
  later list lacks, after the store has it. The same change may be announced several times.
- A watch that the server ends in good order is resumed from the last version, bookmarks included. After 410 Gone, and
  after any other failure, everything is listed again, with exponential backoff; the store is absent meanwhile.

Not guaranteed:

- That a store is current: it follows the server's watch cache, usually within milliseconds. It may lack what its own
  process has just written. Callers compare versions, or read directly.
- An order between the objects of different kinds: each has a watch of its own.
- That a change that the server withholds is noticed before the next full list, every `WatchIntervals.relist`.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from policies.model import Manifest
from tenancy.kubernetes.client import Change, Kind, Listing
from tenancy.model.errors import ClusterError, ExpiredError, KindMissingError

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WatchedKind:
    """A kind to watch, and a label selector."""

    kind: Kind
    labels: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchIntervals:
    """Intervals of listing and of retries, in seconds.

    Attributes:
        relist: interval between full lists, in case a watch lost an event.
        first_pause, max_pause: bounds of the exponential backoff after failures; with jitter, so that replicas do not
            reconnect at the same moment.
    """

    relist: float = 600.0
    first_pause: float = 0.2
    max_pause: float = 15.0


class Source(Protocol):
    """The part of `Cluster` that is used here."""

    def list(self, kind: Kind, *, labels: str) -> Listing: ...

    def watch(self, kind: Kind, since: str, *, labels: str) -> Iterator[Change]: ...


class Sink(Protocol):
    """The receiver of a reflector; called by its thread alone."""

    def replace(self, items: tuple[Manifest, ...]) -> None:
        """All objects; every other object is deleted."""
        ...

    def apply(self, change: Change) -> None:
        """One object was added, modified or deleted; never a bookmark."""
        ...

    def confirm(self) -> None:
        """The server reports that there was no other change until now."""
        ...

    def lose(self, error: Exception, retry_seconds: float) -> None:
        """From now on changes may be missed, until the next `replace`, which is tried in `retry_seconds`."""
        ...


class Reflector:
    """Lists and watches one kind for a sink."""

    def __init__(
        self,
        source: Source,
        watched: WatchedKind,
        sink: Sink,
        *,
        intervals: WatchIntervals | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Sends no request yet: see `run`.

        Args:
            source: the cluster.
            watched: what to watch.
            sink: receives all objects and changes.
            intervals: of lists and retries.
            clock: monotonic seconds.
        """
        self._source = source
        self._watched = watched
        self._sink = sink
        self._intervals = intervals or WatchIntervals()
        self._clock = clock
        self._failures = 0

    def run(self, stop: threading.Event) -> None:
        """Lists and watches until `stop`, which ends it at the next event; survives any failure."""
        while not stop.is_set():
            try:
                self._list_and_watch(stop)
            except Exception as error:
                if not isinstance(error, ClusterError):
                    # This thread must survive any response: nothing else notices changes of this kind.
                    log.exception("the watch of %s failed unexpectedly", self._watched.kind.kind)
                stop.wait(self._lose(error))

    def _list_and_watch(self, stop: threading.Event) -> None:
        kind, labels, intervals = self._watched.kind, self._watched.labels, self._intervals
        listing = self._source.list(kind, labels=labels)
        self._sink.replace(listing.items)
        since, relist_at = listing.resource_version, self._clock() + intervals.relist
        while not stop.is_set() and self._clock() < relist_at:
            began = self._clock()
            for change in self._source.watch(kind, since, labels=labels):
                since = change.object["metadata"]["resourceVersion"]
                # Not after the list: a server that lists but refuses watches must still be backed off.
                self._failures = 0
                if change.type == "BOOKMARK":
                    self._sink.confirm()
                else:
                    self._sink.apply(change)
                if stop.is_set():
                    return
            # The server ended the watch in good order, so it is reachable.
            self._failures = 0
            self._sink.confirm()
            if self._clock() - began < intervals.first_pause:
                stop.wait(intervals.first_pause)

    def _lose(self, error: Exception) -> float:
        """Reports the failure to the sink; returns the seconds to wait."""
        self._failures += 1
        limit = min(self._intervals.max_pause, self._intervals.first_pause * 2.0 ** min(self._failures - 1, 16))
        seconds = limit * random.uniform(0.5, 1)  # noqa: S311 - spreads load, keeps no secret
        self._sink.lose(error, seconds)
        return seconds


class Store(Generic[T]):
    """The objects of one kind in groups: complete or absent. May be read by several threads."""

    def __init__(
        self,
        watched: WatchedKind,
        group_of: Callable[[Manifest], str | None],
        keep: Callable[[Manifest], T],
        on_change: Callable[[str], None],
        on_failure: Callable[[WatchedKind], None],
    ) -> None:
        """Absent until the first list.

        Args:
            watched: the kind, for the log.
            group_of: the group of an object; None: the object is ignored.
            keep: the part of an object that is kept.
            on_change: called with the group for each object and change.
            on_failure: called when the watch broke; neither for 410 Gone nor while the cluster does not serve the kind.
        """
        self._watched = watched
        self._group_of = group_of
        self._keep = keep
        self._on_change = on_change
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._groups: dict[str, dict[str, T]] = {}
        # While False, the groups are outdated; they are kept to announce the objects that the next list lacks.
        self._complete = False

    def group(self, name: str) -> Mapping[str, T] | None:
        """A copy of a group by the objects' names; None if the store is absent."""
        with self._lock:
            return dict(self._groups.get(name, {})) if self._complete else None

    def values(self) -> tuple[T, ...] | None:
        """All objects; None if the store is absent."""
        with self._lock:
            if not self._complete:
                return None
            return tuple(kept for group in self._groups.values() for kept in group.values())

    def replace(self, items: Iterable[Manifest]) -> None:
        """See `Sink`."""
        groups: dict[str, dict[str, T]] = {}
        for item in items:
            if (name := self._group_of(item)) is not None:
                groups.setdefault(name, {})[item["metadata"]["name"]] = self._keep(item)
        with self._lock:
            before, self._groups, self._complete = self._groups, groups, True
        for name in before.keys() | groups.keys():
            self._on_change(name)

    def apply(self, change: Change) -> None:
        """See `Sink`."""
        item = change.object
        if (name := self._group_of(item)) is None:
            return
        key = item["metadata"]["name"]
        with self._lock:
            group = self._groups.setdefault(name, {})
            if change.type == "DELETED":
                group.pop(key, None)
            else:
                group[key] = self._keep(item)
            if not group:
                del self._groups[name]
        self._on_change(name)

    def confirm(self) -> None:
        """See `Sink`."""

    def lose(self, error: Exception, retry_seconds: float) -> None:
        """See `Sink`. The store of a kind that the cluster does not serve is complete and empty."""
        if isinstance(error, KindMissingError):
            self.replace(())
            return
        with self._lock:
            self._complete = False
        if isinstance(error, ExpiredError):
            log.debug("the watch of %s expired; listing again", self._watched.kind.kind)
            return
        log.warning("the watch of %s broke: %s; listing again in %.1f s", self._watched.kind.kind, error, retry_seconds)
        self._on_failure(self._watched)
