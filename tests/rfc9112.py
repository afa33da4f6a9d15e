"""A decoder of HTTP/1.1 replies (RFC 9112), to compare with: strict, slow, and without anything of the product.

It reads a whole stream at once, by regular expressions, so that it shares neither code nor method with a client that
reads as bytes arrive.
"""

import re
from dataclasses import dataclass

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A whole reply.

    Attributes:
        status: of the final head.
        fields: of the final head; names in lower case, values without blanks around them.
        body: without its framing.
        end: where it ends in the stream.
        reusable: whether the connection may carry another request; if there is anything behind the reply, it may not.
    """

    status: int
    fields: Fields
    body: bytes
    end: int
    reusable: bool


TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
# A client ignores the reason phrase, whatever it is (4).
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: [^\r\n]*)?\r\n")
FIELD = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+):(" + TEXT + rb")\r\n")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;" + TEXT + rb")?\r\n")

_FINAL = 200


def decode(stream: bytes, method: str, *, ended: bool) -> Decoded | None:
    """The reply at the start of a stream, or None: there is none, or it is not whole (RFC 9112, 4, 5, 6.3 and 7.1)."""
    status, at = 0, 0
    while status < _FINAL:
        line = STATUS_LINE.match(stream, at)
        head = fields_at(stream, line.end()) if line else None
        if line is None or head is None:
            return None
        status, fields, at = int(line[2]), *head
        if status < 100 or status == 101:
            return None
    keeps = line[1] == b"1" and not any(name == b"connection" and b"close" in value.lower() for name, value in fields)
    body = (b"", at) if method == "HEAD" or status in {204, 304} else framed_body(stream, at, fields)
    if body is not None:
        return Decoded(status, fields, *body, keeps and body[1] == len(stream))
    framed = any(name in {b"transfer-encoding", b"content-length"} for name, _ in fields)
    return Decoded(status, fields, stream[at:], len(stream), reusable=False) if ended and not framed else None


def framed_body(stream: bytes, at: int, fields: Fields) -> tuple[bytes, int] | None:
    """A body in chunks or of a length, and where it ends."""
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    lengths = [value for name, value in fields if name == b"content-length"]
    if codings == [b"chunked"] and not lengths:
        return unchunk(stream, at)
    if len(lengths) == 1 and not codings and re.fullmatch(rb"[0-9]+", lengths[0]):
        end = at + int(lengths[0])
        return (stream[at:end], end) if end <= len(stream) else None
    return None


def fields_at(stream: bytes, at: int) -> tuple[Fields, int] | None:
    """Fields up to the empty line, and where that ends."""
    fields = []
    while field := FIELD.match(stream, at):
        fields.append((field[1].lower(), field[2].strip(b" \t")))
        at = field.end()
    return (tuple(fields), at + 2) if stream.startswith(b"\r\n", at) else None


def unchunk(stream: bytes, at: int) -> tuple[bytes, int] | None:
    """A chunked body, and where its trailers end."""
    body = b""
    while size := CHUNK_SIZE.match(stream, at):
        at, length = size.end(), int(size[1], 16)
        if not length:
            trailers = fields_at(stream, at)
            return trailers and (body, trailers[1])
        body += stream[at : at + length]
        at += length + 2
        if stream[at - 2 : at] != b"\r\n":
            return None
    return None
