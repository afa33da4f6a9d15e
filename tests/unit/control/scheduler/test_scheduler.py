"""A time of a schedule is fired at most once, whoever leads, and however many believe to."""

import asyncio
import datetime as dt
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from control.scheduler.metrics import SchedulerMetrics
from control.scheduler.scheduler import Scheduler, SchedulerBounds
from control.scheduler.status import StatusWriter
from gateway.http.metrics import Metrics
from gateway.triggers.outcomes import FiringResult, refused
from tenancy.directory.triggers import ProjectTriggers
from tenancy.model.errors import ConflictError, NotFoundError, UnavailableError
from tenancy.model.schedule import Schedule
from tenancy.model.trigger import Outcome, Trigger, TriggerRecord, TriggerStatus

NOON = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
FIRED = FiringResult(outcome=Outcome.SUCCEEDED, word="fired")


class Cluster:
    """Triggers with the API server's optimistic locking; every scheduler sees them at once, unless one is stale."""

    def __init__(self) -> None:
        spec = Trigger(function="f", name="t", source=Schedule("* * * * *"), user_id="u", trust_id="t", defined_at=NOON)
        self.record = TriggerRecord(namespace="a", spec=spec, uid="1", generation=1, resource_version="0")
        self.numbers = itertools.count(1)
        self.broken: list[Exception] = []
        self.gone = False
        self.stale: TriggerRecord | None = None

    def namespaces(self) -> tuple[str, ...]:
        return ("a",)

    def triggers_of(self, _namespace: str) -> ProjectTriggers:
        record = self.stale or self.record
        return ProjectTriggers({} if self.gone else {record.object_name: record})

    def get(self, _namespace: str, _name: str) -> TriggerRecord | None:
        return None if self.gone else self.record

    def report(self, record: TriggerRecord, status: TriggerStatus, *, unchanged: bool = False) -> TriggerRecord:
        if self.broken:
            raise self.broken.pop()
        if self.gone:
            raise NotFoundError("gone")
        if unchanged and record.resource_version != self.record.resource_version:
            raise ConflictError("changed")
        old = self.record.status
        merged = TriggerStatus(
            observed_generation=status.observed_generation,
            scheduled_at=status.scheduled_at or old.scheduled_at,
            firing=status.firing or old.firing,
            readiness=status.readiness or old.readiness,
        )
        self.record = replace(self.record, status=merged, resource_version=str(next(self.numbers)))
        return self.record

    @property
    def outcome(self) -> Outcome | None:
        return self.record.status.firing.outcome if self.record.status.firing else None


