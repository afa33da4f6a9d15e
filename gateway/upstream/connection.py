"""One HTTP/1.1 connection to an upstream: one exchange at a time, reused if nothing about its end is in doubt.

The upstream is a tenant's function, so nothing that it sends is trusted: the parser is strict (llhttp without
leniencies), heads, trailers and interim replies are bounded, and a connection is kept only if request and reply ended
exactly where they said. Targets and fields are sent byte for byte.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import cast

import httptools

from gateway.upstream.errors import (
    DeadlineError,
    DisconnectedError,
    MalformedReplyError,
    NotTakenError,
    SilentError,
    TruncatedReplyError,
)
from gateway.upstream.reply import Fields, Reply
from gateway.upstream.request import framed

# Of a reply's head, or of what surrounds the pieces of a chunked body; many servers allow about as much.
MAX_HEAD_BYTES = 65_536
MAX_FIELDS = 256
MAX_INTERIM_REPLIES = 16
_VERSIONS = frozenset(["1.0", "1.1"])
_FIRST_FINAL_STATUS = 200
# Switching Protocols, and what is no status.
_NOT_INTERIM = frozenset([101, *range(100)])
_BODYLESS_STATUSES = frozenset([204, 304])


def never() -> Exception | None:
    return None


@dataclass(frozen=True, slots=True)
class Request:
    """One request to an upstream.

    Attributes:
        head: request line and fields with the empty line, as they are sent.
        method: decides whether the reply may have a body.
        body: None: no body, or it is part of `head`.
        length: of the body in bytes; None: it is sent in chunks.
        problem: an error that ends the wait for the head, or None; asked now and then.
    """

    head: bytes
    method: str
    body: AsyncIterator[bytes] | None = None
    length: int | None = None
    problem: Callable[[], Exception | None] = never


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Timeouts of an exchange, in seconds.

    Attributes:
        silence: how long the upstream may neither send nor take anything while it is its turn.
        total: maximum time of the whole exchange.
        problem: when `Request.problem` is asked for the first time.
    """

    silence: float
    total: float
    problem: float


