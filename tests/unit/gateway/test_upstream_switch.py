"""A switch of protocols by an upstream: only when it was asked for, and without the loss of a byte."""

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop

from gateway.http.tunnel import Tunnel
from gateway.settings.upstream import FunctionSettings
from gateway.upstream.errors import DeadlineError, MalformedReplyError, SilentError, UpstreamError
from gateway.upstream.pool import Origin, Pool
from gateway.upstream.reply_parser import ReplyParser
from gateway.upstream.request import Request
from tests.machine import scaled

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"GET / HTTP/1.1\r\nHost: f\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
ASKING = Request(HEAD, "GET", upgrade=True)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Sink:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.events: list[str] = []

    def write(self, data: bytes) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.events.append("eof")

    def close(self) -> None:
        self.events.append("close")

    abort = pause_reading = resume_reading = close

    def get_write_buffer_size(self) -> int:
        return 0


@contextlib.asynccontextmanager
async def upstream(serve: Serve, **settings: float) -> AsyncIterator[tuple[Pool, Origin]]:
    async def safely(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(safely, "127.0.0.1", 0)
    origin = Origin(False, "127.0.0.1", server.sockets[0].getsockname()[1])
    async with Pool(FunctionSettings(**settings), tls=ssl.create_default_context()) as pool:
        yield pool, origin
    server.close()


async def until(holds: Callable[[], object]) -> None:
    for _ in itertools.takewhile(lambda _: not holds(), itertools.count()):
        await asyncio.sleep(0.05)


def replying(reply: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(reply)

    return serve


def parse(pieces: list[bytes], *, upgrade: bool = True) -> tuple[int, bytes]:
    found: list[int] = []
    body: list[bytes] = []

    def begin(status: int, _fields: object) -> Callable[[bytes], None]:
        found.append(status)
        return body.append

    parser = ReplyParser("GET", begin, upgrade=upgrade)
    for piece in pieces:
        parser.feed(piece)
    assert not parser.complete
    assert not parser.reusable
    return found[0], b"".join(body)


def test_whatever_follows_a_switch_is_given_out_unread_wherever_it_is_cut() -> None:
    surplus = b"\x81\x05hello\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\x00\xff"
    data = b"HTTP/1.1 100 Continue\r\n\r\n" + SWITCH + surplus
    for cut in range(1, len(data)):
        assert parse([data[:cut], data[cut:]]) == (101, surplus)
    assert parse([data[at : at + 1] for at in range(len(data))]) == (101, surplus)


MALFORMED = {
    "no protocol": SWITCH.replace(b"Upgrade: websocket\r\n", b""),
    "no Connection": SWITCH.replace(b"Connection: Upgrade\r\n", b""),
    "a length": SWITCH.replace(b"Upgrade: w", b"Content-Length: 0\r\nUpgrade: w"),
    "chunks": SWITCH.replace(b"Upgrade: w", b"Transfer-Encoding: chunked\r\nUpgrade: w"),
    "HTTP/1.0": SWITCH.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "another interim status": SWITCH.replace(b"101", b"199") * 20,
    "a head without end": SWITCH[:-2] + b"A: " + b"a" * 70_000,
}


@pytest.mark.parametrize("reply", MALFORMED.values(), ids=MALFORMED)
def test_switch_that_is_none_is_malformed(reply: bytes) -> None:
    with pytest.raises(MalformedReplyError):
        parse([reply])


def test_switch_that_was_not_asked_for_is_malformed() -> None:
    with pytest.raises(MalformedReplyError):
        parse([SWITCH], upgrade=False)


async def connected(pool: Pool, origin: Origin) -> tuple[Tunnel, Sink, bytes]:
    """A tunnel whose caller is a sink."""
    reply = await pool.send(origin, ASKING)
    assert reply.status == 101
    tunnel, sink = Tunnel(), Sink()
    surplus = reply.switch(tunnel.function)
    tunnel.caller.connect(sink)
    return tunnel, sink, surplus


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_connection_is_a_tunnels_after_a_switch_and_is_never_used_again(loop) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCH + b"first")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert await reader.readexactly(4) == b"ping"
        writer.write(b"pong")
        await writer.drain()

    async def test() -> None:
        async with upstream(serve) as (pool, origin):
            for _ in range(3):
                tunnel, sink, surplus = await connected(pool, origin)
                tunnel.caller.data_received(b"ping")
                tunnel.function.resume_reading()
                await until(lambda: sink.events)  # noqa: B023 - at once
                assert surplus + sink.written == b"firstHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\npong"
                tunnel.caller.connection_lost(None)
                await tunnel.ended
                assert tunnel.failure is None
                assert not pool._busy
                assert not any(pool._idle.values())
            assert connections == 3

    connections = 0
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(test(), scaled(60)))


async def test_other_reply_to_the_same_request_is_an_ordinary_one() -> None:
    async with upstream(replying(b"HTTP/1.1 403 No\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno")) as (
        pool,
        origin,
    ):
        for _ in range(2):
            reply = await pool.send(origin, ASKING)
            assert (reply.status, await reply.read()) == (403, b"no")
        assert [len(kept) for kept in pool._idle.values()] == [1]


async def test_upstream_that_sends_before_it_is_read_is_held_in_the_network() -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCH)
        while sent < 64 << 20:
            writer.write(bytes(1 << 16))
            sent += 1 << 16
            await writer.drain()

    async with upstream(serve) as (pool, origin):
        reply = await pool.send(origin, ASKING)
        seen = [-1, -2]

        def stalled() -> bool:
            seen[:] = seen[1], sent
            return seen[0] == seen[1]

        await until(stalled)
        assert sent < 64 << 20
        surplus = reply.switch(Tunnel().function)
        assert len(surplus) <= 256 << 10


async def test_reply_that_is_given_up_ends_its_connection() -> None:
    async with upstream(replying(SWITCH)) as (pool, origin):
        reply = await pool.send(origin, ASKING)
        reply.close()
        with pytest.raises(UpstreamError):
            reply.switch(Tunnel().function)
        await until(lambda: not pool._busy)


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"function_idle_timeout_seconds": 0.2}, SilentError), ({"function_timeout_seconds": 0.2}, DeadlineError)],
)
async def test_timeouts_end_a_tunnel(settings: dict[str, float], error: type[UpstreamError]) -> None:
    async with upstream(replying(SWITCH), **settings) as (pool, origin):
        tunnel, sink, _ = await connected(pool, origin)
        tunnel.function.resume_reading()
        await until(lambda: sink.events)
        tunnel.caller.connection_lost(None)
        await tunnel.ended
        assert tunnel.failure is not None
        assert isinstance(tunnel.failure[1], error)


async def test_what_passes_in_one_direction_keeps_a_tunnel() -> None:
    async with upstream(replying(SWITCH), function_idle_timeout_seconds=scaled(0.5)) as (pool, origin):
        tunnel, sink, _ = await connected(pool, origin)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while loop.time() - begun < scaled(1.5):
            tunnel.caller.data_received(b"x")
            await asyncio.sleep(0.02)
        assert not sink.events
        tunnel.caller.connection_lost(None)
        await tunnel.ended


def test_half_of_a_tunnel_has_less_time() -> None:
    async def test() -> None:
        tunnel = Tunnel()
        tunnel.caller.connect(Sink())
        tunnel.function.connect(Sink())
        assert not tunnel.is_idle(100, 90)
        assert not tunnel.is_idle(189, 90)
        tunnel.caller.eof_received()
        assert not tunnel.is_idle(190, 90)
        assert not tunnel.is_idle(200, 90)
        assert tunnel.is_idle(200.1, 90)

    asyncio.run(test())
