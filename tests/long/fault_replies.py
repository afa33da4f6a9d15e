"""Replies of a hostile upstream over real sockets: what comes out is the reply to this request, or an error.

The server cuts, delays, duplicates and corrupts what it sends, and sends replies that nobody asked for. Each reply
bears its request's number, so that a reply of another request shows. What is right is said by the decoder of
`tests/rfc9112.py`, from all that the server sent for the request. What a seed gives is the same each time, except for
the moments of the network.
"""

import asyncio
import contextlib
import gc
import itertools
import os
import random
import re
import socket
import ssl
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from gateway.settings.upstream import FunctionSettings
from gateway.upstream.connection import Connection
from gateway.upstream.errors import UpstreamError
from gateway.upstream.pool import Origin, Pool
from gateway.upstream.request import Request, request_head
from tests.rfc9112 import decode

# Clients that take turns with nobody: each has a pool of its own, or shares the one of all others.
WORKERS = 12
SETTINGS = FunctionSettings(
    function_idle_timeout_seconds=0.5, function_timeout_seconds=60, function_connect_timeout_seconds=60
)
RESET = struct.pack("ii", 1, 0)
FORGED = b"HTTP/1.1 200 OK\r\nX-Number: forged\r\nContent-Length: 6\r\n\r\nforged"


@dataclass(slots=True)
class Plan:
    """What the server does with one request.

    Attributes:
        pieces: what is sent, with a pause behind each; `late` is sent when all else has arrived.
        end: what becomes of the connection: "keep", "close", "reset" or "stall".
        begun: the server has read the request.
        done: the server has done it all.
    """

    number: int
    method: str
    fault: str
    pieces: list[bytes]
    late: bytes = b""
    end: str = "keep"
    begun: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stream(self) -> bytes:
        return b"".join(self.pieces)


