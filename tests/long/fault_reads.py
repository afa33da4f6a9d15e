"""Reads of an object from a source that fails at random: what comes out is the right digest, or an error.

Each read is of the function's own reader (the function fetches) or of the gateway's (it streams, the function digests),
over real sockets from a server that speaks HTTP byte by byte; the gateway's check of replies comes behind both. What a
seed gives is the same each time. Faults are those of networks, proxies and overwritten objects. A source that sends
other bytes under the same ETag and length is not among them: nobody could know.
"""

import asyncio
import contextlib
import hashlib
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import aiohttp
from checksums_function.algorithms import select_algorithms
from checksums_function.body import digest_body
from checksums_function.errors import ChecksumsError
from checksums_function.orders import BodyOrder, SourceOrder, parse_url
from checksums_function.pipeline import Stop
from checksums_function.settings import Settings
from checksums_function.source import digest_source
from checksums_function.threads import Threads

from gateway.checksums.contract import DigestContract
from gateway.compute.reply import result_of
from gateway.errors import ErrorCode, GatewayError
from gateway.objects.http import StoreClient, conditions, refused
from gateway.objects.model import ObjectKind, ObjectRef, ObjectStat

STALL_SECONDS = 0.03
SETTINGS = Settings(attempts=4, backoff_seconds=0.0005, stall_seconds=STALL_SECONDS, connect_seconds=2)
NAMES = ("crc32c", "sha256")
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Version:
    """Content of an object, under its ETag."""

    etag: str
    data: bytes


@dataclass(slots=True)
class Plan:
    """What a read meets: a fault for each connection; after the last one all goes well."""

    chance: random.Random
    asked_for: Version
    overwritten: Version
    faults: list[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the head of a request wants."""

    position: int
    if_match: str | None


@dataclass
class Tally:
    """What became of the reads.

    Attributes:
        wrong: digests that were given and are not those of the object that was asked for.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Source:
    """One object behind a socket; serves one connection at a time, as its readers ask.

    Attributes:
        url: of the object.
        stall_seconds: how long its readers wait for bytes.
    """

    stall_seconds = STALL_SECONDS

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"{self.address}/v1/AUTH_p/c/o"
        threading.Thread(target=self._serve, daemon=True).start()

    def prepare(self, plan: Plan) -> None:
        """Has the object of the next read, and meets it with the plan's faults."""
        self.plan = plan

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with contextlib.suppress(OSError), connection:
                    connection.settimeout(2)
                    self.answer(connection)

    def answer(self, connection: socket.socket) -> None:
        """Reads a request, and answers with the next fault of the plan."""
        asked, plan = _read_head(connection), self.plan
        if asked is None or plan is None:
            return
        fault = plan.faults.pop(0) if plan.faults else "good"
        FAULTS[fault](connection, asked, plan)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)


