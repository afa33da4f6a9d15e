"""One HTTP/1.1 connection to an upstream: one exchange at a time, reused if nothing about its end is in doubt.

The upstream is a tenant's function, so nothing that it sends is trusted: a connection is kept only if request and reply
ended exactly where they said. Targets and fields are sent byte for byte.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

from gateway.http.tunnel import End
from gateway.http.websocket import SWITCHING_PROTOCOLS
from gateway.settings.upstream import FunctionSettings
from gateway.upstream.errors import (
    DeadlineError,
    DisconnectedError,
    MalformedReplyError,
    NotTakenError,
    SilentError,
    TruncatedReplyError,
)
from gateway.upstream.reply import Consumer, Fields, Reply
from gateway.upstream.reply_parser import ReplyParser
from gateway.upstream.request import Request, framed


def is_upstreams_turn(*, reading: bool, sending: bool, blocked: bool) -> bool:
    """Whether the upstream is expected to do something, so that its silence counts.

    While our caller does not take the reply, nothing is expected: an upstream that cannot send its reply may have good
    reason not to read the rest of the request.

    Args:
        reading: what the upstream sends is taken.
        sending: the body of the request has not been sent yet.
        blocked: a part of the body waits to be taken by the upstream.
    """
    return reading and (blocked or not sending)


class Connection(asyncio.Protocol):
    """A connection. `send` may be called again once the reply before is complete and the connection is kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop, released: Callable[["Connection", bool], None]) -> None:
        """`released`: called after each exchange and at the end, with whether the connection can be used again."""
        self._loop = loop
        self._released = released
        self._transport: asyncio.Transport | None = None
        self._request: Request | None = None
        self._parser: ReplyParser | None = None
        self._head: asyncio.Future[Reply] | None = None
        self._reply: Reply | None = None
        self._started_at = 0.0
        # When the upstream last did something, or the last time that its turn began.
        self._active_at = 0.0
        self._sending: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._unsent = 0
        self._writable = self._reading = True
        self._tunnel: End | None = None

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing() and self._request is None

    async def send(self, request: Request) -> Reply:
        """Sends a request and waits for the head of the reply.

        Raises:
            UpstreamError: all but `NotConnectedError`.
            Exception: what the body raised, or `request.problem` returned.
        """
        transport = self._transport
        if transport is None or not self.is_usable:
            raise DisconnectedError("the connection is closed")
        loop = self._loop
        self._request = request
        self._parser = ReplyParser(request.method, self._begin_reply, upgrade=request.upgrade)
        self._started_at = self._active_at = loop.time()
        head: asyncio.Future[Reply] = loop.create_future()
        self._head = head
        transport.write(request.head)
        if request.body is not None:
            self._sending = loop.create_task(self._send_body(request.body, request.length))
        try:
            return await head
        except asyncio.CancelledError:
            if self._head is head:
                self.abort()
            elif head.done() and not head.cancelled() and head.exception() is None:
                # The reply came at the same moment; the connection may belong to another exchange by now.
                head.result().close()
            raise
        finally:
            del head  # its exception refers to this frame

    def abort(self) -> None:
        """Ends the connection at once, and whatever happens on it."""
        if self._transport is not None:
            self._transport.abort()
        self._fail(DisconnectedError("the exchange was given up"))

    def close(self) -> None:
        """Ends an idle connection."""
        if self._transport is not None:
            self._transport.close()

    def check(self, now: float, settings: FunctionSettings) -> None:
        """Ends an exchange that takes too long (`now`: the loop's clock)."""
        try:
            failure = self._overdue(now, settings)
        except Exception as error:  # noqa: BLE001 - of `problem`; the check of the other connections goes on
            failure = error
        try:
            if failure is not None:
                self._give_up(failure)
        finally:
            del failure  # its traceback may refer to this frame

    def _overdue(self, now: float, settings: FunctionSettings) -> Exception | None:
        request, transport = self._request, self._transport
        if request is None or transport is None:
            return None
        if now - self._started_at > settings.function_timeout_seconds:
            return DeadlineError(f"not finished after {settings.function_timeout_seconds:g} s")
        if self._tunnel is not None:
            silence = settings.function_idle_timeout_seconds
            idle = self._tunnel.tunnel.is_idle(now, silence)
            return SilentError(f"nothing passed for {silence:g} s") if idle else None
        blocked = self._drained is not None
        if blocked and transport.get_write_buffer_size() != self._unsent:
            # A long piece is taken bit by bit.
            self._unsent, self._active_at = transport.get_write_buffer_size(), now
        if is_upstreams_turn(reading=self._reading, sending=self._sending is not None, blocked=blocked):
            silence = settings.function_idle_timeout_seconds
            if now - self._active_at > silence:
                return (NotTakenError if blocked else SilentError)(f"nothing happened for {silence:g} s")
        waits = self._head is not None and now - self._started_at >= settings.function_problem_seconds
        return request.problem() if waits else None

    # --- the body of the request

    async def _send_body(self, body: AsyncIterator[bytes], length: int | None) -> None:
        transport = cast("asyncio.Transport", self._transport)
        try:
            async for parts in framed(body, length):
                transport.writelines(parts)
                if not self._writable:
                    await self._drain()
        except Exception as error:  # noqa: BLE001 - of the caller's iterator; `send` or the reader of the reply raises it
            self._give_up(error)
        else:
            self._sending, self._active_at = None, self._loop.time()

    async def _drain(self) -> None:
        self._drained, self._active_at = self._loop.create_future(), self._loop.time()
        try:
            await self._drained
        finally:
            self._drained = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        self._writable = False
        if self._tunnel is not None:
            self._tunnel.pause_writing()

    def resume_writing(self) -> None:
        self._writable = True
        if self._tunnel is not None:
            self._tunnel.resume_writing()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            if self._tunnel is not None:
                return self._tunnel.data_received(data)
            # A reply to no request: the next one would get it.
            return self.abort()
        self._active_at = self._loop.time()
        try:
            parser.feed(data)
        except MalformedReplyError as error:
            return self._give_up(error)
        if parser.complete:
            self._finish(parser)
        return None

    def eof_received(self) -> bool:
        parser = self._parser
        if parser is not None:
            parser.feed_end()
            if parser.complete:
                self._finish(parser)
        return self._tunnel is not None and self._tunnel.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        failed = TruncatedReplyError if self._reply is not None else DisconnectedError
        self._transport = None
        self._fail(failed(str(error or "the upstream closed the connection")))
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.connection_lost(error)
        self._released(self, False)

    # --- the reply

    def _begin_reply(self, status: int, fields: Fields) -> Consumer:
        reply = self._reply = Reply(status, fields, self._flow, self.abort, self._switch)
        if status == SWITCHING_PROTOCOLS:
            self._flow(False)
        head, self._head = self._head, None
        if head is not None and not head.done():
            head.set_result(reply)
        return reply.feed

    def _switch(self, end: End) -> None:
        """The rest of what passes on this connection is a tunnel's, until its end."""
        cast("ReplyParser", self._parser).close()
        self._parser = self._reply = None
        self._tunnel = end
        end.connect(cast("asyncio.Transport", self._transport))

    def _flow(self, resume: bool) -> None:
        if self._transport is None or resume is self._reading:
            return
        self._reading = resume
        if resume:
            self._transport.resume_reading()
            self._active_at = self._loop.time()
        else:
            self._transport.pause_reading()

    # --- the end of an exchange

    def _finish(self, parser: ReplyParser) -> None:
        """The reply is complete."""
        reply, transport = cast("Reply", self._reply), self._transport
        keep = parser.reusable and self._sending is None and transport is not None
        if keep and not self._reading:
            self._flow(True)
        self._end_exchange()
        reply.end()
        if keep:
            self._released(self, True)
        elif transport is not None:
            transport.abort()

    def _give_up(self, failure: Exception) -> None:
        if self._tunnel is not None:
            return self._tunnel.tunnel.fail(self._tunnel, failure)
        self._fail(failure)
        if self._transport is not None:
            self._transport.abort()
        return None

    def _fail(self, failure: Exception) -> None:
        head, reply = self._head, self._reply
        self._end_exchange()
        if head is not None and not head.done():
            head.set_exception(failure)
        elif reply is not None:
            reply.end(failure)

    def _end_exchange(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None and sending is not asyncio.current_task():
            sending.cancel()
        if self._parser is not None:
            self._parser.close()
        self._request = self._parser = self._head = self._reply = None
