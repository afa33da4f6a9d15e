"""Reads one object from its URL, once, with resumption; blocking, for a thread.

`http.client` sends the request target byte for byte, follows no redirect and reads directly into our buffers. An
interrupted read is resumed by `Range` (RFC 9110 14.2) with `If-Match`, into the same digests; bytes that cannot be
proved to be of the same object are an error. If all digests can be combined from those of parts, several ranges are
read in parallel.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import struct
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from .algorithms import combined
from .errors import ChecksumsError, Code
from .pipeline import Pipeline
from .spans import Span, on_threads, spans_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .orders import SourceOrder, SourceUrl
    from .pipeline import Stop
    from .settings import Settings

# Swift allows 90 header fields of user metadata per object; with its own fields that exceeds http.client's limit of
# 100, which has no public setting.
http.client._MAXHEADERS = 256  # type: ignore[attr-defined]  # noqa: SLF001

# A call of readinto loses its bytes if the connection breaks during it, so a buffer is filled in pieces.
_READ_BYTES = 1 << 18
# After this many bytes since the last break, attempts count anew; a smaller number would allow endless breaks.
_PROGRESS_BYTES = 16 << 20
_LONGEST_BACKOFF_SECONDS = 5.0
# A source that is blocked by a full window does not notice an orderly close for a minute or more; it notices a reset.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_QUOTED = re.compile(r'"([^"]+)"')
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
_TEMPORARY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_CHANGED = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})
_MISSING = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class RangesIgnored(Exception):  # noqa: N818 - not an error: the object is then read in one piece
    """The source answers a range request with the whole object, as RFC 9110 14.2 allows."""


class Interrupted(Exception):  # noqa: N818 - not yet an error: the next attempt may succeed
    """An attempt failed, and another one may succeed. `failure` is the error if none does."""

    def __init__(self, failure: ChecksumsError) -> None:
        super().__init__(str(failure))
        self.failure = failure


def digest_source(order: SourceOrder, settings: Settings, stop: Stop) -> tuple[str | None, dict[str, str]]:
    """Reads the object; returns its ETag and the digests.

    Raises:
        ChecksumsError: source_refused, source_missing, source_unreachable, object_changed, short_read.
        Stopped: the caller has disconnected.
    """
    refuse_unlisted(order.url, settings)
    spans = spans_of(order, at_once=settings.ranges)
    if len(spans) > 1:
        with contextlib.suppress(RangesIgnored):
            return order.etag, _digest_spans(order, settings, stop, spans)
    return _digest_span(order, settings, stop, Span(0, order.size))


def _digest_span(order: SourceOrder, settings: Settings, stop: Stop, span: Span) -> tuple[str | None, dict[str, str]]:
    with Pipeline(order.algorithms, size=len(span), stop=stop) as pipeline:
        reading = Reading(order, settings, stop, pipeline, span)
        reading.run()
        return reading.etag, pipeline.finish()


def _digest_spans(order: SourceOrder, settings: Settings, stop: Stop, spans: Sequence[Span]) -> dict[str, str]:
    """The combined digests of all spans, each read on a separate thread."""

    def digest(span: Span, stop_all: Stop) -> dict[str, str]:
        return _digest_span(order, settings, stop_all, span)[1]

    parts = on_threads(digest, spans, stop)
    return {
        algorithm.name: combined(
            algorithm, [(part[algorithm.name], len(span)) for part, span in zip(parts, spans, strict=True)]
        )
        for algorithm in order.algorithms
    }


def refuse_unlisted(url: SourceUrl, settings: Settings) -> None:
    """Raises source_refused for a host that the operator has not listed, before DNS resolution and connection."""
    if settings.allowed_sources is not None and (url.host, url.port) not in settings.allowed_sources:
        raise ChecksumsError(Code.SOURCE_REFUSED, f"{url.host}:{url.port} is not one of this function's sources.")


class Connection(http.client.HTTPConnection):
    """A connection that a stop can shut down at any moment, even while it is being established."""

    def __init__(self, url: SourceUrl, settings: Settings, stop: Stop) -> None:
        super().__init__(url.host, url.port)
        self._url = url
        self._settings = settings
        self._stop = stop
        self._open: socket.socket | None = None

    def connect(self) -> None:
        """Tries each address in turn. Raises OSError, Stopped."""
        failure: OSError | None = None
        self._stop.watch(self.shutdown)
        for family, kind, protocol, _, address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            self._stop.check()
            self._open = socket.socket(family, kind, protocol)
            try:
                self._open.settimeout(self._settings.connect_seconds)
                self._open.connect(address)
                self._open.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._url.scheme == "https":
                    self._start_tls(self._open)
                self._open.settimeout(self._settings.stall_seconds)
            except OSError as error:
                failure = error
                self._open.close()
            else:
                self.sock = self._open
                return
        raise failure or OSError("the name has no address")

    def _start_tls(self, plain: socket.socket) -> None:
        # The handshake follows the assignment, so that a stop reaches the socket that now owns the descriptor.
        tls = _tls_context(self._settings.cafile).wrap_socket(
            plain, server_hostname=self.host, do_handshake_on_connect=False
        )
        self._open = tls
        tls.do_handshake()

    def shutdown(self) -> None:
        """Wakes a thread that connects, reads or writes; the socket's owner still closes it."""
        if self._open is not None:
            # Bypasses SSLSocket's own shutdown, after which a read in another thread would continue without TLS. A
            # socket that is not connected, or closed already, needs no shutdown.
            with contextlib.suppress(OSError):
                self._open.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                socket.socket.shutdown(self._open, socket.SHUT_RDWR)

    def discard(self) -> None:
        """Closes for good. Not `close`, which http.client calls itself once the response has the socket."""
        self._stop.unwatch(self.shutdown)
        self.close()
        if self._open is not None:
            self._open.close()


