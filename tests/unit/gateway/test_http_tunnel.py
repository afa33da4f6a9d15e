"""Two connections joined by a tunnel: every byte arrives, none piles up, and the end of one is the end of the other.

On both event loops, because they differ in when they report what.
"""

import asyncio
import contextlib
import functools
import hashlib
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

import pytest
import uvloop

from gateway.http.tunnel import End, Tunnel
from tests.garbage import cycles
from tests.machine import scaled

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
# Above this a kernel may keep what was sent, on either side of the tunnel.
KERNEL_BYTES = 16 << 20


def on_both_loops(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[str], None]:
    @pytest.mark.parametrize("loop", LOOPS)
    def run(loop: str) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(asyncio.wait_for(test(), scaled(60)))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class Side(asyncio.Protocol):
    """A connection that reports to its end of the tunnel."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.largest = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.pause_reading()
        self.end.connect(self.transport)

    def data_received(self, data: bytes) -> None:
        self.end.data_received(data)

    def eof_received(self) -> bool:
        return self.end.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.end.connection_lost(exc)

    def pause_writing(self) -> None:
        self.largest = max(self.largest, self.transport.get_write_buffer_size())
        self.end.pause_writing()

    def resume_writing(self) -> None:
        self.end.resume_writing()


@dataclass
class Peer:
    """The other side of one of the two connections."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    side: Side

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def peer(end: End) -> Peer:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    for one in (ours, theirs):
        one.setblocking(False)
    _, side = await asyncio.get_running_loop().create_connection(functools.partial(Side, end), sock=ours)
    reader, writer = await asyncio.open_connection(sock=theirs)
    return Peer(reader, writer, side)


@contextlib.asynccontextmanager
async def joined() -> AsyncIterator[tuple[Tunnel, Peer, Peer]]:
    tunnel = Tunnel()
    function, caller = await peer(tunnel.function), await peer(tunnel.caller)
    tunnel.caller.resume_reading()
    tunnel.function.resume_reading()
    try:
        yield tunnel, caller, function
    finally:
        tunnel.abort()
        await tunnel.ended
        for each in (caller, function):
            each.writer.close()


@on_both_loops
async def test_bytes_pass_both_ways_as_they_are() -> None:
    async with joined() as (_, caller, function):
        for number in range(100):
            caller.writer.write(b"\x00GET / HTTP/1.1\r\n\r\n%d" % number)
            function.writer.write(b"\xffHTTP/1.1 200 OK\r\n\r\n%d" % number)
        asked = b"".join(b"\x00GET / HTTP/1.1\r\n\r\n%d" % number for number in range(100))
        answered = b"".join(b"\xffHTTP/1.1 200 OK\r\n\r\n%d" % number for number in range(100))
        assert await function.reader.readexactly(len(asked)) == asked
        assert await caller.reader.readexactly(len(answered)) == answered


@on_both_loops
async def test_end_of_one_direction_is_passed_on_behind_its_bytes_and_the_other_direction_goes_on() -> None:
    async with joined() as (tunnel, caller, function):
        caller.writer.write(b"last words")
        caller.writer.write_eof()
        assert await function.reader.read() == b"last words"
        function.writer.write(b"answer")
        function.writer.write_eof()
        assert await caller.reader.read() == b"answer"
        await tunnel.ended
        assert tunnel.failure is None


@on_both_loops
async def test_end_of_a_connection_ends_the_other_behind_its_bytes() -> None:
    async with joined() as (tunnel, caller, function):
        function.writer.write(b"x" * (1 << 20) + b"last words")
        function.writer.close()
        assert (await caller.reader.read())[-10:] == b"last words"
        caller.writer.close()
        await tunnel.ended
        assert tunnel.failure is None


@on_both_loops
async def test_connection_that_is_reset_ends_the_other_and_is_known_as_the_reason() -> None:
    for who in ("caller", "function"):
        async with joined() as (tunnel, caller, function):
            one, other = (caller, function) if who == "caller" else (function, caller)
            one.writer.write(b"last words")
            await one.writer.drain()
            assert await other.reader.readexactly(10) == b"last words"
            one.reset()
            assert await other.reader.read() == b""
            other.writer.close()
            await tunnel.ended
            assert tunnel.failure is not None
            assert tunnel.failure[0] is getattr(tunnel, who)


async def until(holds: Callable[[], object]) -> None:
    for _ in itertools.takewhile(lambda _: not holds(), itertools.count()):
        await asyncio.sleep(0.05)


