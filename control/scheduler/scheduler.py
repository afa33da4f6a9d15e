"""Fires each time of each schedule at most once.

A time is claimed before the function is called: the claim is a write to the trigger's status, on the condition that the
record is still the one that was read. So two schedulers that both believe to lead cannot both fire it, and a scheduler
that is killed between the claim and the call does not fire it twice; that time then remains `Started`, and it is not
known whether the function ran. The Lease only avoids needless attempts.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass

from control.scheduler.agenda import Agenda, Due
from control.scheduler.dispatch import Dispatcher
from control.scheduler.fire import Fire
from control.scheduler.metrics import SchedulerMetrics
from control.scheduler.status import StatusWriter
from policies.names import NamespaceName
from tenancy.directory.kubernetes_triggers import KubernetesTriggers
from tenancy.model.errors import ClusterError, ConflictError, NotFoundError
from tenancy.model.times import timestamp
from tenancy.model.trigger import Firing, Outcome, TriggerRecord, TriggerStatus, firing_id
from tenancy.trigger_repository import KubernetesTriggerRepository

log = logging.getLogger(__name__)

_ATTEMPTS = 4
_RETRY_SECONDS = 5.0
# The loop looks at the clock at least this often, which may be set meanwhile.
_MAX_SLEEP_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerBounds:
    """How much at once, and how late; see the settings of the same names."""

    concurrency: int
    per_project: int
    max_lateness: dt.timedelta


class Scheduler:
    """The loop of one process."""

    def __init__(
        self,
        *,
        triggers: KubernetesTriggers,
        records: KubernetesTriggerRepository,
        statuses: StatusWriter,
        fire: Fire,
        leads: Callable[[], bool],
        bounds: SchedulerBounds,
        metrics: SchedulerMetrics,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._triggers = triggers
        self._records = records
        self._statuses = statuses
        self._fire = fire
        self._leads = leads
        self._max_lateness = bounds.max_lateness
        self._metrics = metrics
        self._clock = clock
        self._agenda = Agenda(bounds.max_lateness)
        self._dispatcher = Dispatcher(
            self._run, self._skip, concurrency=bounds.concurrency, per_project=bounds.per_project
        )
        self._changed = asyncio.Event()

    @property
    def known(self) -> int:
        """Number of schedules."""
        return len(self._agenda)

    def changed(self, namespace: NamespaceName | None) -> None:
        """The triggers of a tenant changed; None: perhaps all. Called in the event loop."""
        tenants = self._triggers.namespaces()
        if namespace is None:
            self._agenda.forget_others(tenants)
        for each in tenants if namespace is None else (namespace,):
            self._agenda.set_tenant(each, self._triggers.triggers_of(each).records.values())
        self._changed.set()

    async def run(self) -> None:
        """Fires what is due, until it is cancelled."""
        try:
            while True:
                now = self._clock()
                # Without the lead nothing is taken: who leads next makes up for it.
                if self._leads():
                    for due in self._agenda.take_due(now):
                        self._dispatcher.add(due)
                await self._sleep(now)
        finally:
            await self._dispatcher.close()

    async def _sleep(self, now: dt.datetime) -> None:
        at = self._agenda.next_at() if self._leads() else None
        seconds = _MAX_SLEEP_SECONDS if at is None else min(max(0.0, (at - now).total_seconds()), _MAX_SLEEP_SECONDS)
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _run(self, due: Due) -> None:
        """Claims one time, fires it, and records the outcome."""
        if self._clock() - due.at > self._max_lateness:
            log.warning("%s/%s: waited for too long", due.record.namespace, due.record.object_name)
            self._metrics.firings.labels("schedule", "skipped").inc()
            return
        record = await self._claim(due, Outcome.STARTED, "")
        if record is None:
            return
        self._metrics.lateness.observe(max(0.0, (self._clock() - due.at).total_seconds()))
        result = await self._fire(record, due.at)
        self._metrics.firings.labels("schedule", result.word).inc()
        log.info("schedule %s/%s: %s %s", record.namespace, record.object_name, result.word, result.message)
        self._statuses.add(record, result, self._clock())

    async def _skip(self, due: Due) -> None:
        self._metrics.firings.labels("schedule", "skipped").inc()
        await self._claim(due, Outcome.SKIPPED, "the firing before had not ended")

    async def _claim(self, due: Due, outcome: Outcome, message: str) -> TriggerRecord | None:
        """Claims a time; None if it must not be fired."""
        while self._leads() and self._clock() - due.at <= self._max_lateness:
            try:
                return await asyncio.to_thread(self._claimed, due, outcome, message)
            except ClusterError as error:
                # Unclaimed, so not fired.
                name = due.record.object_name
                log.warning("%s/%s: the time cannot be claimed yet: %s", due.record.namespace, name, error)
            await asyncio.sleep(_RETRY_SECONDS)
        return None

    def _claimed(self, due: Due, outcome: Outcome, message: str) -> TriggerRecord | None:
        record = due.record
        for _ in range(_ATTEMPTS):
            firing = Firing(
                outcome=outcome, at=self._clock(), message=message, id=firing_id(record.uid, timestamp(due.at))
            )
            status = TriggerStatus(observed_generation=record.generation, scheduled_at=due.at, firing=firing)
            try:
                return self._records.report(record, status, unchanged=True)
            except NotFoundError:
                return None
            except ConflictError:
                fresh = self._records.get(record.namespace, record.object_name)
                if fresh is None or fresh.uid != due.record.uid or fresh.spec != due.record.spec:
                    return None
                if fresh.status.scheduled_at is not None and fresh.status.scheduled_at >= due.at:
                    return None
                record = fresh
        return None
