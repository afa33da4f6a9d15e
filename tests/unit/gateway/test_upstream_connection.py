"""Connections to upstreams: a reply is whole and the request's own, or there is none."""

import asyncio
import contextlib
import itertools
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway.settings.upstream import FunctionSettings
from gateway.upstream.connection import Connection, is_upstreams_turn
from gateway.upstream.errors import (
    DeadlineError,
    DisconnectedError,
    MalformedReplyError,
    NotConnectedError,
    NotTakenError,
    RequestBodyError,
    SilentError,
    TruncatedReplyError,
    UpstreamError,
)
from gateway.upstream.pool import Origin, Pool
from gateway.upstream.reply import HIGH_WATER, Reply
from gateway.upstream.reply_parser import MAX_HEAD_BYTES, MAX_INTERIM_REPLIES
from gateway.upstream.request import Request, request_head
from tests.garbage import cycles
from tests.machine import scaled, settled

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GET = Request(b"GET / HTTP/1.1\r\nHost: f\r\n\r\n", "GET")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Upstream:
    """A server whose replies the test writes."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.connections = 0
        self.received = b""
        self.ended = asyncio.Event()


@contextlib.asynccontextmanager
async def upstream(serve: Serve) -> AsyncIterator[Upstream]:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        found.ended.set()
        writer.close()

    server = await asyncio.start_server(count, "127.0.0.1", 0)
    found = Upstream(Origin(False, "127.0.0.1", server.sockets[0].getsockname()[1]))
    try:
        yield found
    finally:
        server.close()


def replying(*replies: bytes, then_close: bool = False) -> Serve:
    """Answers the requests of a connection with these replies, one after the other."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
        if not then_close:
            await reader.read()

    return serve


def settings(*, silence: float = 30, total: float = 60, problem: float = 60) -> FunctionSettings:
    return FunctionSettings(
        function_connect_timeout_seconds=scaled(5),
        function_idle_timeout_seconds=scaled(silence),
        function_timeout_seconds=scaled(total),
        function_problem_seconds=scaled(problem),
    )


def pool(**limits: float) -> Pool:
    return Pool(settings(**limits), tls=ssl.create_default_context())


@contextlib.asynccontextmanager
async def exchange(connections: Pool, origin: Origin, request: Request = GET) -> AsyncIterator[Reply]:
    reply = await connections.send(origin, request)
    try:
        yield reply
    finally:
        reply.close()


async def answer(connections: Pool, origin: Origin, request: Request = GET) -> tuple[int, bytes]:
    async with exchange(connections, origin, request) as reply:
        return reply.status, await reply.read()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MALFORMED = {
    "not HTTP": b"220 smtp ready\r\n",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "a folded field": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a blank before the colon": b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 0\r\n\r\n",
    "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "a length and chunks": CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n") + b"2\r\nok\r\n0\r\n\r\n",
    "chunked twice": CHUNKED.replace(b"chunked", b"chunked, chunked") + b"2\r\nok\r\n0\r\n\r\n",
    "another coding": CHUNKED.replace(b"chunked", b"gzip, chunked") + b"2\r\nok\r\n0\r\n\r\n",
    "a coding that is not the last": CHUNKED.replace(b"chunked", b"chunked, gzip") + b"ok",
    "a chunk size with a blank": CHUNKED + b"2 \r\nok\r\n0\r\n\r\n",
    "a chunk size that overflows": CHUNKED + b"1" + b"0" * 16 + b"2\r\nok\r\n0\r\n\r\n",
    "a chunk size behind a sign": CHUNKED + b"-2\r\nok\r\n0\r\n\r\n",
    "a chunk that is longer than its size": CHUNKED + b"1\r\nok\r\n0\r\n\r\n",
    "a head that is too long": b"HTTP/1.1 200 OK\r\nA: "
    + b"a" * (MAX_HEAD_BYTES + 1)
    + b"\r\nContent-Length: 0\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 4 * MAX_HEAD_BYTES,
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"Content-Length: 0\r\n\r\n",
    "trailers without end": CHUNKED + b"0\r\nA: " + b"a" * 4 * MAX_HEAD_BYTES,
    "a chunk extension without end": CHUNKED + b"2;" + b"a" * 4 * MAX_HEAD_BYTES,
    "interim replies without end": b"HTTP/1.1 103 Early Hints\r\n\r\n" * (MAX_INTERIM_REPLIES + 1) + OK,
}


