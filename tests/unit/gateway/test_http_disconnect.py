"""A caller that leaves cancels everything that runs for it."""

import asyncio
from typing import Any

import pytest

from gateway.http.disconnect import CallerGoneError, unless_gone


class Connection:
    """The receiving side of a request without a body."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.read = asyncio.Event()
        self.messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    def leave(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> dict[str, Any]:
        message = await self.messages.get()
        self.read.set()
        return message


async def test_work_is_cancelled_and_has_ended_when_the_caller_leaves() -> None:
    connection, started, ended = Connection(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)  # what it cleans up takes a while
            ended.set()

    call = asyncio.create_task(unless_gone(connection.receive, work()))
    await started.wait()
    connection.leave()
    with pytest.raises(CallerGoneError):
        await call
    assert ended.is_set()


@pytest.mark.parametrize("ending", ["result", "error"])
async def test_work_that_ignores_its_cancellation_has_no_result_for_a_caller_that_left(ending: str) -> None:
    connection, started = Connection(), asyncio.Event()

    async def work() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if ending == "error":
                raise LookupError from None
        return "done"

    call = asyncio.create_task(unless_gone(connection.receive, work()))
    await started.wait()
    connection.leave()
    with pytest.raises(CallerGoneError):
        await call


async def test_cancelled_call_cancels_its_work() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    call = asyncio.create_task(unless_gone(Connection().receive, work()))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert cancelled.is_set()


async def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise LookupError("as it is")

    with pytest.raises(LookupError, match="as it is"):
        await unless_gone(Connection().receive, work())


async def test_work_that_is_done_is_answered_even_if_the_caller_left_at_that_moment() -> None:
    connection = Connection()
    connection.leave()

    async def work() -> str:
        return "done"

    assert await unless_gone(connection.receive, work()) == "done"


async def test_end_of_the_request_body_is_no_disconnect_and_nobody_listens_on() -> None:
    connection = Connection()

    async def work() -> str:
        await connection.read.wait()
        return "done"

    before = asyncio.all_tasks()
    assert await unless_gone(connection.receive, work()) == "done"
    await asyncio.sleep(0)
    assert connection.messages.empty()
    assert asyncio.all_tasks() == before
