"""How much of the bodies is read in one iteration of the event loop, from real sockets."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from gateway.http.receiving import BODY_READ_BYTES, BODY_READS_PER_ITERATION, BoundedReads, ReadTurns
from tests.machine import settled

PIECES = 20


class Sink:
    """Takes everything for a body."""

    takes_body = True

    def __init__(self, *, pauses: bool = False) -> None:
        self.pieces: list[bytes] = []
        self.transport: Any = None
        self._pauses = pauses

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        if self._pauses:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...

    @property
    def received(self) -> int:
        return sum(map(len, self.pieces))


Scene = Callable[[list[Sink], int], Awaitable[None]]


async def with_bodies(sinks: list[Sink], scene: Scene) -> None:
    """A connection for each sink, whose peer has written as much of a body as the kernel takes."""
    loop, turns, buffer = asyncio.get_running_loop(), ReadTurns(), memoryview(bytearray(BODY_READ_BYTES))
    callers, sent = [], 0
    for sink in sinks:
        ours, caller = socket.socketpair()
        for end in (ours, caller):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECES * BODY_READ_BYTES)
        while True:
            try:
                sent += caller.send(bytes(BODY_READ_BYTES))
            except BlockingIOError:
                break
        callers.append(caller)
        await loop.connect_accepted_socket(lambda sink=sink: BoundedReads(sink, buffer, turns), ours)
    await scene(sinks, sent)
    for sink, caller in zip(sinks, callers, strict=True):
        sink.transport.abort()
        caller.close()


async def read_in_each_iteration(sinks: list[Sink], total: int) -> list[int]:
    """Number of pieces that are read in each iteration of the loop from now on, until all are."""
    counts, before = list[int](), sum(len(sink.pieces) for sink in sinks)
    while sum(sink.received for sink in sinks) < total:
        await asyncio.sleep(0)
        read = sum(len(sink.pieces) for sink in sinks)
        counts.append(read - before)
        before = read
    return counts


def test_body_is_read_a_few_pieces_at_a_time() -> None:
    """libuv reads up to 32 pieces of one connection before anything else."""

    async def scene(sinks: list[Sink], sent: int) -> None:
        counts = await read_in_each_iteration(sinks, sent)
        assert sum(counts) > BODY_READS_PER_ITERATION
        assert max(counts) <= BODY_READS_PER_ITERATION

    uvloop.run(with_bodies([Sink()], scene))


def test_bodies_of_many_connections_take_turns() -> None:
    async def scene(sinks: list[Sink], sent: int) -> None:
        counts = await read_in_each_iteration(sinks, sent)
        # The first piece of each connection comes without a turn.
        assert sum(counts) > 2 * len(sinks)
        assert sum(max(0, count - BODY_READS_PER_ITERATION) for count in counts) <= len(sinks)
        assert max(len(sink.pieces) for sink in sinks) <= 2 * min(len(sink.pieces) for sink in sinks)

    uvloop.run(with_bodies([Sink() for _ in range(8)], scene))


def test_turn_does_not_read_what_the_protocol_has_paused() -> None:
    async def scene(sinks: list[Sink], sent: int) -> None:
        (sink,) = sinks
        for expected in range(1, 4):
            await settled(20)
            assert len(sink.pieces) == expected
            sink.transport.resume_reading()
        assert sink.received < sent

    uvloop.run(with_bodies([Sink(pauses=True)], scene))


def test_connection_that_ends_before_its_turn_is_left_alone() -> None:
    async def scene(sinks: list[Sink], _: int) -> None:
        await settled(20)
        before = len(sinks[0].pieces)
        sinks[0].transport.abort()
        await settled(20)
        assert before
        assert len(sinks[0].pieces) <= before + BODY_READS_PER_ITERATION

    uvloop.run(with_bodies([Sink()], scene))
