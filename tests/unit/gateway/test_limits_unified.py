"""Keystone's limits in the gateway: read in the background, the last complete answer stays in force."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.http.metrics import Metrics
from gateway.identity.outage import OutageError
from gateway.limits.unified import LimitsReader, ProjectLimits
from policies.model import Limits
from policies.names import ProjectId
from policies.unified_limits import IncompleteLimitsError, UnifiedLimits

ATLAS = ProjectId("atlas")
BODIES: dict[str, Any] = {
    "/v3/auth/catalog": {"catalog": [{"id": "ours", "type": "function"}]},
    "/v3/registered_limits": {
        "registered_limits": [{"resource_name": "functions", "default_limit": 4, "region_id": None}]
    },
    "/v3/limits/model": {"model": {"name": "flat"}},
    "/v3/limits": {"limits": []},
}


class OwnCredential:
    """Tokens of a service user."""

    def __init__(self, roles: frozenset[str] = frozenset({"service"})) -> None:
        self.roles = roles
        self.current = "first"

    async def token(self, refused: str | None = None) -> str:
        if refused == self.current:
            self.current = "second"
        return self.current

    async def scope(self) -> tuple[frozenset[str], bool]:
        return self.roles, False


def reader(answer: Callable[[httpx.Request], httpx.Response], credential: OwnCredential | None = None) -> LimitsReader:
    return LimitsReader(
        client=httpx.AsyncClient(transport=httpx.MockTransport(answer)),
        auth_url="https://keystone.test/v3",
        credential=credential or OwnCredential(),
        service_type="function",
        region=None,
        timeout_seconds=5,
    )


def keystone(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=BODIES[request.url.path])


async def test_expired_token_is_replaced_once() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return keystone(request) if request.headers["X-Auth-Token"] == "second" else httpx.Response(401)

    assert await reader(answer).read() == UnifiedLimits(registered={"functions": 4})


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_any_error_is_no_answer(status: int) -> None:
    with pytest.raises(OutageError):
        await reader(lambda _: httpx.Response(status)).read()


async def test_answer_that_is_no_json_is_no_answer() -> None:
    with pytest.raises(IncompleteLimitsError):
        await reader(lambda _: httpx.Response(200, text="<html>")).read()


async def test_credential_that_sees_only_its_own_limits_reads_none() -> None:
    with pytest.raises(IncompleteLimitsError):
        await reader(keystone, OwnCredential(frozenset({"member"}))).read()


async def test_last_answer_stays_in_force_until_the_next_complete_one() -> None:
    """Whatever a read fails with, also what nobody foresaw."""
    limits, metrics, record = ProjectLimits(), Metrics(), Limits(own_functions=1)
    first = UnifiedLimits(registered={"functions": 4})
    results: list[Any] = [first, OutageError(), IncompleteLimitsError("truncated"), RuntimeError("unforeseen")]
    read, in_force = asyncio.Event(), []

    async def next_result() -> UnifiedLimits:
        in_force.append(limits.of(ATLAS, "", record).limits.own_functions)
        if not results:
            read.set()
            await asyncio.Event().wait()
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result  # type: ignore[no-any-return]

    async with limits.following(next_result, metrics, seconds=0.001):
        await read.wait()
    assert in_force == [1, 4, 4, 4, 4]
    count = metrics.unified_limit_reads.labels
    assert (count("complete")._value.get(), count("unusable")._value.get()) == (1, 3)


async def test_outage_of_five_minutes_changes_nothing_and_ends_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """No number expires; a read is tried again so often that a changed one is in force soon after the outage."""
    limits, record, clock, pause = ProjectLimits(), Limits(own_functions=1), 0.0, asyncio.sleep
    seen: dict[float, int] = {}
    over = asyncio.Event()

    async def passes(seconds: float) -> None:
        nonlocal clock
        clock += seconds
        await pause(0)

    async def keystone_away_from_the_first_read_on() -> UnifiedLimits:
        seen[clock] = limits.of(ATLAS, "", record).limits.own_functions
        if not clock:
            return UnifiedLimits(registered={"functions": 4})
        if clock <= 320:
            raise OutageError
        if seen[clock] == 5:
            over.set()
            await asyncio.Event().wait()
        return UnifiedLimits(registered={"functions": 5})

    monkeypatch.setattr("gateway.limits.unified.asyncio.sleep", passes)
    async with limits.following(keystone_away_from_the_first_read_on, Metrics(), seconds=20):
        await over.wait()
    away = {number for at, number in seen.items() if 20 <= at <= 325}
    assert away == {4}
    assert min(at for at, number in seen.items() if number == 5) <= 320 + 60


async def test_zero_seconds_never_ask() -> None:
    def never() -> Any:
        raise AssertionError("asked")

    async with ProjectLimits().following(never, Metrics(), seconds=0):
        await asyncio.sleep(0)


def test_number_is_computed_once_for_each_answer_and_record() -> None:
    limits, record = ProjectLimits(), Limits()
    assert limits.of(ATLAS, "", record) is limits.of(ATLAS, "", record)
    assert limits.of(ATLAS, "", Limits(own_functions=2)).limits.own_functions == 2
    limits.replace(UnifiedLimits(registered={"functions": 4}))
    assert limits.of(ATLAS, "", record).limits.own_functions == 4
