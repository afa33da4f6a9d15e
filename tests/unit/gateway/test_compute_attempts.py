"""A computation is repeated while what it needs is away, and not for anything else."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.calls.call import Call
from gateway.checksums.contract import DigestContract
from gateway.compute.attempts import Attempts
from gateway.compute.job import Job
from gateway.compute.object_function import Target
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.http.metrics import Metrics
from gateway.identity.caller import Caller
from gateway.limits.model import LimitSubject
from gateway.objects.http import StoreFailureError, StoreUnreachableError, refused
from gateway.objects.model import ByteStream, Capability, ObjectKind, ObjectRef, ObjectStat
from gateway.policy.names import Rule
from gateway.upstream.function_client import ReplyCutError
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import FunctionAddress, Tenant

STAT = ObjectStat("p", "http://swift.test/v1/AUTH_p", ObjectRef("c", "o"), "e", 9, ObjectKind.PLAIN, "text/plain")
CALLER = Caller("t", "u", "n", ProjectId("p"), "n", frozenset(), 0)
DIGESTS = {"adler32": "11e60398"}


class Function:
    """Fails with each of these in turn, then computes."""

    def __init__(self, *failures: Exception, retry_seconds: float = 60) -> None:
        self.retry_seconds = retry_seconds
        self.calls = 0
        self._failures = list(failures)

    async def compute(self, *_: Any, **__: Any) -> dict[str, str]:
        self.calls += 1
        if self._failures:
            raise self._failures.pop(0)
        return DIGESTS


async def capabilities(*_: Any) -> AsyncIterator[Capability]:
    yield ByteStream()


async def digests(function: Function, problem: GatewayError | None = None) -> dict[str, str]:
    store: Any = SimpleNamespace(capabilities=capabilities)
    fake: Any = function
    tenant = Tenant(CALLER.project_id, NamespaceName("faas-p"), {})
    subject = LimitSubject(CALLER.project_id, CALLER.user_id)
    call = Call(
        caller=CALLER,
        tenant=tenant,
        subject=subject,
        context=RequestContext(request_id="req-1"),
        rule=Rule.CHECKSUMS_GET,
    )
    job = Job(call=call, stat=STAT, contract=DigestContract(("adler32",)))
    target = Target(address=FunctionAddress("http://f.test"), permanent_failure=lambda: problem)
    return await Attempts(store, fake, Metrics()).result(job, target)


@pytest.mark.parametrize(
    "failure",
    [
        GatewayError(ErrorCode.FUNCTION_FAILED, function="f", why="its digests are incomplete or malformed"),
        GatewayError(ErrorCode.FUNCTION_TIMEOUT, function="f", why="late"),
        GatewayError(ErrorCode.FUNCTION_BUSY, function="f"),
        GatewayError(ErrorCode.OBJECT_CHANGED),
        GatewayError(ErrorCode.TOKEN_INVALID),
        refused(418),
        RuntimeError(),
    ],
    ids=repr,
)
async def test_failure_that_another_attempt_would_meet_too_is_told_at_once(failure: Exception) -> None:
    function = Function(failure)
    with pytest.raises(type(failure)) as caught:
        await digests(function)
    assert caught.value is failure
    assert function.calls == 1


@pytest.mark.parametrize(
    "failure", [ReplyCutError("f"), GatewayError(ErrorCode.FUNCTION_UNREACHABLE, function="f")], ids=repr
)
async def test_function_with_a_problem_that_lasts_is_not_waited_for(failure: GatewayError) -> None:
    function = Function(failure)
    with pytest.raises(GatewayError):
        await digests(function, GatewayError(ErrorCode.FUNCTION_NOT_RUNNING, function="f", why="no image"))
    assert function.calls == 1


async def test_attempts_end_with_their_time() -> None:
    failures = [GatewayError(ErrorCode.FUNCTION_UNREACHABLE, function="f") for _ in range(99)]
    function = Function(*failures, retry_seconds=0.5)
    with pytest.raises(GatewayError):
        await digests(function)
    assert 1 < function.calls < 9


@pytest.mark.parametrize(
    "failure",
    [
        ReplyCutError("f"),
        GatewayError(ErrorCode.FUNCTION_UNREACHABLE, function="f"),
        GatewayError(ErrorCode.OBJECT_TRUNCATED),
        StoreUnreachableError(),
        StoreFailureError(),
        refused(503),
    ],
    ids=repr,
)
async def test_what_went_away_in_the_middle_is_waited_for(failure: GatewayError) -> None:
    function = Function(failure, failure)
    assert await digests(function) == DIGESTS
    assert function.calls == 3
