"""Framing of request bodies. Pure except for the position that was reached.

Size lines of a chunked body must match the grammar of RFC 9112, 7.1 exactly. Trailers are validated and dropped:
nothing here needs them, and merged into the head they would be unchecked fields.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import ErrorCode, GatewayError

_TOKEN = rb"[A-Za-z0-9!#$%&'*+\-.^_`|~]++"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+"'
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;%b(?:=(?:%b|%b))?)*+" % (_TOKEN, _TOKEN, _QUOTED))
_UNFINISHED_SIZE = re.compile(rb"[0-9A-Fa-f]{0,15}(?:(?<=[0-9A-Fa-f])(?:;[^\x00-\x08\x0a-\x1f\x7f]*+)?\r?)?")
_TRAILER = re.compile(rb"(%b):[^\x00-\x08\x0a-\x1f\x7f]*+" % _TOKEN)
_CRLF = b"\r\n"
_SIZE_LINE_MAX = 256
_TRAILERS_MAX = 8_192
# RFC 9110, 6.5.1: what frames, routes, authenticates or modifies is no trailer.
_NO_TRAILERS = frozenset(
    b"content-length transfer-encoding host authorization x-auth-token x-service-token content-type content-encoding "
    b"connection expect te trailer upgrade cookie".split()
)


@dataclass(frozen=True, slots=True)
class Taken:
    """Result of `take`.

    Attributes:
        feed: bytes for the parser.
        consumed: how many of the given bytes belong to the body; pass the rest again, with more bytes.
        done: whether the body ends there.
    """

    feed: bytes
    consumed: int
    done: bool


class Body(Protocol):
    """A body that is being received."""

    def take(self, data: bytes) -> Taken:
        """The part of `data` that belongs to the body.

        Raises:
            GatewayError: REQUEST_MALFORMED.
        """
        ...


class SizedBody:
    """A body of known length."""

    def __init__(self, length: int) -> None:
        self._left = length

    def take(self, data: bytes) -> Taken:
        part = data[: self._left]
        self._left -= len(part)
        return Taken(part, len(part), self._left == 0)


class ChunkedBody:
    """A chunked body, up to the chunk of size 0."""

    def __init__(self) -> None:
        self._left = 0  # bytes left of the chunk, with its line end
        self._trailers: int | None = None  # bytes of trailers so far, once they have begun

    def take(self, data: bytes) -> Taken:
        at = 0
        while self._trailers is None:
            if self._left:
                at = self._within_chunk(data, at)
                if self._left:
                    return Taken(data[:at], at, done=False)
            line_end = _line_end(data, at)
            if line_end is None:
                return Taken(data[:at], at, done=False)
            self._begin_chunk(data, at, line_end)
            at = line_end + len(_CRLF)
        fed = data[:at]
        while (line_end := data.find(_CRLF, at)) >= 0:
            line = data[at:line_end]
            at = line_end + len(_CRLF)
            if not line:
                return Taken(fed + _CRLF, at, done=True)
            self._trailers += len(line)
            _check_trailer(line, self._trailers)
        if len(data) - at > _TRAILERS_MAX or b"\n" in data[at:]:
            raise _malformed("its trailers are too large, or have a line end that is not CR LF")
        return Taken(fed, at, done=False)

    def _within_chunk(self, data: bytes, at: int) -> int:
        """The end of the chunk's data; `_left` becomes 0 after its line end."""
        there = len(data) - at
        content = min(there, max(0, self._left - len(_CRLF)))
        self._left -= content
        at += content
        if self._left > len(_CRLF):
            return at
        ending = data[at : at + self._left]
        if ending != _CRLF[-self._left :][: len(ending)]:
            raise _malformed("a chunk is not as long as it says")
        self._left -= len(ending)
        return at + len(ending)

    def _begin_chunk(self, data: bytes, at: int, line_end: int) -> None:
        match = _SIZE_LINE.fullmatch(data, at, line_end)
        if match is None or line_end - at > _SIZE_LINE_MAX:
            raise _malformed("the size of a chunk is not a number, or what follows it is too long")
        size = int(match[1], 16)
        if size:
            self._left = size + len(_CRLF)
        else:
            self._trailers = 0


def _line_end(data: bytes, at: int) -> int | None:
    end = data.find(_CRLF, at, at + _SIZE_LINE_MAX + len(_CRLF))
    if end >= 0:
        return end
    if len(data) - at > _SIZE_LINE_MAX or not _UNFINISHED_SIZE.fullmatch(data, at):
        raise _malformed("the size of a chunk is not a number, or what follows it is too long")
    return None


def _check_trailer(line: bytes, total: int) -> None:
    match = _TRAILER.fullmatch(line)
    if match is None or match[1].lower() in _NO_TRAILERS:
        raise _malformed("a trailer is not a field, or one that belongs into the head")
    if total > _TRAILERS_MAX:
        raise _malformed("its trailers are too large")


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
