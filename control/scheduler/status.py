"""Writes what became of triggers into their status: of each trigger the latest, and a bounded number of writes at once.

Outcomes of schedules come from this process, those of events from gateways, which write no records.
"""

import asyncio
import dataclasses
import datetime as dt
import logging

from gateway.triggers.outcomes import FiringResult
from policies.names import NamespaceName
from tenancy.directory.triggers import TriggerDirectory
from tenancy.model.errors import ClusterError, NotFoundError
from tenancy.model.trigger import READY, Firing, Outcome, Readiness, TriggerRecord, TriggerStatus
from tenancy.trigger_repository import KubernetesTriggerRepository

log = logging.getLogger(__name__)

_MOST = 20_000
# A status is for people: a trigger that fires a thousand times a second needs no thousand writes.
_PAUSE_SECONDS = 0.05
_RETRY_SECONDS = 5.0
MAX_MESSAGE = 1_000


class StatusWriter:
    """Statuses that wait to be written."""

    def __init__(self, records: KubernetesTriggerRepository, triggers: TriggerDirectory) -> None:
        self._records = records
        self._triggers = triggers
        self._waiting: dict[tuple[str, str], tuple[TriggerRecord, TriggerStatus]] = {}
        self._any = asyncio.Event()

    def add(self, record: TriggerRecord, result: FiringResult, at: dt.datetime) -> None:
        """The outcome of a firing, and what it says about the trigger itself."""
        if result.outcome is None:
            return
        firing = Firing(outcome=result.outcome, at=at, id=result.id, message=result.message[:MAX_MESSAGE])
        readiness = None
        if result.reason:
            readiness = Readiness(status=False, reason=result.reason, message=result.message[:MAX_MESSAGE])
        elif result.outcome is Outcome.SUCCEEDED:
            readiness = Readiness(status=True, reason=READY)
        self._put(record, firing, readiness, at)

    def set_readiness(self, record: TriggerRecord, readiness: Readiness, now: dt.datetime) -> None:
        """The result of a check."""
        self._put(record, None, readiness, now)

    async def run(self) -> None:
        """Writes until it is cancelled."""
        while True:
            await self._any.wait()
            self._any.clear()
            while self._waiting:
                key = next(iter(self._waiting))
                record, status = self._waiting.pop(key)
                await asyncio.to_thread(self._write, record, status)
                await asyncio.sleep(_PAUSE_SECONDS)

    def _put(self, record: TriggerRecord, firing: Firing | None, readiness: Readiness | None, now: dt.datetime) -> None:
        key = record.namespace, record.object_name
        current = self._triggers.triggers_of(NamespaceName(record.namespace)).records.get(record.object_name)
        if current is None or current.uid != record.uid:
            return
        known, waiting = current.status, self._waiting.pop(key, None)
        if waiting is not None and waiting[0].uid == record.uid:
            firing, readiness = firing or waiting[1].firing, readiness or waiting[1].readiness
        if firing is not None and known.firing is not None and known.firing.at > firing.at:
            firing = None
        if readiness is not None:
            readiness = _dated(readiness, known.readiness, now)
        generation = record.generation
        changed = firing is not None or (
            readiness is not None and (readiness != known.readiness or known.observed_generation != generation)
        )
        if changed and len(self._waiting) < _MOST:
            status = TriggerStatus(observed_generation=generation, firing=firing, readiness=readiness)
            self._waiting[key] = current, status
            self._any.set()

    def _write(self, record: TriggerRecord, status: TriggerStatus) -> None:
        try:
            self._records.report(record, status)
        except NotFoundError:
            return
        except ClusterError as error:
            log.warning("the status of %s in %s cannot be written: %s", record.object_name, record.namespace, error)


def _dated(readiness: Readiness, known: Readiness | None, now: dt.datetime) -> Readiness:
    """With the time since which it is so."""
    same = known is not None and (known.status, known.reason) == (readiness.status, readiness.reason)
    since = known.since if same and known is not None else now
    return dataclasses.replace(readiness, since=since)