@lru_cache(maxsize=1)
def _tls_context(cafile: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cafile)  # cached: parsing takes some 20 ms


class Reading:
    """Reads a span of an object from the source into a pipeline. All bytes before `position` are in the buffers."""

    def __init__(self, order: SourceOrder, settings: Settings, stop: Stop, pipeline: Pipeline, span: Span) -> None:
        self._order = order
        self._span = span
        self._settings = settings
        self._stop = stop
        self._pipeline = pipeline
        self.etag = order.etag
        self.position = span.start
        self._filled = 0
        self._buffer = pipeline.ring.acquire()

    def run(self) -> None:
        """Reads all bytes into the pipeline, in as many attempts as the settings allow; may be called only once."""
        try:
            self._read_in_attempts()
            self._pipeline.submit(self._buffer, self._filled)
        finally:
            del self._buffer  # the traceback of a failure keeps this object alive; it must not keep a MiB

    def _read_in_attempts(self) -> None:
        attempt, last_break = 1, self._span.start
        while True:
            try:
                self._attempt()
            except Interrupted as interruption:
                self._stop.check()
                if self.position - last_break >= _PROGRESS_BYTES:
                    attempt = 1
                if attempt >= self._settings.attempts:
                    raise interruption.failure from interruption
                if self.position > self._span.start and self._strong_etag is None:
                    # Nothing would prove that the rest is of the same object.
                    raise interruption.failure from interruption
                last_break = self.position
            else:
                return
            self._stop.sleep(min(self._settings.backoff_seconds * 2 ** (attempt - 1), _LONGEST_BACKOFF_SECONDS))
            attempt += 1

    def _attempt(self) -> None:
        connection = Connection(self._order.url, self._settings, self._stop)
        try:
            with self._ask(connection) as response:
                self._check(response)
                self._read(response)
        finally:
            connection.discard()

    def _ask(self, connection: Connection) -> http.client.HTTPResponse:
        where = f"{self._order.url.host}:{self._order.url.port}"
        try:
            connection.putrequest(
                "GET", self._order.url.target.decode("ascii"), skip_host=True, skip_accept_encoding=True
            )
            connection.putheader("Host", self._order.url.authority)
            connection.putheader("Accept-Encoding", "identity")
            connection.putheader("User-Agent", "checksums-function")
            connection.putheader("Connection", "close")
            if self._strong_etag is not None:
                connection.putheader("If-Match", f'"{self._strong_etag}"')
            if self._asks_for_range:
                last = self._span.end - 1 if self._span.end < self._order.size else ""
                connection.putheader("Range", f"bytes={self.position}-{last}")
            connection.endheaders()
            return connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            raise ChecksumsError(
                Code.SOURCE_UNREACHABLE, f"The certificate of {where} is not trusted: {error.verify_message}."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self._stop.check()
            # Only the kind of the error: http.client's messages may quote bytes of the source.
            what = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise Interrupted(
                ChecksumsError(Code.SOURCE_UNREACHABLE, f"No answer from the source {where} ({what}).")
            ) from error

    @property
    def _strong_etag(self) -> str | None:
        """The ETag for a condition; None for a weak one, which matches none (RFC 9110 13.1.1)."""
        return None if self.etag is None or self.etag.startswith('W/"') else self.etag

    @property
    def _asks_for_range(self) -> bool:
        return self.position > 0 or self._span.end < self._order.size

    def _check(self, response: http.client.HTTPResponse) -> None:
        """Checks that the body is the requested object from `position` on."""
        wanted = HTTPStatus.PARTIAL_CONTENT if self._asks_for_range else HTTPStatus.OK
        if response.status != wanted:
            if response.status == HTTPStatus.OK and self.position == self._span.start:
                raise RangesIgnored
            raise _refusal(response.status, resuming=self._asks_for_range)
        etag = response.getheader("ETag")
        if etag is not None and (quoted := _QUOTED.fullmatch(etag)):
            etag = quoted[1]  # Swift sends a plain object's ETag without quotes, all others with
        if self.etag is None:
            self.etag = etag
        elif etag != self.etag:
            raise ChecksumsError(Code.OBJECT_CHANGED, "The source's ETag differs from the expected one.")
        size, remaining = self._order.size, self._span.end - self.position
        if self._asks_for_range:
            self._check_range(response.getheader("Content-Range", ""))
        if response.length is not None and response.length != remaining:
            raise ChecksumsError(
                Code.OBJECT_CHANGED,
                f"The source has {self.position + response.length} bytes instead of {size}.",
            )

    def _check_range(self, field: str) -> None:
        content_range = _CONTENT_RANGE.fullmatch(field)
        if content_range is None or int(content_range[1]) != self.position:
            raise ChecksumsError(
                Code.SHORT_READ, "The read was interrupted, and the source resumed it at another position."
            )
        size = self._order.size
        if int(content_range[3]) != size:
            raise ChecksumsError(Code.OBJECT_CHANGED, f"The source has {content_range[3]} bytes instead of {size}.")
        if int(content_range[2]) != self._span.end - 1:
            raise ChecksumsError(
                Code.SHORT_READ, "The read was interrupted, and the source resumed only a part of the rest."
            )

    def _read(self, response: http.client.HTTPResponse) -> None:
        size, end_of_span = self._order.size, self._span.end
        while self.position < end_of_span:
            if self._filled == len(self._buffer.view):
                self._pipeline.submit(self._buffer, self._filled)
                self._buffer = self._pipeline.ring.acquire()
                self._filled = 0
            end = min(self._filled + _READ_BYTES, len(self._buffer.view), self._filled + end_of_span - self.position)
            count = self._receive(response, self._buffer.view[self._filled : end])
            self._filled += count
            self.position += count
        # Without a Content-Length, only the end of the stream shows that the body is complete.
        if response.length is None and self._receive(response, memoryview(bytearray(1))):
            raise ChecksumsError(Code.OBJECT_CHANGED, f"The source has more than {size} bytes.")

    def _receive(self, response: http.client.HTTPResponse, into: memoryview) -> int:
        failure: Exception
        try:
            count = response.readinto(into)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failure = error
        else:
            self._stop.check()
            if count or self.position == self._span.end:
                return count
            failure = EOFError()
        self._stop.check()
        if self.position == self._span.end:
            raise ChecksumsError(Code.SHORT_READ, "The source broke off before the end of its response.") from failure
        what = "stopped sending" if isinstance(failure, TimeoutError) else "broke off"
        raise Interrupted(
            ChecksumsError(Code.SHORT_READ, f"The source {what} after {self.position} of {self._order.size} bytes.")
        ) from failure


def _refusal(status: int, *, resuming: bool) -> Exception:
    """The error for an unexpected status. Every status that is not listed, redirects included, is a refusal."""
    if status in _TEMPORARY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Interrupted(ChecksumsError(Code.SOURCE_UNREACHABLE, f"The source returned {status}."))
    if status == HTTPStatus.OK and resuming:
        return ChecksumsError(Code.SHORT_READ, "The read was interrupted, and the source cannot resume it.")
    if status in _CHANGED:
        return ChecksumsError(Code.OBJECT_CHANGED, "The object at the source has changed.")
    if status in _MISSING:
        return ChecksumsError(Code.SOURCE_MISSING, f"The source has no such object ({status}).")
    if status == HTTPStatus.CONFLICT:
        # Swift's answer for a large object with a missing or changed segment, also when a read is resumed.
        return ChecksumsError(Code.SOURCE_INCOMPLETE, "The source does not have the complete object (409).")
    return ChecksumsError(Code.SOURCE_REFUSED, f"The source returned {status}; redirects are not followed.")