@dataclass
class Tally:
    """What became of the requests, and what the process had more afterwards than before."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    connections: int = 0
    left: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        self.outcomes += other.outcomes
        self.faults += other.faults
        self.wrong += other.wrong
        self.connections += other.connections
        for name, more in other.left.items():
            self.left[name] = self.left.get(name, 0) + more


# --- replies and what is done to them


def good(chance: random.Random, number: int, method: str, *, largest: int) -> tuple[bytes, str]:
    """A valid reply, and what its connection does afterwards."""
    size = chance.choice([0, 7, chance.randrange(300), chance.randrange(20_000), chance.randrange(largest)])
    body = b"%d " % number + chance.randbytes(16) + bytes(size)
    head = [b"HTTP/1.1 %d x" % chance.choice([200, 200, 200, 404, 500]), b"X-Number: %d" % number]
    framing = chance.choice(["length", "length", "chunked", "chunked", "end", "none"])
    end = "keep"
    if framing == "none":
        head[0], body = b"HTTP/1.1 %d x" % chance.choice([204, 304]), b""
    elif framing == "length":
        head.append(b"Content-Length: %d" % len(body))
    elif framing == "chunked":
        head.append(b"Transfer-Encoding: chunked")
        body = chunked(chance, body)
    elif method != "HEAD":
        end = "close"
    if chance.random() < 0.1:
        head.append(b"Connection: close")
        end = "close"
    interim = b"HTTP/1.1 103 x\r\nX-Number: hint\r\n\r\n" * chance.choice([0, 0, 0, 1, 3])
    return interim + b"\r\n".join([*head, b"", b""]) + (b"" if method == "HEAD" else body), end


def chunked(chance: random.Random, body: bytes) -> bytes:
    parts = []
    while body:
        size = chance.choice([1, 3, chance.randrange(1, 5_000), len(body)])
        part, body = body[:size], body[size:]
        parts.append(b"%x%s\r\n%s\r\n" % (len(part), chance.choice([b"", b"", b";a=b"]), part))
    return b"".join(parts) + b"0\r\n" + chance.choice([b"", b"", b"Trailer: t\r\n"]) + b"\r\n"


Fault = Callable[[random.Random, Plan], None]


def _cut(end: str) -> Fault:
    def fault(chance: random.Random, plan: Plan) -> None:
        stream = plan.stream
        plan.pieces, plan.end = [stream[: chance.randrange(len(stream))]], end

    return fault


def _behind(*surplus: bytes) -> Fault:
    def fault(chance: random.Random, plan: Plan) -> None:
        plan.pieces.append(chance.choice(surplus))

    return fault


def _twice(_: random.Random, plan: Plan) -> None:
    plan.pieces *= 2


def _late(_: random.Random, plan: Plan) -> None:
    if plan.end == "keep":
        plan.late = FORGED
    else:
        plan.pieces.append(FORGED)


def _before(_: random.Random, plan: Plan) -> None:
    plan.pieces.insert(0, FORGED)


def _flipped(chance: random.Random, plan: Plan) -> None:
    stream = bytearray(plan.stream)
    for _ in range(chance.randrange(1, 4)):
        # Most of them in what frames the body.
        at = chance.randrange(min(len(stream), chance.choice([100, 200, len(stream)])))
        stream[at] = chance.choice([chance.randrange(256), *b"\r\n 0:"])
    plan.pieces = [bytes(stream)]


def _lost(chance: random.Random, plan: Plan) -> None:
    """Some bytes are missing, or come twice."""
    stream = plan.stream
    at, size = chance.randrange(len(stream)), chance.choice([1, 2, 10, 1_000])
    plan.pieces = [stream[: at + chance.choice([0, size])], stream[at + chance.choice([0, size]) :]]


def _line_ends(chance: random.Random, plan: Plan) -> None:
    plan.pieces = [plan.stream.replace(b"\r\n", chance.choice([b"\n", b"\r", b"\r\r\n"]), chance.choice([1, 2, 9]))]


def _another_length(chance: random.Random, plan: Plan) -> None:
    found = re.search(rb"Content-Length: (\d+)", plan.stream)
    if found is None:
        _fields(b"Content-Length: 5")(chance, plan)
        return
    length = max(0, int(found[1]) + chance.choice([-7, -1, 1, 7]))
    plan.pieces = [plan.stream.replace(found[0], b"Content-Length: %d" % length, 1)]


def _fields(*fields: bytes) -> Fault:
    def fault(chance: random.Random, plan: Plan) -> None:
        plan.pieces = [plan.stream.replace(b"X-Number", chance.choice(fields) + b"\r\nX-Number", 1)]

    return fault


def _instead(*heads: bytes) -> Fault:
    def fault(chance: random.Random, plan: Plan) -> None:
        plan.pieces = [chance.choice(heads) + plan.stream]

    return fault


def _ends(end: str) -> Fault:
    def fault(_: random.Random, plan: Plan) -> None:
        plan.end = end

    return fault


FAULTS: dict[str, Fault] = {
    "none": lambda _chance, _plan: None,
    "cut and closed": _cut("close"),
    "cut and reset": _cut("reset"),
    "cut and stalled": _cut("stall"),
    "closed behind it": _ends("close"),
    "reset behind it": _ends("reset"),
    "twice": _twice,
    "forged reply behind it": _behind(FORGED),
    "forged reply later": _late,
    "forged reply before it": _before,
    "something behind it": _behind(b"\r\n", b"\n", b"x", b"HTTP/1.1 ", b"0\r\n\r\n", b"\0"),
    "bytes overwritten": _flipped,
    "bytes lost or repeated": _lost,
    "line ends": _line_ends,
    "another length": _another_length,
    "two framings": _fields(
        b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Length: -1"
    ),
    "malformed fields": _fields(b"A : b", b" folded", b"A: \0", b"A" * 70_000 + b": b", b"nonsense", b"A: b\r\n" * 300),
    "malformed head before it": _instead(
        b"\r\n", b"HTTP/2.0 200 x\r\n\r\n", b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b"junk\r\n",
        b"HTTP/1.1 099 x\r\n\r\n", b"HTTP/1.1 103 x\r\n\r\n" * 20,
    ),
}  # fmt: skip
# A stall takes as much time as some hundred others.
_COMMON = [name for name in FAULTS if name not in {"none", "cut and stalled"}]


def plan_of(chance: random.Random, number: int, *, shared: bool) -> Plan:
    method = chance.choice(["GET", "GET", "POST", "HEAD"])
    name = chance.choices(["none", "cut and stalled", chance.choice(_COMMON)], weights=[50, 0.2, 50])[0]
    if shared and name == "forged reply later":
        # Another client may send its request before: then it gets the forged reply.
        name = "forged reply behind it"
    reply, what_then = good(chance, number, method, largest=20_000 if shared else 300_000)
    plan = Plan(number, method, name, [reply], end=what_then)
    FAULTS[name](chance, plan)
    stream = plan.stream
    # For the same reason, what is behind the reply comes with its end.
    decoded = decode(stream, method, ended=plan.end != "keep") if shared else None
    end = decoded.end if decoded else len(stream) + 1
    places = [chance.randrange(len(stream) + 1) for _ in range(chance.choice([0, 0, 1, 4]))]
    cuts = sorted({0, len(stream), *(place for place in places if place < end)})
    plan.pieces = [stream[start:stop] for start, stop in itertools.pairwise(cuts)]
    return plan


# --- both sides


class Server:
    """Carries out plans."""

    def __init__(self) -> None:
        self.plans: dict[int, Plan] = {}
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        # What is written is in the network when `drain` returns.
        writer.transport.set_write_buffer_limits(0)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while await self._answer(reader, writer):
                pass
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        plan = self.plans.get(int(head.split(b" ", 2)[1][1:]))
        if plan is None:
            # Its client has given it up already.
            return False
        plan.begun = True
        try:
            if b"chunked" in head:
                await reader.readuntil(b"0\r\n\r\n")
            for piece in [*plan.pieces, plan.late]:
                if writer.is_closing():
                    return False
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0 if plan.number % 5 else 0.001)
            if plan.end == "reset":
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            if plan.end == "stall":
                await reader.read()
        finally:
            plan.done.set()
        return plan.end == "keep"


Exchange = Callable[[Plan], Awaitable[tuple[int, dict[bytes, bytes], bytes]]]


async def _body(number: int) -> AsyncIterator[bytes]:
    for _ in range(number % 4):
        yield b"x" * (number % 3_000)


class Client:
    """The product's."""

    def __init__(self, origin: Origin, pool: Pool) -> None:
        self._origin = origin
        self._pool = pool

    def close(self) -> None:
        """The pool ends what is left."""

    async def exchange(self, plan: Plan) -> tuple[int, dict[bytes, bytes], bytes]:
        fields = [(b"Host", b"f")]
        body = None
        if plan.method == "POST":
            fields.append((b"Transfer-Encoding", b"chunked"))
            body = _body(plan.number)
        request = Request(request_head(plan.method, b"/%d" % plan.number, fields), plan.method, body)
        reply = await self._pool.send(self._origin, request)
        try:
            return reply.status, dict(reply.fields), await reply.read()
        finally:
            reply.close()


