"""uvicorn's HTTP protocol behind strict framing: only unambiguous requests reach the parser, one at a time.

The application answers rejected requests like any other error, with an id, a log line and a metric.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.errors import ErrorCode, GatewayError
from gateway.http.connections import ConnectionManager
from gateway.http.counted_transport import CountedTransport
from gateway.http.head import REFUSAL
from gateway.http.transfer_rate import MinRateMonitor
from gateway.http.tunnel import End
from gateway.http.websocket import TUNNEL_END, WEBSOCKET
from gateway.http.wire import frame_head
from gateway.http.wire_body import Body, ChunkedBody, SizedBody

log = logging.getLogger(__name__)

ProjectOf = Callable[[Sequence[tuple[bytes, bytes]]], str]
# Key of the application's lifespan state: maps header fields to the project that a request is queued for.
PROJECT_OF = "project_of"

# Bytes of following requests that are kept while one is answered; beyond it the socket is not read.
_HELD_MAX = 8_192
# How long incoming bytes are discarded after the last answer, so that the caller can read it.
_LINGER_SECONDS = 2.0


class State(Enum):
    """Expected content of the next bytes."""

    HEAD = "a head, or the rest of one"
    BODY = "more of a body"
    ANSWERING = "the next request, which waits until this one is answered"
    TUNNEL = "another protocol, whose bytes are passed on unread"
    LINGERING = "of no interest: the last answer is written"


class StrictCycle(RequestResponseCycle):
    """One request and its answer. An answer that begins before the end of the body is the connection's last."""

    _unsized = False
    _task: asyncio.Task[None] | None = None
    on_switch: Callable[[End], None]

    async def run_asgi(self, app: Any) -> None:
        self._task = asyncio.current_task()
        try:
            await super().run_asgi(app)
        finally:
            self._task = None

    def refuse(self, error: GatewayError) -> None:
        """Makes the application answer with this error; running work is cancelled."""
        self.scope[REFUSAL] = error  # type: ignore[literal-required]  # a key of ours
        if self._task is not None:
            self._task.cancel()

    async def send(self, message: Any) -> None:
        if TUNNEL_END in message:
            return self._switch(message)
        if self.more_body and not self.response_started:
            self.keep_alive = False
            self.transport.linger = True  # type: ignore[attr-defined]  # a CountedTransport
        if not self.response_started:
            self.transport.hold_next(asyncio.get_running_loop())  # type: ignore[attr-defined]
        if self.scope["http_version"] == "1.0" and self.scope["method"] != "HEAD":
            self._end_with_the_connection(message)
        return await super().send(message)

    def _switch(self, message: Any) -> None:
        """Sends the head of a 101, and makes the connection one end of a tunnel."""
        if not self.disconnected:
            self.response_started = True
            fields = [b"%b: %b\r\n" % field for field in (*self.default_headers, *message["headers"])]
            self.transport.write(b"".join([b"HTTP/1.1 101 Switching Protocols\r\n", *fields, b"\r\n"]))
            self.on_switch(message[TUNNEL_END])

    def _end_with_the_connection(self, message: Any) -> None:
        """RFC 9112, 6.1: HTTP/1.0 has no chunked coding, so an answer of unknown length ends with the connection."""
        if message["type"] == "http.response.start":
            self._unsized = all(name.lower() != b"content-length" for name, _ in message["headers"])
            if self._unsized:
                self.chunked_encoding = False
        elif self._unsized:
            self.expected_content_length = len(message.get("body", b""))