def head_of(connection: socket.socket) -> bytes:
    """The head of a request; empty if none comes."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65_536)
        if not piece:
            return b""
        head += piece
    return head


def _read_head(connection: socket.socket) -> Asked | None:
    head = head_of(connection)
    if not head:
        return None
    position = re.search(rb"\r\nRange: bytes=(\d+)-", head)
    if_match = re.search(rb'\r\nIf-Match: "([^"]+)"', head)
    return Asked(int(position[1]) if position else 0, if_match[1].decode() if if_match else None)


Fault = Callable[[socket.socket, Asked, Plan], None]


def _head(
    version: Version,
    at: int,
    *,
    length: int | None = None,
    chunked: bool = False,
    first: int | None = None,
    etag: bool = True,
) -> bytes:
    size = len(version.data)
    lines = [f"HTTP/1.1 {206 if at else 200} x", "Connection: close"]
    if etag:
        lines.append(f'ETag: "{version.etag}"')
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif length is None or length >= 0:
        lines.append(f"Content-Length: {size - at if length is None else length}")
    if at:
        lines.append(f"Content-Range: bytes {at if first is None else first}-{size - 1}/{size}")
    return "\r\n".join([*lines, "", ""]).encode()


def _good(connection: socket.socket, asked: Asked, plan: Plan, version: Version | None = None) -> None:
    version = version or plan.asked_for
    if asked.if_match not in {None, version.etag}:
        connection.sendall(b"HTTP/1.1 412 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    elif asked.position >= len(version.data) > 0:
        connection.sendall(b"HTTP/1.1 416 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    else:
        connection.sendall(_head(version, asked.position) + version.data[asked.position :])


def _some(plan: Plan, rest: bytes) -> bytes:
    return rest[: plan.chance.randrange(len(rest) + 1)]


def _cut(connection: socket.socket, asked: Asked, plan: Plan) -> None:
    version = plan.asked_for
    connection.sendall(_head(version, asked.position) + _some(plan, version.data[asked.position :]))


def _reset(connection: socket.socket, asked: Asked, plan: Plan) -> None:
    _cut(connection, asked, plan)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def _reset_before_the_head(connection: socket.socket, _: Asked, __: Plan) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def _cut_in_the_head(connection: socket.socket, asked: Asked, plan: Plan) -> None:
    connection.sendall(_some(plan, _head(plan.asked_for, asked.position)))


def _stall(connection: socket.socket, asked: Asked, plan: Plan) -> None:
    _cut(connection, asked, plan)
    time.sleep(1.5 * STALL_SECONDS)


def _drip(connection: socket.socket, asked: Asked, plan: Plan) -> None:
    rest = _head(plan.asked_for, asked.position) + plan.asked_for.data[asked.position :]
    step = len(rest) // 3 + 1
    for begin in range(0, len(rest), step):
        connection.sendall(rest[begin : begin + step])
        time.sleep(0.001)


def _length_of(change: int) -> Fault:
    def fault(connection: socket.socket, asked: Asked, plan: Plan) -> None:
        version = plan.asked_for
        rest = version.data[asked.position :]
        length = max(0, len(rest) + change)
        connection.sendall(_head(version, asked.position, length=length) + (rest + bytes(9))[:length])

    return fault


def _without_length(end: Callable[[Plan, bytes], bytes]) -> Fault:
    def fault(connection: socket.socket, asked: Asked, plan: Plan) -> None:
        version = plan.asked_for
        connection.sendall(_head(version, asked.position, length=-1) + end(plan, version.data[asked.position :]))

    return fault


def _chunked(end: Callable[[Plan, bytes], bytes], *, last: bytes = b"0\r\n\r\n") -> Fault:
    def fault(connection: socket.socket, asked: Asked, plan: Plan) -> None:
        body = end(plan, plan.asked_for.data[asked.position :])
        chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
        connection.sendall(_head(plan.asked_for, asked.position, chunked=True) + chunk + last)

    return fault


def _overwritten(connection: socket.socket, asked: Asked, plan: Plan) -> None:
    plan.faults = ["overwritten"]
    _good(connection, asked, plan, plan.overwritten)


def _overwritten_and_careless(connection: socket.socket, asked: Asked, plan: Plan) -> None:
    version = plan.overwritten
    at = min(asked.position, max(0, len(version.data) - 1))
    connection.sendall(_head(version, at) + version.data[at:])


def _overwritten_without_etag(connection: socket.socket, asked: Asked, plan: Plan) -> None:
    version = plan.overwritten
    at = min(asked.position, max(0, len(version.data) - 1))
    connection.sendall(_head(version, at, etag=False) + version.data[at:])


def _everything_again(connection: socket.socket, _: Asked, plan: Plan) -> None:
    connection.sendall(_head(plan.asked_for, 0) + plan.asked_for.data)


def _another_place(connection: socket.socket, asked: Asked, plan: Plan) -> None:
    version = plan.asked_for
    first = max(0, asked.position - 1)
    head = _head(version, asked.position, first=first, length=len(version.data) - first)
    connection.sendall(head + version.data[first:])


def _status(status: int, *fields: str) -> Fault:
    def fault(connection: socket.socket, _: Asked, __: Plan) -> None:
        lines = [f"HTTP/1.1 {status} x", "Content-Length: 3", "Connection: close", *fields, "", "no\n"]
        connection.sendall("\r\n".join(lines).encode())

    return fault


def _no_http(connection: socket.socket, _: Asked, plan: Plan) -> None:
    connection.sendall(plan.asked_for.data or b"\0")


def _hint_first(connection: socket.socket, asked: Asked, plan: Plan) -> None:
    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    _good(connection, asked, plan)


FAULTS: dict[str, Fault] = {
    "good": _good,
    "cut": _cut,
    "reset": _reset,
    "reset before the head": _reset_before_the_head,
    "cut in the head": _cut_in_the_head,
    "stall": _stall,
    "drip": _drip,
    "shorter by its length": _length_of(-7),
    "longer by its length": _length_of(7),
    "no length": _without_length(lambda _, rest: rest),
    "no length, cut": _without_length(_some),
    "no length, more": _without_length(lambda _, rest: rest + b"more"),
    "chunks": _chunked(lambda _, rest: rest),
    "chunks, fewer": _chunked(_some),
    "chunks, more": _chunked(lambda _, rest: rest + b"more"),
    "chunks, cut": _chunked(_some, last=b""),
    "chunks, nonsense": _chunked(_some, last=b"zz\r\n"),
    "overwritten": _overwritten,
    "overwritten, careless": _overwritten_and_careless,
    "overwritten, no ETag": _overwritten_without_etag,
    "all of it again": _everything_again,
    "another place": _another_place,
    "500": _status(500),
    "503": _status(503, "Retry-After: 1"),
    "429": _status(429),
    "404": _status(404),
    "403": _status(403),
    "redirect": _status(302, "Location: http://127.0.0.1:1/"),
    "200 without an object": _status(200),
    "no HTTP": _no_http,
    "100 first": _hint_first,
}
# A stall costs as much time as fifty other faults.
_TREACHEROUS = ["overwritten, careless", "overwritten, no ETag", "all of it again", "another place"]
_COMMON = [name for name in FAULTS if name not in {"good", "stall"}]


def plan_of(
    chance: random.Random, common: Sequence[str] = _COMMON, etag_of: Callable[[bytes], str] | None = None
) -> Plan:
    """A read's object, what it is overwritten with, and its faults.

    Args:
        chance: decides.
        common: faults that are as likely as each other.
        etag_of: gives the ETag of content, if the store does not leave it to the plan.
    """
    size = chance.choice([0, 1, 7, chance.randrange(2, 4_000), chance.randrange(4_000, 70_000)])
    other = size if chance.random() < 0.7 else chance.randrange(1, 4_000)
    count = chance.choices([0, 1, 2, 3, 4], weights=[1, 5, 3, 2, 1])[0]
    faults = ["stall" if chance.random() < 0.01 else chance.choice(common) for _ in range(count)]
    # What is broken off first and goes on with another version, or at another place, is the case that matters most.
    if chance.random() < 0.4:
        faults = [
            "cut",
            chance.choice(_TREACHEROUS),
        ]
    first, second = chance.randbytes(size), chance.randbytes(other)
    etags = map(etag_of, (first, second)) if etag_of else ("v1", "v2")
    return Plan(chance, *map(Version, etags, (first, second)), faults)


class Reads:
    """Carries out reads, one after the other."""

    def __init__(self, source: Source, session: aiohttp.ClientSession) -> None:
        self._source = source
        self._settings = replace(SETTINGS, stall_seconds=source.stall_seconds)
        self._client = StoreClient(session, timeout_seconds=source.stall_seconds)
        self._executor = ThreadPoolExecutor(2)

    async def one(self, plan: Plan, *, streamed: bool) -> dict[str, str]:
        """The digests that a caller would get.

        Raises:
            ChecksumsError, GatewayError: there are none to give.
        """
        self._source.prepare(plan)
        version, algorithms = plan.asked_for, select_algorithms(list(NAMES))
        etag, size = version.etag, len(version.data)
        if streamed:
            order, stop = BodyOrder(etag, size, algorithms), Stop()
            refusal: Callable[[int], GatewayError] = refused
            opened = self._client.reading(self._source.url, conditions(etag), etag=etag, size=size, refusal=refusal)
            async with opened as pieces:
                threads = Threads(self._executor, stop)
                found = await digest_body(order, Body(pieces), stall_seconds=1, threads=threads, stop=stop)
            seen: str | None = etag
        else:
            source_order = SourceOrder(parse_url(self._source.url), etag, size, algorithms)
            seen, found = digest_source(source_order, self._settings, Stop())
        stat = ObjectStat("p", "a", ObjectRef("c", "o"), etag, size, ObjectKind.STATIC_LARGE, "text/plain")
        return result_of(DigestContract(NAMES), {"etag": seen, "size": size, "digests": found}, stat)


class Body:
    """What the gateway reads, as the function's server would hand it on."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    async def readany(self) -> bytes:
        return await anext(self._pieces, b"")