def outcome_of(plan: Plan, got: tuple[int, dict[bytes, bytes], bytes]) -> str:
    """Whether a reply is the one that the server sent for this request."""
    expected = decode(plan.stream, plan.method, ended=plan.end != "keep")
    if expected is None:
        return "wrong: there was no reply"
    status, fields, body = got
    number = {name: value.strip(b" \t") for name, value in fields.items()}.get(b"x-number")
    if (status, body) != (expected.status, expected.body) or number != dict(expected.fields).get(b"x-number"):
        return "wrong: another reply"
    return "right"


async def _work(exchange: Exchange, server: Server, plans: Iterator[Plan], tally: Tally, *, own: bool) -> None:
    for plan in plans:
        server.plans[plan.number] = plan
        tally.faults[plan.fault] += 1
        try:
            outcome = outcome_of(plan, await exchange(plan))
        except UpstreamError as error:
            outcome = type(error).__name__
        tally.outcomes[outcome] += 1
        if outcome.startswith("wrong"):
            tally.wrong.append(f"{outcome}, number {plan.number}: {plan.fault}")
        if own:
            # What comes after the next request was sent is its reply: HTTP/1.1 has no other mark. So all of it is sent.
            if plan.begun:
                await plan.done.wait()
            await asyncio.sleep(0.001)
        del server.plans[plan.number]


async def replies(seed: int, count: int, client: type["Client"] | Callable[..., Any] | None = None) -> Tally:
    """So many requests by some clients side by side; half of these share their connections."""
    tally, server, made = Tally(), Server(), client or Client
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 20)
    origin = Origin(False, "127.0.0.1", listener.sockets[0].getsockname()[1])
    # What is made once, such as the parser's tables and the allocator's arenas, is not a leak.
    await _round(seed, min(count, 1_000), server, origin, Tally(), made)
    before = await _held()
    await _round(seed + 1, count, server, origin, tally, made)
    tally.left = {name: more - before[name] for name, more in (await _held()).items()}
    tally.connections = server.connections
    listener.close()
    return tally


async def _round(
    seed: int, count: int, server: Server, origin: Origin, tally: Tally, client: Callable[..., Any]
) -> None:
    chance = random.Random(seed)
    share = -(-count // WORKERS)
    async with contextlib.AsyncExitStack() as stack:
        shared = await stack.enter_async_context(Pool(SETTINGS, tls=ssl.create_default_context()))
        work = []
        for worker in range(WORKERS):
            own = worker % 2 == 0
            pool = await stack.enter_async_context(Pool(SETTINGS, tls=ssl.create_default_context())) if own else shared
            numbers = range(worker * share, min(count, (worker + 1) * share))
            plans = _plans(chance.getrandbits(64), numbers, shared=not own)
            one = client(origin, pool)
            stack.callback(one.close)
            work.append(_work(one.exchange, server, plans, tally, own=own))
        await asyncio.gather(*work)


def _plans(seed: int, numbers: range, *, shared: bool) -> Iterator[Plan]:
    chance = random.Random(seed)
    # One by one: together they are large.
    return (plan_of(random.Random(chance.getrandbits(64)), number, shared=shared) for number in numbers)


async def _held() -> dict[str, int]:
    """What the process holds once all connections have ended."""
    async with asyncio.timeout(60):
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    await _drop_cancelled_timers()
    return _counted(len(asyncio.all_tasks()))


async def _drop_cancelled_timers() -> None:
    """asyncio keeps up to a hundred of them until their time comes, and drops all when there are more."""
    for _ in range(200):
        asyncio.get_running_loop().call_later(60, print).cancel()
    await asyncio.sleep(0)


def _counted(tasks: int) -> dict[str, int]:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "tasks": tasks,
        "connections": sum(isinstance(one, Connection) for one in gc.get_objects()),
        "blocks of memory": sys.getallocatedblocks(),
        "KiB": resident * os.sysconf("SC_PAGE_SIZE") // 1_024,
    }


def run(seed: int, count: int) -> Tally:
    """For a process of its own: on uvloop, as the gateway, and on asyncio's loop for every other seed."""
    with asyncio.Runner(loop_factory=None if seed % 2 else uvloop.new_event_loop) as runner:
        return runner.run(replies(seed * 2, count))