@pytest.mark.parametrize("reply", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_reply_is_an_error_and_its_connection_ends(reply: bytes) -> None:
    async with upstream(replying(reply)) as there, pool() as connections:
        with pytest.raises(MalformedReplyError):
            await answer(connections, there.origin)
        await there.ended.wait()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", DisconnectedError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", DisconnectedError),
        (b"HTTP/1.1 100 Continue\r\n\r\n", DisconnectedError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", TruncatedReplyError),
        (CHUNKED + b"2\r\nok\r\n", TruncatedReplyError),
        (CHUNKED + b"2\r\nok\r\n0\r\n", TruncatedReplyError),
    ],
)
async def test_reply_that_breaks_off_is_never_taken_for_a_whole_one(reply: bytes, error: type[UpstreamError]) -> None:
    async with upstream(replying(reply, then_close=True)) as there, pool() as connections:
        with pytest.raises(error):
            await answer(connections, there.origin)


WHOLE_CHUNKED = CHUNKED + b"2\r\nok\r\n0\r\n\r\n"
SURPLUS = {
    "another reply behind chunks": WHOLE_CHUNKED + OK,
    "a line behind chunks": WHOLE_CHUNKED + b"\r\n",
    "a line behind a length": OK + b"\r\n",
    "a line behind 204": b"HTTP/1.1 204 No Content\r\n\r\n\r\n",
    "half a chunk behind 204": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5",
    "half of another reply": OK + b"HTTP/1.1 200 OK\r\n",
    "another reply": OK + OK,
    "a longer body": OK + b"more",
    "a body for HEAD": OK,
    "a body for 204": b"HTTP/1.1 204 No Content\r\n\r\nok",
}


@pytest.mark.parametrize("reply", SURPLUS.values(), ids=SURPLUS)
async def test_bytes_behind_a_reply_are_not_the_next_reply(reply: bytes) -> None:
    """Otherwise one call would get the answer that a function made for another."""
    method = "HEAD" if reply == OK else "GET"
    request = Request(request_head(method, b"/", [(b"Host", b"f")]), method)
    async with upstream(replying(reply, OK)) as there, pool() as connections:
        for _ in range(2):
            with contextlib.suppress(MalformedReplyError):
                assert (await answer(connections, there.origin, request))[1] in {b"", b"ok"}
            await settled()
        assert there.connections == 2


async def test_late_bytes_end_an_idle_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await go_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        await reader.read()

    go_on = asyncio.Event()
    async with upstream(serve) as there, pool() as connections:
        assert await answer(connections, there.origin) == (200, b"ok")
        go_on.set()
        await there.ended.wait()
        go_on.clear()
        assert await answer(connections, there.origin) == (200, b"ok")
        assert there.connections == 2


@pytest.mark.parametrize(
    ("reply", "method", "kept"),
    [
        (OK, "GET", True),
        (CHUNKED + b"1;x=y\r\no\r\n1\r\nk\r\n0\r\nTrailer: t\r\n\r\n", "GET", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "GET", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "HEAD", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", "HEAD", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, "GET", True),
        (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), "GET", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "HEAD", False),
        (OK.replace(b"HTTP/1.1", b"HTTP/1.0"), "GET", False),
    ],
)
async def test_connection_is_kept_if_the_end_of_the_reply_is_certain(reply: bytes, method: str, kept: bool) -> None:
    request = Request(request_head(method, b"/", [(b"Host", b"f")]), method)
    async with upstream(replying(reply, reply, reply)) as there, pool() as connections:
        bodies = {await answer(connections, there.origin, request) for _ in range(3)}
        assert len(bodies) == 1
        assert there.connections == (1 if kept else 3)


