"""Streams of services give way to users who wait."""

import asyncio
import time

import pytest

from gateway.budgets import courtesy as room
from gateway.budgets.courtesy import LONGEST_PAUSE_SECONDS, Courtesy


async def test_stream_stops_while_a_user_waits_but_not_for_long() -> None:
    courtesy = Courtesy()
    with courtesy.user():
        started = time.monotonic()
        await courtesy.give_way()
        assert time.monotonic() - started >= LONGEST_PAUSE_SECONDS * 0.9


async def test_stream_goes_on_as_soon_as_the_last_user_has_its_answer() -> None:
    courtesy = Courtesy()
    with courtesy.user():
        with courtesy.user():
            stream = asyncio.create_task(courtesy.give_way())
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not stream.done()
    await asyncio.sleep(0.001)
    assert stream.done()


async def test_stream_does_not_stop_when_nobody_waits() -> None:
    await asyncio.wait_for(Courtesy().give_way(), LONGEST_PAUSE_SECONDS / 2)


async def test_user_who_has_waited_long_waits_for_work_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "INTERACTIVE_SECONDS", 0.01)
    courtesy = Courtesy()
    with courtesy.user():
        await asyncio.sleep(0.02)
        await asyncio.wait_for(courtesy.give_way(), LONGEST_PAUSE_SECONDS / 2)
