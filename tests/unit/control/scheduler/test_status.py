"""Statuses: who may report outcomes, which trigger they are about, and that the latest stays."""

import asyncio
import datetime as dt
import json
from dataclasses import replace

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from control.scheduler.reports import OutcomeRoutes
from control.scheduler.status import StatusWriter
from gateway.errors import ErrorCode, GatewayError
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.identity.caller import Caller
from gateway.settings.server import RequestSettings
from gateway.triggers.outcomes import REFUSED_TRUST, FiringResult
from gateway.triggers.reports import PATH, TriggerReports
from policies.names import ProjectId
from tenancy.directory.triggers import ProjectTriggers
from tenancy.model.trigger import Firing, ObjectCreated, Outcome, Readiness, Trigger, TriggerRecord, TriggerStatus

NOON = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)
SPEC = Trigger(function="f", name="t", source=ObjectCreated(container="c"), user_id="u", trust_id="secret-trust")
RECORD = TriggerRecord(namespace="faas-p", spec=SPEC, uid="1", generation=1)
FIRED = FiringResult(outcome=Outcome.SUCCEEDED, word="fired", id="e")


class Site:
    """The scheduler's endpoint and its writer; a gateway's reports go to it."""

    def __init__(self) -> None:
        self.record = RECORD
        self.written: list[TriggerStatus] = []
        self.caller: Caller | GatewayError = Caller(
            token="t", user_id="osfaas", user_name="o", project_id=ProjectId("s"), project_name="s",
            roles=frozenset(), expires_at=0,
        )  # fmt: skip
        self.writer = StatusWriter(self, self)  # type: ignore[arg-type]
        routes = OutcomeRoutes(
            identity=self,
            trustee=self,
            triggers=self,
            statuses=self.writer,
            clock=lambda: NOON,  # type: ignore[arg-type]
        )
        app = Starlette(routes=[Route(PATH, routes.receive, methods=["POST"])])
        limits = RequestSettings()
        self.app = RequestMiddleware(app, limits, Metrics())

    async def identify(self, _head: object) -> Caller:
        if isinstance(self.caller, GatewayError):
            raise self.caller
        return self.caller

    async def user_id(self) -> str:
        return "osfaas"

    async def token(self, _refused: str | None = None) -> str:
        return "t"

    def triggers_of(self, namespace: str) -> ProjectTriggers:
        return ProjectTriggers({self.record.object_name: self.record} if namespace == self.record.namespace else {})

    def report(self, record: TriggerRecord, status: TriggerStatus) -> TriggerRecord:
        self.written.append(status)
        self.record = replace(record, status=status)
        return self.record

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://scheduler.test")

    async def post(self, **changes: object) -> httpx.Response:
        outcome = {
            "namespace": "faas-p", "name": "f.t", "uid": "1", "outcome": "Rejected", "at": "2026-11-29T11:00:00Z",
            **changes,
        }  # fmt: skip
        async with self.client() as http:
            return await http.post(PATH, content=json.dumps({"outcomes": [outcome]}), headers={"X-Auth-Token": "t"})

    async def write(self) -> None:
        task = asyncio.create_task(self.writer.run())
        await asyncio.sleep(0.2)
        task.cancel()


@pytest.fixture
def site() -> Site:
    return Site()


async def test_report_of_the_gateway_becomes_the_status(site: Site) -> None:
    async with site.client() as http:
        reports = TriggerReports(http, site, "http://scheduler.test")  # type: ignore[arg-type]
        async with reports.sending():
            reports.add(RECORD, FIRED)
            reports.add(RECORD, REFUSED_TRUST)
            await asyncio.sleep(1.5)
    await site.write()
    (status,) = site.written
    assert status.firing is not None
    assert status.readiness is not None
    assert (status.firing.outcome, status.readiness.reason) == (Outcome.REFUSED, "TrustRefused")


async def test_duplicates_are_no_news_and_what_waits_is_bounded(site: Site) -> None:
    async with site.client() as http:
        reports = TriggerReports(http, site, "http://scheduler.test")  # type: ignore[arg-type]
        reports.add(RECORD, FiringResult(outcome=None, word="duplicate"))
        assert not reports._waiting
        for number in range(20_000):
            reports.add(replace(RECORD, namespace=str(number)), FIRED)
        assert len(reports._waiting) == 10_000


async def test_only_our_own_user_reports(site: Site) -> None:
    assert isinstance(site.caller, Caller)
    ours = site.caller
    for caller in (
        replace(ours, user_id="somebody"),
        replace(ours, delegated=True),
        GatewayError(ErrorCode.TOKEN_INVALID),
    ):
        site.caller = caller
        assert (await site.post()).status_code in {401, 404}
    await site.write()
    assert site.written == []


@pytest.mark.parametrize(
    "changes", [{"uid": "2"}, {"name": "f.u"}, {"namespace": "faas-q"}], ids=["reborn", "unknown", "foreign"]
)
async def test_report_about_another_trigger_changes_nothing(site: Site, changes: dict[str, object]) -> None:
    assert (await site.post(**changes)).status_code == 204
    await site.write()
    assert site.written == []


@pytest.mark.parametrize("changes", [{"outcome": "Great"}, {"at": "soon"}, {"uid": 1}])
async def test_malformed_report_is_refused(site: Site, changes: dict[str, object]) -> None:
    assert (await site.post(**changes)).status_code == 400


async def test_later_outcome_stays(site: Site) -> None:
    """Reports of two gateways may arrive in another order."""
    later = Firing(outcome=Outcome.SUCCEEDED, at=NOON)
    site.record = replace(RECORD, status=TriggerStatus(firing=later))
    assert (await site.post()).status_code == 204
    await site.write()
    assert site.written == []


async def test_time_of_the_condition_is_when_it_changed(site: Site) -> None:
    since = NOON - dt.timedelta(hours=1)
    known = Readiness(status=True, reason="Ready", since=since)
    site.record = replace(RECORD, status=TriggerStatus(observed_generation=1, readiness=known))
    site.writer.set_readiness(RECORD, Readiness(status=True, reason="Ready"), NOON)
    await site.write()
    assert site.written == []
    site.writer.set_readiness(RECORD, Readiness(status=False, reason="Loop"), NOON)
    await site.write()
    (status,) = site.written
    assert status.readiness is not None
    assert status.readiness.since == NOON
