"""Cancels the work of a request when its caller disconnects."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

Result = TypeVar("Result")

# Most requests are answered sooner than it pays to start a task that waits for the caller's disconnect.
_UNWATCHED_SECONDS = 0.05


class CallerGoneError(Exception):
    """The caller closed its connection before the answer."""


class CallerWatch:
    """Cancels the current task when the caller disconnects, from a moment after its creation on.

    Attributes:
        task: the task that is cancelled.
        gone: whether it was cancelled because the caller disconnected.
    """

    __slots__ = ("_timer", "_until_gone", "_watching", "gone", "task")

    def __init__(self, until_gone: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        """`until_gone`: waits for the disconnect; its result says whether there was one."""
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.gone = False
        self._until_gone = until_gone
        self._watching: asyncio.Task[bool] | None = None
        self._timer = task.get_loop().call_later(_UNWATCHED_SECONDS, self._begin)

    def end(self) -> None:
        """Stops watching."""
        self._timer.cancel()
        if self._watching is not None:
            self._watching.remove_done_callback(self._stop)
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = self.task.get_loop().create_task(self._until_gone())
        self._watching.add_done_callback(self._stop)

    def _stop(self, watching: asyncio.Task[bool]) -> None:
        if not watching.cancelled() and watching.exception() is None and watching.result():
            self.gone = True
            self.task.cancel()


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is cancelled when the caller disconnects, and has ended when this returns.

    For requests without a body: the channel is read only for the disconnect.

    Raises:
        CallerGoneError: the caller disconnected.
    """
    watch = CallerWatch(lambda: _gone(receive))
    try:
        result = await work
    except asyncio.CancelledError:
        # A cancellation by the server at the same moment is propagated.
        if not watch.gone or watch.task.uncancel():
            raise
    except Exception:
        if not watch.gone:
            raise
        watch.task.uncancel()
    else:
        if not watch.gone:
            return result
        watch.task.uncancel()
    finally:
        watch.end()
    raise CallerGoneError


async def _gone(receive: Receive) -> bool:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return True
