"""Requests as bytes: targets and values are sent exactly as they are given."""

import re
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from gateway.upstream.errors import RequestBodyError

_TARGET = re.compile(rb"[\x21-\x7e]+")
_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_BREAKS = re.compile(rb"[\r\n\x00]")


def never() -> None:
    """Knows of no problem, at any time."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to an upstream.

    Attributes:
        head: request line and fields with the empty line, as they are sent.
        method: decides whether the reply may have a body.
        body: None: no body, or it is part of `head`.
        length: of the body in bytes; None: it is sent in chunks.
        problem: an error that ends the wait for the head, or None; asked now and then.
        upgrade: whether it asks for another protocol, so that 101 is a reply to it.
    """

    head: bytes
    method: str
    body: AsyncIterator[bytes] | None = None
    length: int | None = None
    problem: Callable[[], Exception | None] = never
    upgrade: bool = False


def request_head(method: str, target: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Request line, fields and the empty line (RFC 9112, 3).

    Raises:
        ValueError: a part of it would end its line, and so become another field or another request.
    """
    if not _TARGET.fullmatch(target) or not method.isalpha():
        raise ValueError("not a request line")
    parts = [method.encode("ascii"), b" ", target, b" HTTP/1.1\r\n"]
    for name, value in fields:
        if _BREAKS.search(value) or not _NAME.fullmatch(name):
            raise ValueError("not a header field")
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


async def framed(body: AsyncIterator[bytes], length: int | None) -> AsyncIterator[tuple[bytes, ...]]:
    """What is sent for each piece of a body: as it is if its length is known, else as a chunk (RFC 9112, 7.1).

    Raises:
        RequestBodyError: the body has another length.
    """
    left = length
    async for piece in body:
        if left is None:
            if piece:
                yield b"%x\r\n" % len(piece), piece, b"\r\n"
        else:
            left -= len(piece)
            if left < 0:
                raise RequestBodyError("the body is longer than its Content-Length")
            yield (piece,)
    if left:
        raise RequestBodyError("the body is shorter than its Content-Length")
    if left is None:
        yield (b"0\r\n\r\n",)
