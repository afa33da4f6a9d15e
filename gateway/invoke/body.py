"""Streams the body of a caller's request to a function, up to a size limit."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Receive

from gateway.call_usage import CallUsage
from gateway.errors import ErrorCode, GatewayError
from gateway.http.disconnect import CallerGoneError
from gateway.http.head import RequestHead


class InboundBody:
    """Reads one request body from its ASGI channel, and detects a disconnect of the caller.

    A piece is read only when the one before has been taken, so a slow function slows its caller down.
    """

    def __init__(self, receive: Receive, head: RequestHead, limit: int, usage: CallUsage | None = None) -> None:
        """Starts nothing.

        Args:
            receive: the channel, of which nothing has been read.
            head: of the request.
            limit: maximum size in bytes.
            usage: of the call; its bytes are added.

        Raises:
            GatewayError: REQUEST_BODY_TOO_LARGE, if the head says so already.
        """
        lengths = head.all(b"content-length")
        self.length = int(lengths[0]) if lengths else None
        self.expected = bool(self.length) or bool(head.all(b"transfer-encoding"))
        if self.length is not None and self.length > limit:
            raise GatewayError(ErrorCode.REQUEST_BODY_TOO_LARGE, limit=limit)
        self._receive = receive
        self._limit = limit
        self._usage = usage
        self._ended = asyncio.Event()
        self.begun = False
        self._gone = False
        self._refused = False
        if not self.expected:
            self._ended.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body.

        Raises:
            GatewayError: REQUEST_BODY_TOO_LARGE.
            CallerGoneError: the caller left in the middle of it.
        """
        self.begun = True
        size = 0
        try:
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self._gone = True
                    raise CallerGoneError
                piece = message.get("body", b"")
                size += len(piece)
                if size > self._limit:
                    self._refused = True
                    raise GatewayError(ErrorCode.REQUEST_BODY_TOO_LARGE, limit=self._limit)
                if piece:
                    yield piece
                if not message.get("more_body", False):
                    return
        finally:
            if self._usage is not None:
                self._usage.request_bytes += size
            self._ended.set()

    def is_begun(self) -> bool:
        """Whether a byte of it has been read, so that the request cannot be sent again."""
        return self.begun

    async def until_gone(self) -> bool:
        """Returns True once the caller has disconnected, False if that cannot be seen after a rejected body.

        Bytes that arrive before that go to `pieces`.
        """
        await self._ended.wait()
        while not self._gone and not self._refused:
            self._gone = (await self._receive())["type"] == "http.disconnect"
        return self._gone
