"""A computation is repeated while what it needs is away, and not for anything else."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.checksums.computing import Computation, Computer
from gateway.edge.context import RequestContext
from gateway.edge.metrics import Metrics
from gateway.errors import GatewayError, Kind
from gateway.identity.caller import Caller
from gateway.invoke.exchange import ReplyCutError
from gateway.objects.http import StoreSilentError, StoreTroubleError, refused
from gateway.objects.model import ByteStream, Capability, ObjectKind, ObjectRef, ObjectStat
from policies.names import ProjectId
from tenancy.directory.protocol import FunctionAddress

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


async def digests(function: Function, trouble: GatewayError | None = None) -> dict[str, str]:
    store: Any = SimpleNamespace(capabilities=capabilities)
    computer = Computer(store, function, Metrics())  # type: ignore[arg-type]
    context = RequestContext(request_id="req-1")
    return await computer.digests(
        Computation(
            FunctionAddress("http://f.test"),
            CALLER,
            STAT,
            ("adler32",),
            context,
            lasting=lambda: trouble,
            give_way=None,
        )
    )


@pytest.mark.parametrize(
    "failure",
    [
        GatewayError(Kind.FUNCTION_FAILED, function="f", why="its digests are incomplete or malformed"),
        GatewayError(Kind.FUNCTION_TIMEOUT, function="f", why="late"),
        GatewayError(Kind.FUNCTION_BUSY, function="f"),
        GatewayError(Kind.OBJECT_CHANGED),
        GatewayError(Kind.TOKEN_INVALID),
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
    "failure", [ReplyCutError("f"), GatewayError(Kind.FUNCTION_UNREACHABLE, function="f")], ids=repr
)
async def test_function_with_a_trouble_that_lasts_is_not_waited_for(failure: GatewayError) -> None:
    function = Function(failure)
    with pytest.raises(GatewayError):
        await digests(function, GatewayError(Kind.FUNCTION_NOT_RUNNING, function="f", why="no image"))
    assert function.calls == 1


async def test_attempts_end_with_their_time() -> None:
    failures = [GatewayError(Kind.FUNCTION_UNREACHABLE, function="f") for _ in range(99)]
    function = Function(*failures, retry_seconds=0.5)
    with pytest.raises(GatewayError):
        await digests(function)
    assert 1 < function.calls < 9


@pytest.mark.parametrize(
    "failure",
    [
        ReplyCutError("f"),
        GatewayError(Kind.FUNCTION_UNREACHABLE, function="f"),
        GatewayError(Kind.SHORT_READ),
        StoreSilentError(),
        StoreTroubleError(),
        refused(503),
    ],
    ids=repr,
)
async def test_what_went_away_in_the_middle_is_waited_for(failure: GatewayError) -> None:
    function = Function(failure, failure)
    assert await digests(function) == DIGESTS
    assert function.calls == 3
