"""A stream ends when its caller loses the right to it, and for no other reason of the checks."""

import asyncio

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.invoke.recheck import AccessLostError, Recheck

REVOKED = GatewayError(ErrorCode.TOKEN_INVALID)


class Checks:
    """Answers with these verdicts, one after the other."""

    def __init__(self, *verdicts: GatewayError | Exception | None) -> None:
        self.verdicts = list(verdicts)
        self.done = asyncio.Event()

    async def check(self) -> GatewayError | None:
        verdict = self.verdicts.pop(0)
        if not self.verdicts:
            self.done.set()
        if verdict is not None and not isinstance(verdict, GatewayError):
            raise verdict
        return verdict


async def test_stream_is_ended_by_the_first_check_that_rejects_it() -> None:
    checks = Checks(None, None, REVOKED)
    with pytest.raises(AccessLostError) as caught:
        async with Recheck(checks.check, 0.001):
            await asyncio.Event().wait()
    assert caught.value.__cause__ is REVOKED
    assert not checks.verdicts
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_check_that_fails_itself_ends_the_stream() -> None:
    """It is not known whether the caller may still read it."""
    broken = RuntimeError("a bug")
    with pytest.raises(AccessLostError) as caught:
        async with Recheck(Checks(broken).check, 0.001):
            await asyncio.Event().wait()
    assert caught.value.__cause__ is broken


async def test_stream_that_is_allowed_goes_on_and_its_end_ends_the_checks() -> None:
    checks = Checks(None, None, None)
    before = len(asyncio.all_tasks())
    async with Recheck(checks.check, 0.001) as recheck:
        await checks.done.wait()
        await asyncio.sleep(0)
        timer = recheck._timer
        assert not timer.cancelled()
    assert timer.cancelled()
    assert len(asyncio.all_tasks()) == before


async def test_check_under_way_is_cancelled_with_the_stream() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def check() -> GatewayError | None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return None

    async with Recheck(check, 0.001):
        await begun.wait()
    await ended.wait()


async def test_cancellation_by_somebody_else_stays_one() -> None:
    async def stream() -> None:
        async with Recheck(Checks(REVOKED).check, 60):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(stream())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
