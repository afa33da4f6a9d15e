"""HTTP client of tenants' functions, through the ingress that routes by Host."""

import contextlib
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from gateway.call_usage import CallUsage
from gateway.errors import NOT_STARTED, ErrorCode, GatewayError
from gateway.retries import RetryWindow
from gateway.settings.upstream import FunctionSettings
from gateway.telemetry.trace import outgoing
from gateway.upstream.errors import (
    CertificateRejectedError,
    DeadlineError,
    DisconnectedError,
    MalformedReplyError,
    NotConnectedError,
    NotTakenError,
    SilentError,
    TruncatedReplyError,
    UpstreamError,
)
from gateway.upstream.pool import Origin, Pool
from gateway.upstream.reply import Reply
from gateway.upstream.request import Request, never, request_head
from gateway.upstream.timing import phases
from tenancy.directory.protocol import FunctionAddress

log = logging.getLogger(__name__)

Fields = Iterable[tuple[bytes, bytes]]

# Statuses of an ingress, an activator or a queue-proxy without an upstream.
NOBODY_THERE = frozenset([502, 503, 504])
# Idempotent methods (RFC 9110, 9.2.2), and their maximum attempts when connections end without an answer.
_IDEMPOTENT = frozenset(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
_IDEMPOTENT_ATTEMPTS = 2
# Methods whose requests say that they have no body (RFC 9110, 8.6).
_WITH_LENGTH = frozenset(["POST", "PUT", "PATCH"])


@dataclass(frozen=True, slots=True)
class FunctionRequest:
    """One request to a function.

    Attributes:
        function: its name, for error messages.
        target: path and query, percent-encoded; sent byte for byte.
        fields: header fields, without Host and those that frame the body.
        body: None: no body.
        length: of a body that is an iterator, in bytes; None: it is sent in chunks.
        begun: whether a byte of the body has been read; from then on the request must not be retried.
        tracestate: whether the caller's `tracestate` is forwarded: its values are free text.
        repeated: the caller retries all of its work itself, so there is only one connection attempt here.
        permanent_failure: the error of a permanent failure, or None; checked now and then while waiting for the head.
        upgrade: whether it asks for another protocol: then a reply may be 101, after which `Reply.switch` is called.
        timings: receives the phases of the wait for the head, in seconds.
        usage: of the call; the exchange is added to it.
    """

    function: str
    method: str = "POST"
    target: bytes = b"/"
    fields: Fields = ()
    body: bytes | AsyncIterator[bytes] | None = None
    length: int | None = None
    begun: Callable[[], bool] = lambda: False
    tracestate: bool = True
    repeated: bool = False
    permanent_failure: Callable[[], GatewayError | None] = never
    upgrade: bool = False
    timings: dict[str, float] = field(default_factory=dict)
    usage: CallUsage | None = None


class _Stopwatch:
    """Time since the last attempt began."""

    __slots__ = ("_started",)

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._started = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self._started


@contextlib.contextmanager
def _measured(address: FunctionAddress, call: FunctionRequest) -> Iterator[_Stopwatch]:
    """Adds an exchange to the usage of its call: from the attempt that succeeded to the end of its reply.

    A cold start is a part of it. The function alone says how long that was, and the tenant controls the function. For
    the same reason a connection that the function has closed counts, though the error says that it is unreachable.
    """
    watch, started = _Stopwatch(), True
    try:
        yield watch
    except GatewayError as error:
        started = error.kind not in NOT_STARTED or isinstance(error.__cause__, DisconnectedError)
        raise
    finally:
        if call.usage is not None:
            call.usage.function, call.usage.revision = call.function, address.revision
            if started:
                call.usage.add_exchange(watch.seconds(), memory_mib=address.memory_mib)


@lru_cache(maxsize=1_024)
def _place(url: str) -> tuple[Origin, bytes, bytes]:
    """Origin, authority and path of a base URL; cached, because most calls use one of a few."""
    parts = urlsplit(url)
    return Origin.of(url), parts.netloc.encode("ascii"), parts.path.encode("ascii")


class ReplyCutError(GatewayError):
    """The reply was cut, as when the function is killed; a retry may succeed."""

    def __init__(self, function: str) -> None:
        super().__init__(ErrorCode.FUNCTION_FAILED, function=function, why="its reply was cut off")


class FunctionClient:
    """Sends requests to functions. Only the given parts of the caller's request are forwarded."""

    def __init__(self, settings: FunctionSettings, tls: ssl.SSLContext) -> None:
        """Opens no connection. `tls`: for functions behind https."""
        self._settings = settings
        self._pool = Pool(settings, tls=tls)

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._pool.__aexit__(kind, error, traceback)

    @property
    def retry_seconds(self) -> float:
        """How long failed work is retried, from the first failure on."""
        return self._settings.retry_seconds

    @contextlib.asynccontextmanager
    async def exchange(self, address: FunctionAddress, call: FunctionRequest) -> AsyncIterator[Reply]:
        """The reply to a call; leaving the block before its end closes the connection.

        Raises:
            GatewayError: FUNCTION_UNREACHABLE, FUNCTION_TIMEOUT, FUNCTION_FAILED, the error of
                `call.permanent_failure`, and that of the body's iterator.
        """
        with _measured(address, call) as watch:
            try:
                reply = await self._head(address, call, watch)
                try:
                    yield reply
                finally:
                    reply.close()
            except UpstreamError as error:
                raise self._failure(error, call.function) from error

    def _failure(self, error: UpstreamError, function: str) -> GatewayError:
        silence, total = self._settings.function_idle_timeout_seconds, self._settings.function_timeout_seconds
        if isinstance(error, TruncatedReplyError):
            return ReplyCutError(function)
        if isinstance(error, NotTakenError | MalformedReplyError):
            taken = f"it took nothing of the request for {silence:g} seconds"
            why = taken if isinstance(error, NotTakenError) else "its reply is not valid HTTP/1.1"
            return GatewayError(ErrorCode.FUNCTION_FAILED, function=function, why=why)
        if isinstance(error, SilentError | DeadlineError):
            silent = f"it sent nothing for {silence:g} seconds, which is the idle timeout"
            long = f"it worked for {total:g} seconds, which is the limit for one call"
            why = silent if isinstance(error, SilentError) else long
            return GatewayError(ErrorCode.FUNCTION_TIMEOUT, function=function, why=why)
        return GatewayError(ErrorCode.FUNCTION_UNREACHABLE, function=function)

    async def _head(self, address: FunctionAddress, call: FunctionRequest, watch: _Stopwatch) -> Reply:
        started = time.perf_counter()
        reply = await self._send(address, call, started, watch)
        said = reply.field(b"server-timing")
        waited = phases(time.perf_counter() - started, said.decode("latin-1") if said else None)
        call.timings.update(waited)
        if call.usage is not None and "coldstart" in waited:
            call.usage.cold_start = True
        return reply

    async def _send(self, address: FunctionAddress, call: FunctionRequest, started: float, watch: _Stopwatch) -> Reply:
        window: RetryWindow | None = None
        attempts_left = _IDEMPOTENT_ATTEMPTS if call.method in _IDEMPOTENT and call.body is None else 1
        while True:
            watch.restart()
            try:
                return await self._send_once(address, call, fresh=window is not None)
            except (NotConnectedError, DisconnectedError) as error:
                # A kept connection that the other side has closed fails with the request that it is used for.
                attempts_left -= isinstance(error, DisconnectedError)
                if not _is_repeatable(call, error) or not attempts_left:
                    raise
                self._check_failure(call, started)
                window = window or RetryWindow(self._settings.retry_seconds)
                if not await window.wait():
                    raise
                log.warning("retrying: the function '%s': %s", call.function, error)

    def _check_failure(self, call: FunctionRequest, started: float) -> None:
        waited = time.perf_counter() - started
        problem = call.permanent_failure() if waited >= self._settings.function_problem_seconds else None
        if problem is None:
            return
        try:
            raise problem
        finally:
            del problem  # its traceback refers to this frame

    async def _send_once(self, address: FunctionAddress, call: FunctionRequest, *, fresh: bool) -> Reply:
        origin, authority, path = _place(address.url)
        host = address.host.encode("ascii") if address.host else authority
        with outgoing("function") as trace_fields:
            trace = [
                (name.encode("ascii"), value.encode("ascii"))
                for name, value in trace_fields.items()
                if call.tracestate or name != "tracestate"
            ]
            head = request_head(
                call.method, path + call.target, [(b"host", host), *call.fields, *trace, *_framing(call)]
            )
            body = call.body
            if isinstance(body, bytes):
                head, body = head + body, None
            request = Request(head, call.method, body, call.length, call.permanent_failure, call.upgrade)
            return await self._pool.send(origin, request, fresh=fresh)


def _is_repeatable(call: FunctionRequest, error: UpstreamError) -> bool:
    """Whether the request was not carried out, or may be carried out twice."""
    if call.repeated or isinstance(error, CertificateRejectedError):
        return False
    return not call.begun() if isinstance(error, NotConnectedError) else True


def _framing(call: FunctionRequest) -> Fields:
    """The fields that say how long the body is (RFC 9112, 6)."""
    if call.body is None:
        return [(b"content-length", b"0")] if call.method in _WITH_LENGTH else []
    length = len(call.body) if isinstance(call.body, bytes) else call.length
    return [(b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)]
