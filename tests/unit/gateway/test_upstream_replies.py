"""Whatever an upstream sends, cut at any place: its reply is exactly what RFC 9112 makes of it, or an error.

The reference is a decoder of the tests' own. The client may refuse more than the reference does, but nothing that the
reference refuses may be a reply, and no byte may be another.
Each test is also a target of `make test-fuzz`, where Atheris looks for the input that breaks it.
"""

import asyncio
import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.upstream.connection import Connection
from gateway.upstream.errors import UpstreamError
from gateway.upstream.request import Request
from tests.rfc9112 import Decoded, decode

LOOP = asyncio.new_event_loop()

# --- the client


class Transport(asyncio.Transport):
    """Passes nothing on. What is cut must arrive as it is cut, which no socket promises."""

    def __init__(self, protocol: Connection) -> None:
        super().__init__()
        self._protocol = protocol
        self._closing = False

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            LOOP.call_soon(self._protocol.connection_lost, None)

    close = abort

    def write(self, data: Any) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Client:
    """The gateway's connection, fed by hand."""

    def __init__(self) -> None:
        self.connection = Connection(LOOP, lambda _connection, _usable: None)
        self.transport = Transport(self.connection)
        self.connection.connection_made(self.transport)

    async def reply_to(self, method: str, pieces: list[bytes], *, ended: bool) -> tuple[int, bytes] | None:
        """Status and body; None: it failed with the client's own error, or is not whole."""
        reading = asyncio.ensure_future(self._read(method))
        await asyncio.sleep(0)
        for number, piece in enumerate(pieces):
            if self.transport.is_closing():
                break
            self.connection.data_received(piece)
            if number % 3 == 2:
                await asyncio.sleep(0)
        if ended and not self.transport.is_closing():
            self.connection.eof_received()
            self.transport.abort()
        for _ in range(4):
            await asyncio.sleep(0)
        if not reading.done():
            self.connection.abort()
        return await reading

    async def _read(self, method: str) -> tuple[int, bytes] | None:
        try:
            reply = await self.connection.send(Request(b"", method))
            return reply.status, await reply.read()
        except UpstreamError:
            return None


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


# --- streams

NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b"\0", b"0", b"1", b"5", b"a", b"-1", b"+1", b"0x1", b"1_0",
    b"0\r\n\r\n", b"5\r\nhello\r\n", b"2;x=y\r\nok\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 ",
    b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 304 x\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 x\r\n\r\n",
    b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b"HTTP/2 200 OK\r\n", b"200", b"099", b"1000",
    b"Content-Length: 5\r\n", b"content-length:0\r\n", b"Content-Length: 05\r\n", b"Content-Length: 5, 5\r\n",
    b"Content-Length: 18446744073709551617\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: Chunked \r\n",
    b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Connection: close\r\n",
    b"Connection: keep-alive\r\n", b"Connection: x, Close\r\n", b"A: b\r\n",
    b"A:\xff\r\n", b" folded\r\n", b"A : b\r\n",
    b"ffffffffffffffff\r\n", b"10000000000000005\r\n", b"hello", NEXT,
]  # fmt: skip
METHODS = st.sampled_from(["GET", "GET", "HEAD", "POST"])
PLACES = st.lists(st.integers(0, 4_096), max_size=12)
BODIES = st.one_of(st.binary(max_size=40), st.sampled_from([b"\r\n", b"0\r\n\r\n", b"\n" * 9, NEXT, b"x" * 9_000]))


@dataclass(frozen=True, slots=True)
class Valid:
    """A valid reply to `method`, what a client has to make of it, and whether the connection ends with it."""

    stream: bytes
    method: str
    decoded: Decoded
    ended: bool