async def test_fields_of_interim_replies_and_trailers_are_not_the_replys() -> None:
    reply = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + CHUNKED + b"0\r\nTrailer: t\r\n\r\n"
    async with (
        upstream(replying(reply)) as there,
        pool() as connections,
        exchange(connections, there.origin, GET) as got,
    ):
        await got.read()
        assert got.fields == [(b"transfer-encoding", b"chunked")]


async def test_reply_without_a_length_ends_with_its_connection() -> None:
    async with upstream(replying(b"HTTP/1.1 200 OK\r\n\r\nok", then_close=True)) as there, pool() as connections:
        assert await answer(connections, there.origin) == (200, b"ok")


async def test_body_arrives_in_the_order_and_at_the_pace_of_its_reader() -> None:
    """What is not read waits in the network, not in memory."""
    size, sent = 40 * HIGH_WATER, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes([sent // HIGH_WATER]) * HIGH_WATER)
            sent += HIGH_WATER
            await writer.drain()
        await reader.read()

    async with upstream(serve) as there, pool() as connections, exchange(connections, there.origin, GET) as reply:
        await settled(2_000)
        assert reply._buffered <= 3 * HIGH_WATER
        assert sent < size
        body = await reply.read()
    assert body == b"".join(bytes([number]) * HIGH_WATER for number in range(40))


def reply_of(*arrived: bytes) -> Reply:
    reply = Reply(200, [], lambda _: None, lambda: None)
    for piece in arrived:
        reply.feed(piece)
    reply.end()
    return reply


async def test_small_pieces_that_have_arrived_are_handed_on_as_one() -> None:
    reply = reply_of(*[b"%d" % (number % 10) for number in range(10_000)])
    assert [piece async for piece in reply.pieces()] == [b"0123456789" * 1_000]


async def test_large_pieces_are_handed_on_in_their_order_and_without_a_copy() -> None:
    large = [b"x" * 5_000, b"y" * 100_000]
    reply = reply_of(b"a", b"b", large[0], b"c", large[1], b"d", b"", b"e")
    got = [piece async for piece in reply.pieces()]
    assert got == [b"ab", large[0], b"c", large[1], b"de"]
    assert (got[1] is large[0], got[3] is large[1]) == (True, True)


async def test_ten_thousand_chunks_of_a_byte_are_few_pieces() -> None:
    """Each piece costs a send to the caller."""
    count = 10_000
    body = CHUNKED + b"1\r\nx\r\n" * count + b"0\r\n\r\n"
    async with (
        upstream(replying(body)) as there,
        pool() as connections,
        exchange(connections, there.origin) as reply,
    ):
        got = [piece async for piece in reply.pieces()]
    assert b"".join(got) == b"x" * count
    assert len(got) < 100


def test_small_pieces_count_with_the_memory_that_they_take() -> None:
    """A reader that takes nothing must not cost more memory because the upstream sends tiny chunks."""
    flows: list[bool] = []
    reply = Reply(200, [], flows.append, lambda: None)
    for number in range(HIGH_WATER // 32):
        reply.feed(b"%02d" % (number % 100))
    assert flows[:1] == [False]
    assert len(reply.read_nowait()) == HIGH_WATER // 16
    assert flows[-1] is True


async def test_leaving_a_reply_before_its_end_closes_its_connection() -> None:
    async with upstream(replying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")) as there, pool() as connections:
        async with exchange(connections, there.origin, GET) as reply:
            assert reply.status == 200
        await there.ended.wait()


async def test_caller_that_leaves_during_the_wait_closes_the_connection() -> None:
    async with upstream(replying(b"")) as there, pool() as connections:
        waiting = asyncio.ensure_future(answer(connections, there.origin))
        await settled()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await there.ended.wait()


# --- timeouts


@pytest.mark.parametrize(
    ("reply", "limits", "error"),
    [
        (b"", {"silence": 0.2}, SilentError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", {"silence": 0.2}, SilentError),
        (b"", {"total": 0.2}, DeadlineError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", {"total": 0.2}, DeadlineError),
    ],
)
async def test_upstream_that_takes_too_long_is_given_up(
    reply: bytes, limits: dict[str, float], error: type[UpstreamError]
) -> None:
    async with upstream(replying(reply)) as there, pool(**limits) as connections:
        with pytest.raises(error):
            await answer(connections, there.origin)
        await there.ended.wait()


async def test_known_problem_ends_the_wait_for_a_head() -> None:
    class KnownError(Exception):
        pass

    request = Request(GET.head, "GET", problem=KnownError)
    async with upstream(replying(b"")) as there, pool(problem=0) as connections:
        with pytest.raises(KnownError):
            await answer(connections, there.origin, request)


async def test_check_that_fails_ends_its_own_exchange_and_no_other() -> None:
    def broken() -> Exception | None:
        raise LookupError

    async with upstream(replying(b"")) as there, pool(problem=0, silence=0.5) as connections:
        first = asyncio.ensure_future(answer(connections, there.origin, Request(GET.head, "GET", problem=broken)))
        second = asyncio.ensure_future(answer(connections, there.origin))
        with pytest.raises(LookupError):
            await first
        with pytest.raises(SilentError):
            await second


@pytest.mark.parametrize(
    ("reading", "sending", "blocked", "turn"),
    [
        (True, False, False, True),  # the request is sent; the reply is waited for
        (True, True, False, False),  # our caller sends nothing
        (True, True, True, True),  # the upstream takes nothing
        (False, False, False, False),  # our caller does not take the reply
        (False, True, False, False),
        (False, True, True, False),  # nor does the upstream go on before the caller does
    ],
)
def test_it_is_the_upstreams_turn_unless_it_waits_for_the_caller(
    reading: bool, sending: bool, blocked: bool, turn: bool
) -> None:
    assert is_upstreams_turn(reading=reading, sending=sending, blocked=blocked) is turn


HOUR = 3_600
FOREVER = 1e9 * HOUR
PATIENT = settings(silence=30, total=FOREVER, problem=FOREVER)


def an_hour_later(connections: Pool) -> None:
    """What the sweep of an hour later does."""
    for connection in list(connections._busy):
        connection.check(asyncio.get_running_loop().time() + HOUR, PATIENT)


async def hours_pass(connections: Pool, failing: asyncio.Future[Any]) -> None:
    """Until the exchange fails. The network may take a part of the body in some of the hours, but not without end."""
    now = asyncio.get_running_loop().time()
    while not failing.done():
        assert connections._busy, "the connection has ended, and nobody was told"
        now += HOUR
        for connection in list(connections._busy):
            connection.check(now, PATIENT)
        await settled()


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)


def only(connections: Pool) -> Connection:
    (connection,) = connections._busy
    return connection


def is_reading(connection: Connection) -> bool:
    transport = connection._transport
    return transport is not None and transport.is_reading()


def posted(body: AsyncIterator[bytes]) -> Request:
    return Request(request_head("POST", b"/", [(b"Transfer-Encoding", b"chunked")]), "POST", body)


async def test_silence_of_the_callers_body_is_not_the_upstreams() -> None:
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        await go_on.wait()
        yield b"b"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"1\r\na\r\n")
        arrived.set()
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(OK)
        await reader.read()

    arrived = asyncio.Event()
    async with upstream(serve) as there, pool() as connections:
        waiting = asyncio.ensure_future(answer(connections, there.origin, posted(slow())))
        await arrived.wait()
        an_hour_later(connections)
        go_on.set()
        assert await waiting == (200, b"ok")


async def test_caller_who_does_not_take_the_reply_is_not_the_upstreams_silence() -> None:
    size = 40 * HIGH_WATER

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        await reader.read()

    async with (
        upstream(serve) as there,
        pool() as connections,
        exchange(connections, there.origin) as reply,
    ):
        connection = only(connections)
        await until(lambda: not is_reading(connection))
        an_hour_later(connections)
        assert len(await reply.read()) == size


async def test_upstream_that_is_silent_after_its_reply_was_waited_for_is_given_up() -> None:
    """The silence counts from when reading goes on."""
    size = 2 * HIGH_WATER

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size + 1) + bytes(size))
        await reader.read()

    async with upstream(serve) as there, pool() as connections, exchange(connections, there.origin) as reply:
        taken = 0
        async for piece in reply.pieces():
            taken += len(piece)
            if taken == size:
                break
        assert is_reading(only(connections))
        an_hour_later(connections)
        with pytest.raises(SilentError) as caught:
            await reply.read()
    assert not isinstance(caught.value, NotTakenError)


async def test_silence_of_the_upstream_counts_from_when_its_reply_is_taken_again() -> None:
    """The hours before that were the caller's."""
    size = 2 * HIGH_WATER

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size + 1) + bytes(size))
        await reader.read()

    async with upstream(serve) as there, pool() as connections, exchange(connections, there.origin) as reply:
        connection = only(connections)
        await until(lambda: not is_reading(connection))
        now = asyncio.get_running_loop().time()
        connection._active_at = now - HOUR
        reply.read_nowait()
        assert is_reading(connection)
        connection.check(now, PATIENT)
        assert connection._request is not None


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(HIGH_WATER)