class Connection(asyncio.Protocol):
    """A connection. `send` may be called again once the reply before is complete and the connection is kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop, released: Callable[["Connection", bool], None]) -> None:
        """`released`: called after each exchange and at the end, with whether the connection can be used again."""
        self._loop = loop
        self._released = released
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._request: Request | None = None
        self._head: asyncio.Future[Reply] | None = None
        self._reply: Reply | None = None
        self._fields: Fields = []
        self._surplus = 0
        self._interim_left = 0
        self._started_at = 0.0
        # Since when the upstream is expected to do something; None: it is our turn, or our caller's.
        self._expected_since: float | None = None
        self._sending: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._writable = True
        self._keep = False
        self._until_close = False

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
        self._request, self._started_at = request, loop.time()
        self._fields, self._surplus, self._interim_left = [], 0, MAX_INTERIM_REPLIES
        self._keep = self._until_close = False
        head: asyncio.Future[Reply] = loop.create_future()
        self._head = head
        transport.write(request.head)
        if request.body is None:
            self._expected_since = self._started_at
        else:
            self._expected_since = None
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

    def check(self, now: float, timeouts: Timeouts) -> None:
        """Ends an exchange that takes too long (`now`: the loop's clock)."""
        try:
            failure = self._overdue(now, timeouts)
        except Exception as error:  # noqa: BLE001 - of `problem`; the check of the other connections goes on
            failure = error
        if failure is not None:
            self._give_up(failure)

    def _overdue(self, now: float, timeouts: Timeouts) -> Exception | None:
        request = self._request
        if request is None:
            return None
        if now - self._started_at > timeouts.total:
            return DeadlineError(f"not finished after {timeouts.total:g} s")
        if self._expected_since is not None and now - self._expected_since > timeouts.silence:
            kind = SilentError if self._drained is None else NotTakenError
            return kind(f"nothing happened for {timeouts.silence:g} s")
        waits = self._head is not None and now - self._started_at >= timeouts.problem
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
            self._sending, self._expected_since = None, self._loop.time()
            if self._request is not None and self._reply is not None and self._reply.complete:
                self._finish()

    async def _drain(self) -> None:
        self._drained, self._expected_since = self._loop.create_future(), self._loop.time()
        try:
            await self._drained
        finally:
            self._drained = self._expected_since = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._request is None or self._parser is None:
            # A reply to no request: the next one would get it.
            return self.abort()
        if self._expected_since is not None:
            self._expected_since = self._loop.time()
        self._surplus += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            return self._give_up(MalformedReplyError(str(error.__context__ or error)))
        if self._surplus > MAX_HEAD_BYTES:
            return self._give_up(MalformedReplyError("the head of the reply is too long"))
        if self._reply is not None and self._reply.complete:
            self._finish()
        return None

    def eof_received(self) -> bool:
        if self._until_close and self._reply is not None:
            self._reply.end()
            self._finish()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        failed = TruncatedReplyError if self._reply is not None else DisconnectedError
        self._transport = None
        self._fail(failed(str(error or "the upstream closed the connection")))
        # The parser refers to this object.
        self._parser = None
        self._released(self, False)

    # --- callbacks of the parser

    def on_message_begin(self) -> None:
        if self._reply is not None and self._reply.complete:
            # Bytes behind the reply: they would be taken for the next one.
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reply is None:
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = cast("httptools.HttpResponseParser", self._parser)
        status = parser.get_status_code()
        if self._reply is not None or self._head is None or self._head.done():
            return
        if status < _FIRST_FINAL_STATUS:
            self._interim_left -= 1
            if status in _NOT_INTERIM or self._interim_left < 0:
                raise ValueError("an interim reply that was not asked for")
            self._fields = []
            return
        fields, self._surplus = self._fields, 0
        if parser.get_http_version() not in _VERSIONS:
            raise ValueError("another version of HTTP")
        if len(fields) > MAX_FIELDS or sum(len(name) + len(value) for name, value in fields) > MAX_HEAD_BYTES:
            raise ValueError("the head of the reply is too long")
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        if codings and (len(codings) > 1 or codings[0].lower() != b"chunked"):
            raise ValueError("a transfer coding that is not understood")
        reply = self._reply = Reply(status, fields, self._flow, self.abort)
        if cast("Request", self._request).method == "HEAD" or status in _BODYLESS_STATUSES:
            self._keep = parser.get_http_version() == "1.1" and not _says_close(fields)
            self._parser = httptools.HttpResponseParser(self)
            reply.end()
        elif not codings and not any(name == b"content-length" for name, _ in fields):
            self._until_close = True
        head, self._head = self._head, None
        head.set_result(reply)

    def on_body(self, piece: bytes) -> None:
        self._surplus = 0
        if self._reply is None or self._reply.complete:
            self._keep = False
        else:
            self._reply.feed(piece)

    def on_message_complete(self) -> None:
        if self._reply is not None and not self._reply.complete:
            self._keep = cast("httptools.HttpResponseParser", self._parser).should_keep_alive()
            self._reply.end()

    # --- the end of an exchange

    def _flow(self, resume: bool) -> None:
        if self._transport is None:
            return
        if resume:
            self._transport.resume_reading()
            self._expected_since = self._loop.time()
        else:
            self._transport.pause_reading()
            self._expected_since = None

    def _finish(self) -> None:
        """The reply is complete."""
        keep = self._keep and self._sending is None and self._transport is not None
        self._end_exchange()
        if self._transport is not None:
            if keep:
                self._transport.resume_reading()
            else:
                self._transport.abort()
        if keep:
            self._released(self, True)

    def _give_up(self, failure: Exception) -> None:
        self._fail(failure)
        if self._transport is not None:
            self._transport.abort()

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
        self._request = self._head = self._reply = self._expected_since = None
        self._fields = []


def _says_close(fields: Fields) -> bool:
    return any(name == b"connection" and b"close" in value.lower() for name, value in fields)
