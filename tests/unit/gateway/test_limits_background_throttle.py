"""Streams of services give way to users who wait."""

import asyncio
import time

import pytest

from gateway.limits import background_throttle as module
from gateway.limits.background_throttle import MAX_PAUSE_SECONDS, BackgroundThrottle


@pytest.fixture
def endless_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that stops though it must not, or goes on too late, does not come back within the test."""
    monkeypatch.setattr(module, "MAX_PAUSE_SECONDS", 3_600)


async def test_stream_stops_while_a_user_waits_but_not_for_long() -> None:
    throttle = BackgroundThrottle()
    with throttle.interactive():
        started = time.monotonic()
        await throttle.yield_to_interactive()
        assert time.monotonic() - started >= MAX_PAUSE_SECONDS * 0.9


async def test_stream_goes_on_as_soon_as_the_last_user_has_its_answer(endless_pause: None) -> None:
    throttle = BackgroundThrottle()
    with throttle.interactive():
        with throttle.interactive():
            stream = asyncio.create_task(throttle.yield_to_interactive())
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not stream.done()
    await stream


async def test_stream_does_not_stop_when_nobody_waits(endless_pause: None) -> None:
    await BackgroundThrottle().yield_to_interactive()


async def test_user_who_has_waited_long_waits_for_work_of_its_own(
    monkeypatch: pytest.MonkeyPatch, endless_pause: None
) -> None:
    monkeypatch.setattr(module, "INTERACTIVE_SECONDS", 0.01)
    throttle = BackgroundThrottle()
    with throttle.interactive():
        await throttle.yield_to_interactive()