@st.composite
def valid(draw: st.DrawFn) -> Valid:
    method, status = draw(METHODS), draw(st.sampled_from([200, 200, 200, 201, 204, 304, 404, 500, 599]))
    body, framing = draw(BODIES), draw(st.sampled_from(["length", "chunked", "end"]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.0"])) if framing != "chunked" else b"1.1"
    bodyless = method == "HEAD" or status in {204, 304}
    closes = draw(st.sampled_from([False, False, False, True]))
    fields = draw(st.lists(st.sampled_from([b"A: b", b"B:", b"c:\t\xe4 ", b"Server: x"]), max_size=3))
    fields += [b"Connection: close"] if closes else []
    if framing == "length":
        fields.append(b"Content-Length: %d" % len(body))
        sent = body
    elif framing == "chunked":
        fields.append(b"transfer-encoding: Chunked")
        sizes = draw(st.lists(st.integers(1, 20), max_size=4))
        sent = b"".join(
            b"%x%s\r\n%s\r\n" % (len(one), b";x=y" if len(one) > 9 else b"", one) for one in parts(body, sizes)
        )
        sent += b"0\r\n" + draw(st.sampled_from([b"", b"Trailer: t\r\n", b"A: b\r\nB: c\r\n"])) + b"\r\n"
    else:
        sent = body
    interim = b"".join(
        draw(st.lists(st.sampled_from([b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 103 E\r\nA: b\r\n\r\n"]), max_size=3))
    )
    head = (
        b"HTTP/%s %d x\r\n%s\r\n\r\n" % (version, status, b"\r\n".join(fields))
        if fields
        else b"HTTP/%s %d x\r\n\r\n" % (version, status)
    )
    reusable = version == b"1.1" and not closes and (bodyless or framing != "end")
    decoded = Decoded(status, (), b"" if bodyless else body, 0, reusable)
    return Valid(interim + head + (b"" if bodyless else sent), method, decoded, framing == "end" and not bodyless)


def parts(body: bytes, sizes: list[int]) -> list[bytes]:
    found = []
    for size in [*sizes, len(body)]:
        found.append(body[:size])
        body = body[size:]
    return [one for one in found if one]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid reply with some places overwritten, and something behind it."""
    stream = draw(valid()).stream
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(stream)))
        length = draw(st.sampled_from([0, 0, 1, 2, 5, 30]))
        stream = stream[:at] + draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=3))) + stream[at + length :]
    return stream + draw(st.sampled_from([b"", b"", b"", b"\r\n", b"\n", b"x", b"H", NEXT]))


STREAMS = st.one_of(
    damaged(), st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4)), max_size=14).map(b"".join)
)

# --- the properties


@given(STREAMS, METHODS, PLACES, st.booleans())
@settings(max_examples=500)
@example(b"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n5", "GET", [], False)
@example(b"HTTP/1.1 200 x\r\nContent-Length: 1\r\n\r\n\n\r\n", "GET", [], False)
@example(b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n", "GET", [1], False)
@example(b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT, "GET", [], False)
@example(b"HTTP/1.1 200 x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "GET", [], False)
@example(b"HTTP/1.1 101 x\r\n\r\n" + NEXT, "GET", [], False)
@example(b"\r\nHTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n", "GET", [1], False)
def test_reply_is_what_the_reference_makes_of_it_or_an_error(
    stream: bytes, method: str, places: list[int], ended: bool
) -> None:
    """And its connection is kept only if the reply was whole and nothing came behind it."""

    async def check() -> None:
        client = Client()
        got = await client.reply_to(method, cut(stream, places), ended=ended)
        expected = decode(stream, method, ended=ended)
        if got is not None:
            assert expected is not None
            assert got == (expected.status, expected.body)
        if client.connection.is_usable:
            assert got is not None
            assert expected is not None
            assert expected.reusable
            assert await client.reply_to("GET", [NEXT], ended=False) == (200, b"next")

    LOOP.run_until_complete(check())


@given(valid(), PLACES)
@settings(max_examples=300)
def test_valid_reply_arrives_whole_and_its_connection_is_kept_if_it_may_be(reply: Valid, places: list[int]) -> None:
    """Without it, a client that refuses everything would have all the other properties."""

    async def check() -> None:
        client = Client()
        got = await client.reply_to(reply.method, cut(reply.stream, places), ended=reply.ended)
        assert got == (reply.decoded.status, reply.decoded.body)
        assert client.connection.is_usable is reply.decoded.reusable
        expected = decode(reply.stream, reply.method, ended=reply.ended)
        assert expected is not None
        assert dataclasses.replace(expected, fields=(), end=0) == reply.decoded

    LOOP.run_until_complete(check())


@given(valid(), st.integers(0, 10_000), PLACES)
@settings(max_examples=300)
def test_reply_that_is_cut_off_is_never_a_whole_one(reply: Valid, end: int, places: list[int]) -> None:
    """Except one that ends with its connection: nobody can see where that was to end."""

    async def check() -> None:
        client = Client()
        stream = reply.stream[: end % len(reply.stream)]
        got = await client.reply_to(reply.method, cut(stream, places), ended=True)
        assert not client.connection.is_usable
        assert got is None or reply.ended

    LOOP.run_until_complete(check())


@pytest.mark.parametrize("stream", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", NEXT + b"\r\n"])
def test_the_reference_finds_nothing_in_what_is_not_a_reply_or_not_reusable(stream: bytes) -> None:
    decoded = decode(stream, "GET", ended=True)
    assert decoded is None or not decoded.reusable