async def flood(writer: asyncio.StreamWriter, size: int) -> None:
    for number in range(size >> 16):
        writer.write(bytes([number % 256]) * 65_536)
        await writer.drain()


def digest_of(size: int) -> str:
    return hashlib.sha256(b"".join(bytes([number % 256]) * 65_536 for number in range(size >> 16))).hexdigest()


@on_both_loops
async def test_flood_for_a_peer_that_does_not_read_stops_and_arrives_whole_when_it_does() -> None:
    size = 4 * KERNEL_BYTES
    async with joined() as (tunnel, caller, function):
        sending = asyncio.ensure_future(flood(caller.writer, size))
        before: list[object] = [None, None]

        def stalled() -> bool:
            before[:] = before[1], tunnel.progress()
            return before[0] == before[1] and bool(function.side.largest)

        await until(stalled)
        received, unsent = tunnel.caller.progress()[0], tunnel.function.progress()[1]
        assert received < KERNEL_BYTES
        # One full buffer, and what one read brings: 256 KiB on both event loops.
        assert unsent <= (64 + 256) << 10
        assert not sending.done()
        taken, seen = hashlib.sha256(), 0
        while seen < size:
            piece = await function.reader.read(1 << 20)
            taken.update(piece)
            seen += len(piece)
        await sending
        assert taken.hexdigest() == digest_of(size)


@on_both_loops
async def test_floods_both_ways_do_not_stop_each_other() -> None:
    size = KERNEL_BYTES

    async def take(reader: asyncio.StreamReader) -> int:
        return len(await reader.readexactly(size))

    async with joined() as (_, caller, function):
        await asyncio.gather(
            flood(caller.writer, size), flood(function.writer, size), take(caller.reader), take(function.reader)
        )


@on_both_loops
async def test_failure_ends_both_at_once_whatever_waits_to_be_sent() -> None:
    async with joined() as (tunnel, caller, function):
        sending = asyncio.ensure_future(flood(caller.writer, 4 * KERNEL_BYTES))
        await until(lambda: function.side.largest)
        error = TimeoutError()
        tunnel.fail(tunnel.function, error)
        await tunnel.ended
        assert tunnel.failure == (tunnel.function, error)
        with pytest.raises(ConnectionError):
            await sending
        function.writer.close()


@on_both_loops
async def test_tunnel_whose_caller_never_came_ends_with_its_function() -> None:
    tunnel = Tunnel()
    function = await peer(tunnel.function)
    assert not tunnel.caller.connected
    tunnel.abort()
    await tunnel.ended
    assert await function.reader.read() == b""
    function.writer.close()


@on_both_loops
async def test_progress_is_every_byte_and_every_end() -> None:
    async with joined() as (tunnel, caller, function):
        seen = [tunnel.progress()]
        for act in (
            lambda: caller.writer.write(b"a"),
            lambda: function.writer.write(b"b"),
            caller.writer.write_eof,
        ):
            act()
            await until(lambda: tunnel.progress() != seen[-1])
            seen.append(tunnel.progress())
        assert len(set(seen)) == 4


class Tls:
    """A transport that cannot end one direction, as those of TLS."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def can_write_eof(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.events.append(data)

    def close(self) -> None:
        self.events.append("close")

    write_eof = abort = pause_reading = resume_reading = close

    def get_write_buffer_size(self) -> int:
        return 0


@on_both_loops
async def test_end_of_one_direction_closes_a_connection_that_cannot_be_half_closed() -> None:
    tunnel, function = Tunnel(), Tls()
    tunnel.function.connect(function)
    caller = await peer(tunnel.caller)
    tunnel.caller.resume_reading()
    caller.writer.write(b"last words")
    caller.writer.write_eof()
    await until(lambda: "close" in function.events)
    assert b"".join(each for each in function.events if isinstance(each, bytes)) == b"last words"
    assert not tunnel.function.eof_received()
    tunnel.function.connection_lost(None)
    await tunnel.ended
    caller.writer.close()


@pytest.mark.parametrize("first", ["caller", "function"])
def test_tunnel_leaves_nothing_for_the_garbage_collector(first: str) -> None:
    async def test() -> None:
        with cycles() as found:
            tunnel = Tunnel()
            tunnel.caller.connect(Tls())
            tunnel.function.connect(Tls())
            tunnel.caller.data_received(b"x")
            getattr(tunnel, first).connection_lost(ConnectionResetError())
            (tunnel.function if first == "caller" else tunnel.caller).connection_lost(None)
            await tunnel.ended
            tunnel.abort()
            del tunnel
        assert found == []

    asyncio.run(test())
