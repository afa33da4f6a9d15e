"""One reply of an upstream, from bytes (RFC 9112): strict, bounded, and exact about where it ends.

llhttp without leniencies reads heads and chunks. A body with a length, or one that ends with its connection, is counted
here and passed on without a copy. Bytes behind the end are never hidden: the next request would get them as its reply.
"""

from collections.abc import Callable

import httptools

from gateway.http.websocket import SWITCHING_PROTOCOLS
from gateway.upstream.errors import MalformedReplyError
from gateway.upstream.reply import Consumer, Fields

# Of a reply's head, or of what surrounds the pieces of a chunked body; many servers allow about as much.
MAX_HEAD_BYTES = 65_536
MAX_FIELDS = 256
MAX_INTERIM_REPLIES = 16
_VERSIONS = frozenset(["1.0", "1.1"])
_FIRST_FINAL_STATUS = 200
# Switching Protocols, and what is no status.
_NOT_INTERIM = frozenset([SWITCHING_PROTOCOLS, *range(100)])
_BODYLESS_STATUSES = frozenset([204, 304])
_LINE_ENDS = b"\r\n"
_HEAD_END = b"\r\n\r\n"
# The fields that say where a reply ends, and what happens then.
_FRAMING = frozenset([b"content-length", b"transfer-encoding", b"connection"])


class ReplyParser:
    """Parses the reply to one request.

    Attributes:
        complete: the whole reply has arrived.
        reusable: the connection may carry another request once the reply is complete: both sides know where it ended,
            neither closes, and nothing came behind it.
    """

    __slots__ = (
        "_begin",
        "_body",
        "_bodyless",
        "_chunked",
        "_fields",
        "_in_head",
        "_interim_left",
        "_left",
        "_overhead",
        "_parser",
        "_upgrade",
        "complete",
        "reusable",
    )  # fmt: skip

    def __init__(self, method: str, begin: Callable[[int, Fields], Consumer], *, upgrade: bool = False) -> None:
        """Expects a head.

        Args:
            method: of the request; decides whether there is a body.
            upgrade: whether 101 is a final reply. What follows its head is given out as the body, unread.
            begin: called with status and fields of the final head, names in lower case; returns what takes the body.
        """
        self.complete = self.reusable = False
        self._begin = begin
        self._bodyless = method == "HEAD"
        self._upgrade = upgrade
        self._body: Consumer | None = None
        self._chunked = False
        # Of a body with a length, in bytes; None: the body ends with the connection.
        self._left: int | None = None
        self._fields: Fields = []
        self._in_head = False
        self._interim_left = MAX_INTERIM_REPLIES
        self._overhead = 0
        # The parser refers to this object, until `close`.
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def close(self) -> None:
        """Nothing more is fed."""
        self._parser = None

    def feed(self, data: bytes) -> None:
        """Bytes arrived, at least one.

        Raises:
            MalformedReplyError: the reply is not valid, or exceeds a limit.
        """
        try:
            rest = data if self._body is not None else self._feed_head(data)
            if rest and self._body is not None:
                self._feed_body(rest, self._body)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.reusable = False
            if not self.complete:
                raise MalformedReplyError(str(error.__context__ or error)) from error
        if self._overhead > MAX_HEAD_BYTES:
            raise MalformedReplyError("the head of the reply is too long")

    def feed_end(self) -> None:
        """The upstream closed its side: that is the end of a body without another one."""
        if self._body is not None and not self._chunked and self._left is None:
            self.complete = True

    def _feed_head(self, data: bytes) -> bytes:
        """Feeds heads, up to the end of the final one; returns what is behind it."""
        assert self._parser is not None
        at = 0
        while self._body is None and at < len(data):
            if data[at] not in _LINE_ENDS:
                found = data.find(_HEAD_END, at)
                end = len(data) if found < 0 else found + len(_HEAD_END)
            elif self._in_head:
                # The head may end with any of the next three bytes.
                end = at + 1
            else:
                raise MalformedReplyError("a line before the status line")
            self._overhead += end - at
            if self._overhead > MAX_HEAD_BYTES:
                raise MalformedReplyError("the head of the reply is too long")
            try:
                self._parser.feed_data(data[at:end])
            except httptools.HttpParserUpgrade:
                if self._body is None:
                    raise
            at = end
        return data[at:]

    def _feed_body(self, data: bytes, body: Consumer) -> None:
        if self.complete:
            self.reusable = False
        elif self._chunked:
            self._feed_chunks(data)
        elif self._left is None:
            body(data)
        else:
            piece = data[: self._left]
            self._left -= len(piece)
            self.complete = not self._left
            self.reusable = self.reusable and len(piece) == len(data)
            body(piece)

    def _feed_chunks(self, data: bytes) -> None:
        """A chunked body ends with a line feed. llhttp does not say where it ended, so the last one is fed alone."""
        assert self._parser is not None
        self._overhead += len(data)
        before, last = (data[:-1], data[-1:]) if data.endswith(b"\n") else (data, b"")
        if before:
            self._parser.feed_data(before)
        if self.complete:
            self.reusable = False
        elif last:
            self._parser.feed_data(last)

    # --- callbacks of the parser

    def on_message_begin(self) -> None:
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._body is None:
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self._in_head = False
        status, version, fields = self._parser.get_status_code(), self._parser.get_http_version(), self._fields
        if self._body is not None:
            return
        if status < _FIRST_FINAL_STATUS and not self._is_switch(status):
            self._interim_left -= 1
            if status in _NOT_INTERIM or self._interim_left < 0:
                raise ValueError("an interim reply that was not asked for")
            self._fields = []
            return
        if version not in _VERSIONS:
            raise ValueError("another version of HTTP")
        if len(fields) > MAX_FIELDS:
            raise ValueError("the head of the reply has too many fields")
        framing = [field for field in fields if field[0] in _FRAMING]
        self._frame(status, framing)
        self.reusable = version == "1.1" and not _says_close(framing) and (self._chunked or self._left is not None)
        self._overhead = 0
        self._body = self._begin(status, fields)

    def _is_switch(self, status: int) -> bool:
        """Whether this is a reply to a request for another protocol. It says so, and has no body (RFC 9110, 7.8)."""
        assert self._parser is not None
        return (
            status == SWITCHING_PROTOCOLS
            and self._upgrade
            and self._parser.get_http_version() == "1.1"
            and self._parser.should_upgrade()
            and not any(name in {b"content-length", b"transfer-encoding"} for name, _ in self._fields)
        )

    def _frame(self, status: int, framing: Fields) -> None:
        """How the body ends (RFC 9112, 6.3); llhttp has refused what is ambiguous."""
        coding = length = None
        for name, value in framing:
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                if coding is not None or value.lower() != b"chunked":
                    raise ValueError("a transfer coding that is not understood")
                coding = value
        if self._bodyless or status in _BODYLESS_STATUSES:
            self._left = 0
        elif coding is not None:
            self._chunked = True
        else:
            self._left = length
        self.complete = self._left == 0

    def on_body(self, piece: bytes) -> None:
        # The parser goes on with what is behind the reply.
        if self._chunked and self._body is not None and not self.complete:
            self._overhead = 0
            self._body(piece)

    def on_message_complete(self) -> None:
        if self._chunked:
            self.complete = True


def _says_close(framing: Fields) -> bool:
    for name, value in framing:  # noqa: SIM110 - a generator costs more than the rest
        if name == b"connection" and b"close" in value.lower():
            return True
    return False
