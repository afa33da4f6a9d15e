"""Raw HTTP/2 (RFC 9113): exactly these frames go out, well-formed or not; no compression that could hide a byte."""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from wire import connect

from tests.machine import scaled

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
_HEAD = struct.Struct(">IBI")
# RFC 7541, appendix A (a status by its index) and appendix B (codes of the digits, by their bits).
_STATUSES = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
_DIGITS = {
    "00000": "0", "00001": "1", "00010": "2", "011001": "3", "011010": "4", "011011": "5", "011100": "6",
    "011101": "7", "011110": "8", "011111": "9",
}  # fmt: skip

Fields = list[tuple[bytes, bytes]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return _HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


def block(fields: Fields) -> bytes:
    """A header block of literals that are not indexed (RFC 7541, 6.2.2)."""
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in fields)


def _string(text: bytes) -> bytes:
    if len(text) < 0x7F:
        return bytes([len(text)]) + text
    rest, length = len(text) - 0x7F, b"\x7f"
    while rest > 0x7F:
        length += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return length + bytes([rest]) + text


def pseudo(method: bytes = b"GET", path: bytes = b"/", authority: bytes = b"faas.example") -> Fields:
    return [(b":method", method), (b":scheme", b"http"), (b":authority", authority), (b":path", path)]


def request(stream: int, fields: Fields, *, body: bytes | None = None) -> bytes:
    """A request as one HEADERS frame, and one DATA frame if it has a body."""
    flags = END_HEADERS | (END_STREAM if body is None else 0)
    head = frame(HEADERS, flags, stream, block(fields))
    return head if body is None else head + frame(DATA, END_STREAM, stream, body)


def reset(stream: int, code: int = 8) -> bytes:
    """RST_STREAM; 8 is CANCEL."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


@dataclass
class Heard:
    """The frames that came back: kind, flags, stream and payload of each; and whether the connection then ended."""

    frames: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    closed: bool = False
    seconds: float = 0.0

    def of(self, kind: int) -> list[tuple[int, bytes]]:
        """Stream and payload of each frame of a kind."""
        return [(stream, payload) for found, _, stream, payload in self.frames if found == kind]

    @property
    def statuses(self) -> dict[int, int]:
        """Status of each answer by its stream; the last one, where there were interim ones."""
        return {stream: _status(payload) for stream, payload in self.of(HEADERS)}

    @property
    def goaway(self) -> int | None:
        """Error code with which the peer ended the connection, or None."""
        codes: list[int] = [struct.unpack(">I", payload[4:8])[0] for _, payload in self.of(GOAWAY)]
        return codes[-1] if codes else None


def _status(payload: bytes) -> int:
    while payload[0] & 0xE0 == 0x20:  # a new size of the table
        payload = payload[1:] if payload[0] & 0x1F < 0x1F else payload[2:]
    if payload[0] in _STATUSES:
        return _STATUSES[payload[0]]
    length = payload[1] & 0x7F
    value = payload[2 : 2 + length]
    if not payload[1] & 0x80:
        return int(value)
    bits, digits = "".join(f"{byte:08b}" for byte in value), ""
    while len(digits) < 3:
        size = next(size for size in (5, 6) if bits[:size] in _DIGITS)
        digits, bits = digits + _DIGITS[bits[:size]], bits[size:]
    return int(digits)


@contextlib.contextmanager
def connection(port: int, *, settings: bytes = b"", receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A connection whose preface has been sent."""
    with connect(port, receive_buffer=receive_buffer) as sock:
        sock.sendall(PREFACE + frame(SETTINGS, payload=settings) + frame(SETTINGS, ACK))
        yield sock


def hear(sock: socket.socket, *, seconds: float = 5.0, answers: int | None = None) -> Heard:
    """What comes back until the connection ends, so many streams have ended, or the time is over."""
    begun, data, heard = time.monotonic(), b"", Heard()
    ended: set[int] = set()
    while (left := begun + scaled(seconds) - time.monotonic()) > 0 and (answers is None or len(ended) < answers):
        sock.settimeout(left)
        try:
            piece = sock.recv(1 << 16)
        except TimeoutError:
            break
        except OSError:
            piece = b""
        if not piece:
            heard.closed = True
            break
        data += piece
        while len(data) >= _HEAD.size and len(data) >= _HEAD.size + (length := _HEAD.unpack_from(data)[0] >> 8):
            first, flags, stream = _HEAD.unpack_from(data)
            kind = first & 0xFF
            heard.frames.append((kind, flags, stream, data[_HEAD.size : _HEAD.size + length]))
            data = data[_HEAD.size + length :]
            if kind == RST_STREAM or (kind in {DATA, HEADERS} and flags & END_STREAM):
                ended.add(stream)
    heard.seconds = time.monotonic() - begun
    return heard


def say(port: int, data: bytes, *, seconds: float = 5.0, answers: int | None = None) -> Heard:
    """Sends the frames on a new connection, and hears."""
    with connection(port) as sock:
        with contextlib.suppress(OSError):  # refused before all was sent
            sock.sendall(data)
        return hear(sock, seconds=seconds, answers=answers)