async def reads(seed: int, count: int) -> Tally:
    """So many reads, half of them streamed."""
    with opened_source() as source:
        return await reads_of(source, seed, count)


async def reads_of(source: Source, seed: int, count: int, plans: Callable[[random.Random], Plan] = plan_of) -> Tally:
    """The same from a source."""
    tally, chance = Tally(), random.Random(seed)
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        work = Reads(source, session)
        for number in range(count):
            plan = plans(random.Random(chance.getrandbits(64)))
            faults = list(plan.faults)
            tally.faults.update(faults)
            try:
                digests = await work.one(plan, streamed=bool(number % 2))
            except ChecksumsError as error:
                tally.outcomes[error.code.value] += 1
            except GatewayError as error:
                tally.outcomes[error.kind.code] += 1
            else:
                right = digests["sha256"] == hashlib.sha256(plan.asked_for.data).hexdigest()
                tally.outcomes["right" if right else "wrong"] += 1
                if not right:
                    tally.wrong.append(f"read {number} of seed {seed}: {faults}")
    return tally


@contextlib.contextmanager
def opened_source() -> Iterator[Source]:
    source = Source()
    try:
        yield source
    finally:
        source.close()


def run(seed: int, count: int) -> Tally:
    """For a process of its own."""
    return asyncio.run(reads(seed, count))