class StrictProtocol(HttpToolsProtocol):
    """One connection."""

    transport: Any  # a CountedTransport, which has what uvicorn uses
    cycle: Any  # a StrictCycle, once there was a request

    def __init__(self, *args: Any, connections: ConnectionManager, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._manager = connections
        self._state = State.HEAD
        self._held = b""
        self._searched = 0
        self._blank_line_seen = False
        self._body: Body | None = None
        self._websocket = False
        self._tunnel: End | None = None
        self._received = 0
        self._since: float | None = None  # of the wait for a head, or of lingering
        self._idle_since = 0.0
        self._upload, self._download = MinRateMonitor(), MinRateMonitor()

    # --- what the connection manager reads
    @property
    def address(self) -> str | None:
        return self.client[0] if self.client else None

    @property
    def takes_body(self) -> bool:
        return self._state in {State.BODY, State.TUNNEL, State.LINGERING}

    @property
    def waiting_since(self) -> float | None:
        return self._idle_since if self._state is State.HEAD else None

    def inspect(self, now: float) -> None:
        """Ends the connection if it is too slow."""
        if self._state is State.LINGERING:
            if self.transport.outstanding():
                # The rest of the answer; a client that reads it too slowly is dropped below.
                self._since = now
            elif self._since is not None and now - self._since >= _LINGER_SECONDS:
                self.transport.abort()
        elif (
            self._state is State.HEAD
            and self._since is not None
            and now - self._since >= self._manager.settings.head_timeout_seconds
        ):
            self._head_too_late()
        elif self._body_too_slow(now):
            self._refuse(GatewayError(ErrorCode.REQUEST_TIMEOUT, part="body"))
        self._check_download(now)

    def drop(self, why: str) -> None:
        """Ends the connection at once."""
        log.info("connection dropped: %s client=%s", why, self.address)
        self.transport.abort()

    # --- callbacks of the transport
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(CountedTransport(transport, self._begin_lingering))  # type: ignore[arg-type]
        self._since = self._idle_since = self.loop.time()
        self._manager.admit(self, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        self._manager.forget(self)
        self._state, self._held = State.LINGERING, b""
        super().connection_lost(exc)
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.connection_lost(exc)
        # Nothing refers to the connection any more. A timer would keep it; reference cycles would wait for the garbage
        # collector, which stops the process for 90 ms after a burst of connections.
        self._unset_keepalive_if_required()
        self.cycle = None
        self.transport.on_linger = None

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._state is State.LINGERING:
            return
        if self._tunnel is not None:
            self._tunnel.data_received(data)
            return
        self._received += len(data)
        if self._since is None and self._state is State.HEAD:
            self._since = self.loop.time()
        self._held = self._held + data if self._held else data
        self._advance()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's returns nothing
        if self._state is not State.TUNNEL or self._tunnel is None:
            return False
        # No byte can come any more that would make the kernel reset the connection.
        self.transport.linger = False
        return self._tunnel.eof_received()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._tunnel is not None:
            self._tunnel.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._tunnel is not None:
            self._tunnel.resume_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._state is State.ANSWERING and not self.transport.is_closing():
            self._state, self._searched, self._blank_line_seen = State.HEAD, 0, False
            self._idle_since = self.loop.time()
            if self._held:
                self._unset_keepalive_if_required()
                self._since = self._idle_since
                self._advance()

    # --- framing
    def _advance(self) -> None:
        try:
            while self._held and self._state in {State.HEAD, State.BODY}:
                if not (self._take_head() if self._state is State.HEAD else self._take_body()):
                    return
        except GatewayError as error:
            self._refuse(error)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(GatewayError(ErrorCode.REQUEST_MALFORMED, why="the HTTP parser does not understand it"))
        if self._state is State.ANSWERING and len(self._held) > _HELD_MAX:
            self.flow.pause_reading()

    def _take_head(self) -> bool:
        if not self._blank_line_seen and self._searched == 0 and self._held.startswith(b"\r"):
            # RFC 9112, 2.2: one empty line before a request is ignored.
            if len(self._held) == 1:
                return False
            if self._held.startswith(b"\r\n"):
                self._blank_line_seen, self._held = True, self._held[2:]
                return bool(self._held)
        framed = frame_head(self._held, self._searched, self._manager.settings)
        if framed is None:
            self._searched = len(self._held)
            return False
        self._held, self._since = self._held[framed.consumed :], None
        self._body = _body_of(framed.length)
        self._websocket = framed.websocket
        self._state = State.ANSWERING if self._body is None else State.BODY
        self._upload.reset()
        if self._body is not None:
            # Until the application asks for the body, which it does once the caller is authenticated.
            self.flow.pause_reading()
        self.parser.feed_data(framed.head)
        return True

    def _take_body(self) -> bool:
        assert self._body is not None
        taken = self._body.take(self._held)
        self._held = self._held[taken.consumed :]
        if taken.done:
            self._state = State.ANSWERING
            # From now on the end of the connection has to be detected.
            self.flow.resume_reading()
        if taken.feed:
            self.parser.feed_data(taken.feed)
        return taken.done

    def _switch(self, end: End) -> None:
        """The connection is one end of a tunnel from now on, into which goes what has come behind the request."""
        held, self._held, self._state = self._held, b"", State.TUNNEL
        self.flow.resume_reading()
        self._tunnel = end
        end.connect(self.transport)
        if held:
            end.data_received(held)

    def _refuse(self, error: GatewayError) -> None:
        """Ends the connection with this error, unless another answer has started."""
        self._state, self._held = State.LINGERING, b""
        # Its frames refer to this connection, which will refer to it.
        error.__traceback__ = None
        self.transport.linger = True
        self.flow.resume_reading()
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._answer_refusal(error)
        elif not cycle.response_started:
            cycle.refuse(error)
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            self.transport.abort()

    def _answer_refusal(self, error: GatewayError) -> None:
        """Answers bytes that never became a request as a request without a method and a path."""
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "method": "-",
            "path": "-",
            "raw_path": b"-",
            "query_string": b"",
            "headers": [],
            "state": self.app_state.copy(),
            REFUSAL: error,
        }
        self.cycle = self._cycle_of(scope, expects_continue=False, keep_alive=False)
        self.cycle.more_body = False
        self._start_asgi_task(self.cycle, self.app)

    def _begin_lingering(self) -> None:
        self._state, self._held = State.LINGERING, b""
        self._since = self.loop.time()
        self.flow.resume_reading()
        if self._tunnel is not None:
            self.transport.resume_reading()

    def _head_too_late(self) -> None:
        if self._held:
            self._refuse(GatewayError(ErrorCode.REQUEST_TIMEOUT, part="head"))
        else:
            self.transport.close()

    def _body_too_slow(self, now: float) -> bool:
        waits_for_us = self.flow.read_paused or (self.cycle is not None and self.cycle.waiting_for_100_continue)
        if self._state is not State.BODY or waits_for_us:
            self._upload.reset()
            return False
        return self._upload.is_below_minimum(now, self._received, self._manager.settings)

    def _check_download(self, now: float) -> None:
        outstanding = self.transport.outstanding()
        if not outstanding:
            self._download.reset()
        elif self._download.is_below_minimum(
            now, self.transport.written - outstanding, self._manager.settings, self.transport.written
        ):
            self.drop("it takes its answer too slowly")

    # --- callbacks of the parser
    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        raw_path, _, query = self.url.partition(b"?")
        path = raw_path.decode("ascii")
        self.scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        self.scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        self.scope["query_string"] = query
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        if self._websocket:
            # If it is refused, what follows may be meant for a WebSocket, and must not be read as a request.
            self.scope[WEBSOCKET], keep_alive, self.transport.linger = True, False, True  # type: ignore[literal-required]
        self.cycle = self._cycle_of(
            self.scope, expects_continue=self.expect_100_continue and version != "1.0", keep_alive=keep_alive
        )
        begin = functools.partial(self._start_asgi_task, self.cycle, self.app)
        self._manager.starts.start(self._subject, begin, self.loop, gone=self._is_gone)

    def _subject(self) -> str:
        project_of: ProjectOf | None = self.app_state.get(PROJECT_OF)
        return project_of(self.headers) if project_of else ""

    def _is_gone(self) -> bool:
        return self.cycle is None

    def _cycle_of(self, scope: Any, *, expects_continue: bool, keep_alive: bool) -> StrictCycle:
        cycle = StrictCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expects_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.on_switch = self._switch
        return cycle


def _body_of(length: int | None) -> Body | None:
    if length is None:
        return ChunkedBody()
    return SizedBody(length) if length else None
