"""Cancels the work of a request when its caller disconnects."""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from starlette.types import Receive

Result = TypeVar("Result")

_UNWATCHED_SECONDS = 0.05


class CallerGoneError(Exception):
    """The caller closed its connection before the answer."""


class CallerWatch:
    """Around the work of a request: cancels it when the caller disconnects.

    It begins after a moment, because most requests are answered sooner than it pays to start a task for it.
    """

    __slots__ = ("_cancelling", "_gone", "_task", "_timer", "_until_gone", "_watching")

    def __init__(self, until_gone: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        """`until_gone`: waits for the disconnect; its result says whether there was one."""
        self._until_gone = until_gone
        self._watching: asyncio.Task[bool] | None = None
        self._gone = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = task.get_loop().call_later(_UNWATCHED_SECONDS, self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raises CallerGoneError in place of whatever the work that was cancelled ended with."""
        self.end()
        # A cancellation by the server at the same moment is propagated.
        if self._gone and self._task.uncancel() <= self._cancelling:
            raise CallerGoneError from None

    def end(self) -> None:
        """Stops watching."""
        self._timer.cancel()
        if self._watching is not None:
            self._watching.remove_done_callback(self._stop)
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = self._task.get_loop().create_task(self._until_gone())
        self._watching.add_done_callback(self._stop)

    def _stop(self, watching: asyncio.Task[bool]) -> None:
        if not watching.cancelled() and watching.exception() is None and watching.result():
            self._gone = True
            self._task.cancel()


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is cancelled when the caller disconnects, and has ended when this returns.

    For requests without a body: the channel is read only for the disconnect.

    Raises:
        CallerGoneError: the caller disconnected.
    """
    async with CallerWatch(lambda: _gone(receive)):
        return await work


async def _gone(receive: Receive) -> bool:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return True