class Replica:
    """One scheduler on the cluster."""

    def __init__(self, cluster: Cluster, clock: Callable[[], dt.datetime]) -> None:
        self.cluster = cluster
        self.fired: list[dt.datetime] = []
        self.leading = True
        self.result = FIRED
        self.hangs = False
        self.statuses = StatusWriter(cluster, cluster)  # type: ignore[arg-type]  # the parts that are used
        bounds = SchedulerBounds(concurrency=4, per_project=2, max_lateness=10 * MINUTE)
        self.scheduler = Scheduler(
            triggers=cluster,  # type: ignore[arg-type]
            records=cluster,  # type: ignore[arg-type]
            statuses=self.statuses,
            fire=self.fire,
            leads=lambda: self.leading,
            bounds=bounds,
            metrics=SchedulerMetrics(Metrics()),
            clock=clock,
        )
        self.tasks: list[asyncio.Task[None]] = []

    async def fire(self, _record: TriggerRecord, at: dt.datetime) -> FiringResult:
        self.fired.append(at)
        if self.hangs:
            await asyncio.Event().wait()
        return self.result

    def start(self) -> None:
        self.scheduler.changed(None)
        self.tasks = [asyncio.create_task(work) for work in (self.scheduler.run(), self.statuses.run())]

    async def kill(self) -> None:
        """As by SIGKILL: nothing is written any more."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Site:
    def __init__(self) -> None:
        self.now = NOON + MINUTE
        self.cluster = Cluster()
        self.replicas: list[Replica] = []

    def replica(self) -> Replica:
        found = Replica(self.cluster, lambda: self.now)
        self.replicas.append(found)
        return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the scheduler has no event for tests
            await asyncio.sleep(0.01)


@pytest.fixture
async def site():
    found = Site()
    yield found
    for replica in found.replicas:
        await replica.kill()


async def test_time_is_claimed_fired_and_recorded(site: Site) -> None:
    replica = site.replica()
    replica.start()
    await until(lambda: site.cluster.outcome is Outcome.SUCCEEDED)
    assert replica.fired == [NOON + MINUTE]
    status = site.cluster.record.status
    assert status.scheduled_at == NOON + MINUTE
    assert status.readiness is not None
    assert status.readiness.status


async def test_of_schedulers_that_all_believe_to_lead_one_fires(site: Site) -> None:
    """A paused process, or clocks that disagree: the Lease is not what decides."""
    for _ in range(5):
        site.replica().start()
    await until(lambda: site.cluster.outcome is Outcome.SUCCEEDED)
    await asyncio.sleep(0.2)
    assert [at for replica in site.replicas for at in replica.fired] == [NOON + MINUTE]


async def test_killed_between_claim_and_outcome_fires_no_second_time_and_says_so(site: Site) -> None:
    first = site.replica()
    first.hangs = True
    first.start()
    await until(lambda: bool(first.fired))
    await first.kill()
    second = site.replica()
    second.start()
    await asyncio.sleep(0.2)
    assert second.fired == []
    assert site.cluster.outcome is Outcome.STARTED
    site.now += MINUTE
    await until(lambda: site.cluster.outcome is Outcome.SUCCEEDED)
    assert second.fired == [NOON + 2 * MINUTE]


async def test_next_leader_makes_up_for_the_last_time_that_was_missed(site: Site) -> None:
    site.now = NOON + 5.5 * MINUTE
    replica = site.replica()
    replica.leading = False
    replica.start()
    await asyncio.sleep(0.2)
    assert replica.fired == []
    replica.leading = True
    await until(lambda: bool(replica.fired))
    assert replica.fired == [NOON + 5 * MINUTE]


async def test_stale_view_fires_nothing_that_was_claimed(site: Site) -> None:
    """The watch of the new leader has not yet shown the claim of the one before."""
    site.cluster.stale = site.cluster.record
    site.cluster.report(site.cluster.record, TriggerStatus(scheduled_at=NOON + MINUTE))
    replica = site.replica()
    replica.start()
    await asyncio.sleep(0.2)
    assert replica.fired == []


async def test_report_of_another_kind_in_between_costs_an_attempt_only(site: Site) -> None:
    site.cluster.stale = site.cluster.record
    site.cluster.report(site.cluster.record, TriggerStatus(observed_generation=1))
    replica = site.replica()
    replica.start()
    await until(lambda: bool(replica.fired))


async def test_cluster_that_does_not_answer_delays_and_loses_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.scheduler.scheduler._RETRY_SECONDS", 0.01)
    site.cluster.broken = [UnavailableError("down")] * 3
    replica = site.replica()
    replica.start()
    await until(lambda: bool(replica.fired))
    assert replica.fired == [NOON + MINUTE]


async def test_trigger_that_is_deleted_fires_no_more(site: Site) -> None:
    replica = site.replica()
    site.cluster.stale = site.cluster.record
    replica.scheduler.changed(None)
    site.cluster.gone = True
    replica.start()
    await asyncio.sleep(0.2)
    assert replica.fired == []


async def test_refusal_is_a_condition(site: Site) -> None:
    replica = site.replica()
    replica.result = refused("TrustRefused", "Keystone rejects the trust")
    replica.start()
    await until(lambda: site.cluster.outcome is Outcome.REFUSED)
    ready = site.cluster.record.status.readiness
    assert ready is not None
    assert (ready.status, ready.reason, ready.since) == (False, "TrustRefused", NOON + MINUTE)


async def test_time_that_comes_while_the_one_before_runs_is_skipped(site: Site) -> None:
    replica = site.replica()
    replica.hangs = True
    replica.start()
    await until(lambda: bool(replica.fired))
    site.now += MINUTE
    await until(lambda: site.cluster.outcome is Outcome.SKIPPED)
    assert replica.fired == [NOON + MINUTE]
