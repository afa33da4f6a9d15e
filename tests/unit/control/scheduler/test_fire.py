"""A schedule calls the gateway as any client with the trust's token would, and says what came of it."""

import datetime as dt
import json
from dataclasses import dataclass, field

import httpx
import pytest

from control.scheduler.fire import GatewayFire
from gateway.errors import ErrorCode, GatewayError, error_response
from gateway.identity.outage import OutageError
from gateway.identity.trusts import TrustAccess, TrustRefusedError
from policies.names import ProjectId
from tenancy.model.schedule import Schedule
from tenancy.model.trigger import Outcome, Trigger, TriggerRecord

NOON = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)
SPEC = Trigger(function="f", name="t", source=Schedule("* * * * *"), user_id="u", trust_id="trust")
RECORD = TriggerRecord(namespace="faas-p", spec=SPEC, uid="1")


@dataclass
class Tokens:
    answer: TrustAccess | Exception = field(default_factory=lambda: TrustAccess("token", "u", ProjectId("p")))
    forgotten: list[str] = field(default_factory=list)

    async def access(self, _trust_id: str) -> TrustAccess:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def forget(self, trust_id: str) -> None:
        self.forgotten.append(trust_id)


class Gateway:
    """Answers in turn; the last answer stays."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []
        self.tokens = Tokens()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def fire(self, record: TriggerRecord = RECORD):
        async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as http:
            return await GatewayFire(http, self.tokens, "http://gateway")(record, NOON)  # type: ignore[arg-type]


def error(kind: ErrorCode, **words: object) -> httpx.Response:
    response = error_response(GatewayError.of(kind, words), request_id="req-1")
    return httpx.Response(response.status_code, headers=dict(response.headers), content=bytes(response.body))


async def test_call_has_the_token_of_the_trust_and_an_id_that_is_the_same_for_the_same_time() -> None:
    gateway = Gateway(httpx.Response(200))
    first, second = await gateway.fire(), await gateway.fire()
    assert (first.outcome, first.id) == (Outcome.SUCCEEDED, second.id)
    (request, _) = gateway.seen
    assert (request.method, str(request.url)) == ("POST", "http://gateway/v1/invoke/f/")
    assert request.headers["X-Auth-Token"] == "token"
    assert request.headers["Ce-Id"] == first.id
    assert json.loads(request.content) == {"scheduled_at": "2026-11-29T12:00:00Z"}


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (TrustRefusedError(), Outcome.REFUSED, "TrustRefused"),
        (OutageError(), Outcome.FAILED, ""),
        (TrustAccess("t", "somebody", ProjectId("p")), Outcome.REFUSED, "TrustForeign"),
        (TrustAccess("t", "u", ProjectId("q")), Outcome.REFUSED, "TrustForeign"),
    ],
)
async def test_without_the_authority_nothing_is_called(answer: object, outcome: Outcome, reason: str) -> None:
    gateway = Gateway(httpx.Response(200))
    gateway.tokens.answer = answer  # type: ignore[assignment]
    result = await gateway.fire()
    assert (result.outcome, result.reason, gateway.seen) == (outcome, reason, [])


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (httpx.Response(204), Outcome.SUCCEEDED, ""),
        (httpx.Response(404, text="nothing here"), Outcome.REJECTED, ""),
        (httpx.Response(503, text="broken"), Outcome.FAILED, ""),
        (error(ErrorCode.TENANT_SUSPENDED, project_id="p", reason="unpaid"), Outcome.REFUSED, "ProjectSuspended"),
        (error(ErrorCode.ROLE_MISSING, rule="functions:invoke", project_id="p"), Outcome.REFUSED, "RoleMissing"),
        (error(ErrorCode.FUNCTION_NOT_FOUND, project_id="p", function="f"), Outcome.REFUSED, "FunctionNotReady"),
        (error(ErrorCode.FUNCTION_NOT_RUNNING, function="f", why="image"), Outcome.FAILED, ""),
        (httpx.ConnectError("refused"), Outcome.FAILED, ""),
        (httpx.Response(403, json={"errors": [{"code": "no.such", "detail": "x"}]}), Outcome.REJECTED, ""),
    ],
)
async def test_answers_become_outcomes(answer: httpx.Response | Exception, outcome: Outcome, reason: str) -> None:
    gateway = Gateway(answer)
    result = await gateway.fire()
    assert (result.outcome, result.reason, len(gateway.seen)) == (outcome, reason, 1)


async def test_token_that_is_rejected_is_not_used_again() -> None:
    gateway = Gateway(error(ErrorCode.TOKEN_INVALID))
    assert (await gateway.fire()).reason == "TrustRefused"
    assert gateway.tokens.forgotten == ["trust"]


async def test_limit_of_the_project_is_waited_for_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a limit the function was not called. Behind other failures it may have been."""
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("control.scheduler.fire.asyncio.sleep", sleep)
    limited = error(ErrorCode.CONCURRENCY_EXCEEDED, whose="project p", limit=1)
    gateway = Gateway(limited, limited, httpx.Response(200))
    assert (await gateway.fire()).outcome is Outcome.SUCCEEDED
    assert (len(gateway.seen), len(slept)) == (3, 2)
    assert len({request.headers["Ce-Id"] for request in gateway.seen}) == 1
    always = Gateway(limited)
    assert (await always.fire()).outcome is Outcome.FAILED
    assert len(always.seen) == 5


async def test_long_reply_is_not_read_to_its_end() -> None:
    class Endless(httpx.AsyncByteStream):
        read = 0

        async def __aiter__(self):
            while True:
                self.read += 1
                yield b"x" * 16_384

    stream = Endless()
    assert (await Gateway(httpx.Response(200, stream=stream)).fire()).outcome is Outcome.SUCCEEDED
    assert stream.read < 10