@contextlib.asynccontextmanager
async def careless_reading(
    self: StoreClient, url: str, headers: Mapping[str, str], *, etag: str, size: int, refusal: object
) -> AsyncIterator[AsyncIterator[bytes]]:
    """`StoreClient.reading` without the looks at ETag and size, for positive controls."""
    async with self.exchange("GET", url, headers) as response:
        if response.status >= 400:
            raise GatewayError(ErrorCode.STORE_UNAVAILABLE)

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in response.content.iter_any():
                    yield piece
            except Exception as error:
                raise GatewayError(ErrorCode.OBJECT_TRUNCATED) from error

        yield pieces()


def report(tally: Tally, seconds: float) -> None:
    total = sum(tally.outcomes.values())
    print(
        f"\n{total} reads, {sum(tally.faults.values())} faults, {len(tally.wrong)} wrong, {seconds:.0f} s: "
        + ", ".join(f"{name} {count}" for name, count in tally.outcomes.most_common())
    )


KNOWN_FAILURES = frozenset(
    {"object_changed", "short_read", "source_unreachable", "source_refused", "source_missing"}
    | {kind.code for kind in (ErrorCode.OBJECT_CHANGED, ErrorCode.OBJECT_TRUNCATED, ErrorCode.STORE_UNAVAILABLE)}
    | {kind.code for kind in (ErrorCode.OBJECT_FORBIDDEN, ErrorCode.OBJECT_NOT_FOUND)}
)
