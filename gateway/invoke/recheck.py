"""Checks again, while a reply is streamed, that its caller may still make the call.

A call is admitted once, at its beginning. A stream may go on for long after that, and its caller's token, role or
tenant may be gone meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from gateway.errors import GatewayError


class ReplyBrokenError(Exception):
    """The reply broke off after its head was sent, so the caller's connection has to be closed."""


class AccessLostError(ReplyBrokenError):
    """The caller may not make this call any more, so its stream was ended; the cause says why."""


class Recheck:
    """Around a stream: ends the block when a check fails."""

    __slots__ = ("_cancelling", "_check", "_checking", "_failure", "_seconds", "_task", "_timer")

    def __init__(self, check: Callable[[], Awaitable[GatewayError | None]], seconds: float) -> None:
        """Checks nothing yet.

        Args:
            check: the error that would reject the call now, or None.
            seconds: between two checks, and before the first.
        """
        self._check = check
        self._seconds = seconds
        self._failure: BaseException | None = None
        self._checking: asyncio.Future[GatewayError | None] | None = None

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raises AccessLostError in place of the cancellation by which a failed check ended the block."""
        self._timer.cancel()
        if self._checking is not None:
            self._checking.remove_done_callback(self._checked)
            self._checking.cancel()
        # A cancellation by somebody else at the same moment is propagated.
        if self._failure is not None and self._task.uncancel() <= self._cancelling:
            raise AccessLostError from self._failure

    def _wait(self) -> None:
        self._timer = self._task.get_loop().call_later(self._seconds, self._begin)

    def _begin(self) -> None:
        self._checking = asyncio.ensure_future(self._check())
        self._checking.add_done_callback(self._checked)

    def _checked(self, checking: asyncio.Future[GatewayError | None]) -> None:
        self._checking = None
        if checking.cancelled():
            return
        # A check that itself fails leaves it open whether the call is still allowed.
        self._failure = checking.exception() or checking.result()
        if self._failure is None:
            self._wait()
        else:
            self._task.cancel()