async def test_upstream_that_takes_nothing_of_the_body_is_given_up() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    async with upstream(serve) as there, pool() as connections:
        waiting = asyncio.ensure_future(answer(connections, there.origin, posted(endless())))
        await until(lambda: waiting.done() or (connections._busy and only(connections)._drained))
        await hours_pass(connections, waiting)
        with pytest.raises(NotTakenError):
            await waiting


async def test_upstream_that_takes_the_body_slowly_is_not_silent() -> None:
    """What it takes of a long piece is activity, although the piece is not sent yet."""
    size, step = 256 * HIGH_WATER, asyncio.Event()

    async def long() -> AsyncIterator[bytes]:
        yield bytes(size)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await step.wait()
        await reader.readexactly(size // 2)
        await asyncio.Event().wait()

    async with upstream(serve) as there, pool() as connections:
        waiting = asyncio.ensure_future(answer(connections, there.origin, posted(long())))
        await until(lambda: waiting.done() or (connections._busy and only(connections)._drained))
        await settled()
        connection, started = only(connections), asyncio.get_running_loop().time()
        connection.check(started, PATIENT)
        unsent = connection._unsent
        step.set()
        await until(lambda: connection._transport.get_write_buffer_size() < unsent)
        connection.check(started + HOUR, PATIENT)
        await settled()
        assert not waiting.done()
        await hours_pass(connections, waiting)
        with pytest.raises(NotTakenError):
            await waiting


async def test_upstream_that_waits_for_the_reader_of_its_early_reply_is_not_silent() -> None:
    """It takes no more of the body before somebody takes its reply: that is the caller's affair."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 40))
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()

    async with (
        upstream(serve) as there,
        pool() as connections,
        exchange(connections, there.origin, posted(endless())) as reply,
    ):
        connection = only(connections)
        await until(lambda: not is_reading(connection) and connection._drained)
        await settled()
        an_hour_later(connections)
        taken = 0
        async for piece in reply.pieces():
            taken += len(piece)
            if taken > 40 * HIGH_WATER:
                break
        assert connection.check(asyncio.get_running_loop().time(), PATIENT) is None


async def test_caller_who_sends_nothing_more_after_an_early_reply_is_not_the_upstreams_silence() -> None:
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        await go_on.wait()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"1\r\na\r\n")
        writer.write(CHUNKED + b"1\r\nx\r\n")
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"1\r\ny\r\n0\r\n\r\n")
        await reader.read()

    async with (
        upstream(serve) as there,
        pool() as connections,
        exchange(connections, there.origin, posted(slow())) as reply,
    ):
        pieces = reply.pieces()
        assert await anext(pieces) == b"x"
        an_hour_later(connections)
        go_on.set()
        assert [piece async for piece in pieces] == [b"y"]


async def test_no_connection_is_told_from_a_connection_that_ended() -> None:
    async with pool() as connections:
        with pytest.raises(NotConnectedError):
            await answer(connections, Origin(False, "127.0.0.1", 1))


# --- the body of the request


async def pieces(*words: bytes) -> AsyncIterator[bytes]:
    for word in words:
        yield word


async def test_body_is_sent_with_its_length_or_in_chunks() -> None:
    received = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for end in (b"abc", b"0\r\n\r\n"):
            await reader.readuntil(b"\r\n\r\n")
            received.append(await reader.readuntil(end))
            writer.write(OK)
        await reader.read()

    known = Request(request_head("PUT", b"/", [(b"Content-Length", b"3")]), "PUT", pieces(b"a", b"bc"), 3)
    unknown = Request(request_head("PUT", b"/", [(b"Transfer-Encoding", b"chunked")]), "PUT", pieces(b"a", b"bc"))
    async with upstream(serve) as there, pool() as connections:
        for request in (known, unknown):
            assert await answer(connections, there.origin, request) == (200, b"ok")
        assert there.connections == 1
    assert received == [b"abc", b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"]


@pytest.mark.parametrize("length", [1, 3], ids=["longer", "shorter"])
async def test_body_that_contradicts_its_length_reaches_no_end(length: int) -> None:
    head = request_head("PUT", b"/", [(b"Content-Length", str(length).encode())])
    async with upstream(replying(b"")) as there, pool() as connections:
        with pytest.raises(RequestBodyError):
            await answer(connections, there.origin, Request(head, "PUT", pieces(b"a", b"b"), length))
        await there.ended.wait()


async def test_failure_of_the_bodys_source_is_the_failure() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise KeyError("the caller left")

    head = request_head("PUT", b"/", [(b"Transfer-Encoding", b"chunked")])
    async with upstream(replying(b"")) as there, pool() as connections:
        with pytest.raises(KeyError, match="the caller left"):
            await answer(connections, there.origin, Request(head, "PUT", broken()))
        await there.ended.wait()


async def test_early_answer_arrives_and_the_rest_of_the_body_is_not_sent() -> None:
    left = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"a" * 1_000
                await asyncio.sleep(0)
        finally:
            left.set()

    head = request_head("PUT", b"/", [(b"Transfer-Encoding", b"chunked")])
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"
    async with upstream(replying(refusal)) as there, pool() as connections:
        assert await answer(connections, there.origin, Request(head, "PUT", endless())) == (413, b"no")
        await left.wait()
        await there.ended.wait()


async def test_reply_and_request_may_flow_at_the_same_time() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED)
        for _ in range(2):
            await reader.readline()
            writer.write(b"1\r\n" + (await reader.readline())[:1] + b"\r\n")
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"0\r\n\r\n")
        await reader.read()

    turns: asyncio.Queue[bytes] = asyncio.Queue()

    async def asked() -> AsyncIterator[bytes]:
        while word := await turns.get():
            yield word

    head = request_head("POST", b"/", [(b"Transfer-Encoding", b"chunked")])
    async with upstream(serve) as there, pool() as connections:
        async with exchange(connections, there.origin, Request(head, "POST", asked())) as reply:
            answers = reply.pieces()
            for word in (b"x", b"y"):
                turns.put_nowait(word)
                assert await anext(answers) == word
            turns.put_nowait(b"")
            assert [piece async for piece in answers] == []
        assert there.connections == 1


# --- heads


@pytest.mark.parametrize(
    ("method", "target", "fields"),
    [
        ("GET", b"/ HTTP/1.1\r\nX: y", []),
        ("GET", b"", []),
        ("GE T", b"/", []),
        ("GET", b"/", [(b"A", b"b\r\nC: d")]),
        ("GET", b"/", [(b"A", b"b\nC: d")]),
        ("GET", b"/", [(b"A", b"\x00")]),
        ("GET", b"/", [(b"A: b\r\nC", b"d")]),
        ("GET", b"/", [(b"", b"d")]),
    ],
)
def test_nothing_can_add_a_line_to_a_head(method: str, target: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(ValueError, match="not a"):
        request_head(method, target, fields)


def test_head_is_sent_byte_for_byte() -> None:
    target = rb"/a/../b//%2e%2E/\;c?d=%00&e=[]{}"
    assert request_head("GET", target, [(b"Host", b"f"), (b"x-Y", b"\xe4 z")]) == (
        b"GET " + target + b" HTTP/1.1\r\nHost: f\r\nx-Y: \xe4 z\r\n\r\n"
    )


@pytest.mark.parametrize("url", ["", "/path", "ftp://h", "http://", "h:80"])
def test_url_without_an_origin_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not an HTTP URL"):
        Origin.of(url)


def test_origin_has_the_port_of_its_scheme() -> None:
    assert Origin.of("https://h") == Origin(True, "h", 443)
    assert Origin.of("http://[::1]:81") == Origin(False, "::1", 81)


# --- what stays


async def test_exchanges_leave_nothing_for_the_garbage_collector() -> None:
    async with upstream(replying(*[OK] * 20, b"")) as there, pool() as connections:
        await answer(connections, there.origin)
        await settled()  # what earlier tests have left ends before
        with cycles() as found:
            for _ in range(10):
                await answer(connections, there.origin)
        assert found == []


@pytest.mark.parametrize(
    "reply",
    [b"junk\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", CHUNKED + b"2\r\nok\r\n"],
    ids=["malformed", "no reply", "cut", "cut between chunks"],
)
async def test_failed_exchanges_leave_nothing_for_the_garbage_collector(reply: bytes) -> None:
    async def fail() -> None:
        with contextlib.suppress(UpstreamError):
            await answer(connections, there.origin)
        await until(lambda: not connections._busy)

    async with upstream(replying(reply, then_close=True)) as there, pool() as connections:
        await fail()
        await settled()  # what earlier tests have left ends before
        with cycles() as found:
            for _ in range(10):
                await fail()
        assert found == []


async def test_a_thousand_failed_exchanges_leave_no_connection_behind() -> None:
    """Whether the upstream closes before, while or after a request is sent."""
    closings = itertools.cycle(["at once", "reset at once", "after the request", "in the head", "in the body"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closing = next(closings)
        if closing == "reset at once":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif closing != "at once":
            await reader.readuntil(b"\r\n\r\n")
            writer.write({"in the head": b"HTTP/1.1 2", "in the body": OK[:-1]}.get(closing, b""))

    async with upstream(serve) as there, pool() as connections:
        for _ in range(1_000):
            with pytest.raises(UpstreamError):
                await answer(connections, there.origin)
        await until(lambda: not connections._busy)
        assert not any(connections._idle.values())


async def test_connection_that_is_lost_before_it_is_used_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy event loop, the end of a new connection is seen before the task that opened it goes on."""
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def late(make: Callable[[], Connection], *arguments: object, **options: object) -> tuple[object, Connection]:
        transport, connection = await connect(make, *arguments, **options)
        await lost.wait()
        return transport, connection

    def lose(connection: Connection, error: Exception | None) -> None:
        connection_lost(connection, error)
        lost.set()

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    lost, connection_lost = asyncio.Event(), Connection.connection_lost
    monkeypatch.setattr(Connection, "connection_lost", lose)
    monkeypatch.setattr(loop, "create_connection", late)
    async with upstream(close) as there, pool() as connections:
        with pytest.raises(NotConnectedError):
            await answer(connections, there.origin)
        assert not connections._busy


async def test_pool_that_is_closed_ends_what_is_under_way() -> None:
    async with upstream(replying(b"")) as there:
        async with pool() as connections:
            waiting = asyncio.ensure_future(answer(connections, there.origin))
            await settled()
        with pytest.raises(DisconnectedError):
            await waiting
        await there.ended.wait()
