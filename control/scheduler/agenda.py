"""The next time of every schedule. Pure but for its own state; times are handed in."""

import datetime as dt
import heapq
import itertools
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from tenancy.model.schedule import Schedule, ScheduleError, last_until, next_after
from tenancy.model.trigger import TriggerRecord

log = logging.getLogger(__name__)

Key = tuple[str, str]
_SLACK = 64
_START = dt.datetime.fromtimestamp(0, dt.UTC)


@dataclass(frozen=True, slots=True)
class Due:
    """A time of a schedule that has come."""

    record: TriggerRecord
    at: dt.datetime


@dataclass(slots=True)
class _Entry:
    """A schedule: its record, the last time that was handed out, and the next one."""

    record: TriggerRecord
    handed_out: dt.datetime
    next_at: dt.datetime | None


class Agenda:
    """Times of schedules, the earliest first.

    Of times that were missed only the last counts, and only if it is not too late. A time that was claimed before, by
    whatever process, does not come again.
    """

    def __init__(self, max_lateness: dt.timedelta) -> None:
        self._max_lateness = max_lateness
        self._entries: dict[Key, _Entry] = {}
        self._heap: list[tuple[dt.datetime, int, Key]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._entries)

    def set_tenant(self, namespace: str, records: Iterable[TriggerRecord]) -> None:
        """Replaces the schedules of a tenant; the cost is that of what has changed."""
        found = {
            (namespace, record.object_name): record for record in records if isinstance(record.spec.source, Schedule)
        }
        for key in [key for key in self._entries if key[0] == namespace and key not in found]:
            del self._entries[key]
        for key, record in found.items():
            self._set(key, record)
        self._compact()

    def forget_others(self, namespaces: Iterable[str]) -> None:
        """Removes the schedules of all other tenants."""
        kept = set(namespaces)
        for key in [key for key in self._entries if key[0] not in kept]:
            del self._entries[key]

    def next_at(self) -> dt.datetime | None:
        """When `take_due` has something next; None: no schedule has a next time."""
        while self._heap and not self._is_current(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: dt.datetime) -> list[Due]:
        """The times that have come, each once: of every schedule the last one."""
        found = []
        while (at := self.next_at()) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            entry = self._entries[key]
            source = entry.record.spec.source
            assert isinstance(source, Schedule)
            last = last_until(source, now) or at
            if now - last <= self._max_lateness:
                found.append(Due(entry.record, last))
            else:
                log.warning("%s/%s: the time %s was missed", *key, last.isoformat())
            self._advance(key, entry, max(at, last))
        return found

    def _set(self, key: Key, record: TriggerRecord) -> None:
        before = self._entries.get(key)
        if before is not None and before.record.resource_version == record.resource_version:
            return
        # A report about an earlier firing may arrive after a later time was handed out.
        same = before is not None and before.record.uid == record.uid and before.record.spec == record.spec
        handed_out = before.handed_out if same and before is not None else _START
        claimed = record.status.scheduled_at or _START
        entry = self._entries[key] = _Entry(record, handed_out, None)
        self._advance(key, entry, max(claimed, handed_out, _since(record)))

    def _advance(self, key: Key, entry: _Entry, after: dt.datetime) -> None:
        source = entry.record.spec.source
        assert isinstance(source, Schedule)
        entry.handed_out = after
        try:
            entry.next_at = next_after(source, after)
        except ScheduleError as error:
            # Written by Git, where nobody checks it.
            log.error("%s/%s: the schedule is not valid: %s", *key, error)  # noqa: TRY400
            entry.next_at = None
        if entry.next_at is not None:
            heapq.heappush(self._heap, (entry.next_at, next(self._numbers), key))

    def _is_current(self, at: dt.datetime, _number: int, key: Key) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.next_at == at

    def _compact(self) -> None:
        if len(self._heap) > 2 * len(self._entries) + _SLACK:
            times = [(entry.next_at, key) for key, entry in self._entries.items() if entry.next_at is not None]
            self._heap = [(at, next(self._numbers), key) for at, key in times]
            heapq.heapify(self._heap)


def _since(record: TriggerRecord) -> dt.datetime:
    """When the trigger was defined as it is: earlier times are not made up for."""
    if record.spec.defined_at is not None:
        return record.spec.defined_at
    return dt.datetime.fromisoformat(record.created_at) if record.created_at else _START
