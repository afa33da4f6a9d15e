"""HTTP client of tenants' functions, through the ingress that routes by Host."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import aiohttp
import yarl
from multidict import CIMultiDict

from gateway.errors import ErrorCode, GatewayError
from gateway.retries import RetryWindow
from gateway.settings.upstream import FunctionSettings
from gateway.telemetry.trace import outgoing
from gateway.upstream.timing import phases
from tenancy.directory.protocol import FunctionAddress

log = logging.getLogger(__name__)

# Statuses of an ingress, an activator or a queue-proxy without an upstream.
NOBODY_THERE = frozenset([502, 503, 504])
# Idempotent methods (RFC 9110, 9.2.2), and their maximum attempts when connections end without an answer.
_IDEMPOTENT = frozenset(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
_IDEMPOTENT_ATTEMPTS = 3
# Interval of the check whether to abort the wait for a head.
_CHECK_SECONDS = 1.0


def never_abort() -> GatewayError | None:
    return None


@dataclass(frozen=True, slots=True)
class FunctionRequest:
    """One request to a function.

    Attributes:
        function: its name, for error messages.
        target: path and query, percent-encoded; sent byte for byte.
        fields: header fields, without Host.
        body: any body that aiohttp accepts; None: no body.
        begun: whether a byte of the body has been read; from then on the request must not be retried.
        tracestate: whether the caller's `tracestate` is forwarded: its values are free text.
        repeated: the caller retries all of its work itself, so there is only one connection attempt here.
        permanent_failure: the error of a permanent failure, or None; checked once a second while waiting for the head.
        timings: receives the phases of the wait for the head, in seconds.
    """

    function: str
    method: str = "POST"
    target: bytes = b"/"
    fields: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: Any = None
    begun: Callable[[], bool] = lambda: False
    tracestate: bool = True
    repeated: bool = False
    permanent_failure: Callable[[], GatewayError | None] = never_abort
    timings: dict[str, float] = field(default_factory=dict)


@lru_cache(maxsize=1_024)
def _url(text: str) -> yarl.URL:
    """A URL that is sent unchanged; cached, because most calls use one of a few."""
    return yarl.URL(text, encoded=True)


class abort_when:  # noqa: N801 - used as `asyncio.timeout` is
    """Aborts the block as soon as `check` returns an error; checked from `after_seconds` on.

    A timer in place of a task: most waits end long before the first check. No closures: their reference cycles would
    keep each call until the garbage collector runs.

    Raises:
        GatewayError: the error that `check` returned.
    """

    __slots__ = ("_check", "_failure", "_seconds", "_task", "_timer")

    def __init__(self, check: Callable[[], GatewayError | None], *, after_seconds: float) -> None:
        self._check = check
        self._seconds = max(after_seconds, _CHECK_SECONDS)
        self._failure: GatewayError | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._run_check)

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        assert self._task is not None
        task, timer, self._task, self._timer = self._task, self._timer, None, None
        if timer is not None:
            timer.cancel()
        # Another cancellation at the same moment is propagated.
        if isinstance(error, asyncio.CancelledError) and self._failure is not None and task.uncancel() == 0:
            raise self._failure from None

    def _run_check(self) -> None:
        self._failure, self._timer = self._check(), None
        if self._failure is None:
            self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._run_check)
        elif self._task is not None:
            self._task.cancel()


class ReplyCutError(GatewayError):
    """The reply was cut, as when the function is killed; a retry may succeed."""

    def __init__(self, function: str) -> None:
        super().__init__(ErrorCode.FUNCTION_FAILED, function=function, why="its answer broke off")


class FunctionClient:
    """Sends requests to functions. Only the given parts of the caller's request are forwarded."""

    def __init__(self, session: aiohttp.ClientSession, settings: FunctionSettings) -> None:
        self._session = session
        self._settings = settings
        self._timeout = aiohttp.ClientTimeout(
            total=settings.function_timeout_seconds,
            connect=settings.function_connect_timeout_seconds,
            sock_connect=settings.function_connect_timeout_seconds,
            sock_read=settings.function_idle_timeout_seconds,
        )

    @property
    def silence_seconds(self) -> float:
        """How long a function may neither send nor receive anything."""
        return self._settings.function_idle_timeout_seconds

    @property
    def retry_seconds(self) -> float:
        """How long failed work is retried, from the first failure on."""
        return self._settings.retry_seconds

    @contextlib.asynccontextmanager
    async def post(
        self,
        address: FunctionAddress,
        function: str,
        headers: Mapping[str, str],
        body: Any,
        *,
        permanent_failure: Callable[[], GatewayError | None] = never_abort,
        timings: dict[str, float] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a POST to the function's root, for work that the caller may repeat; see `exchange`."""
        call = FunctionRequest(
            function,
            fields=CIMultiDict(headers),
            body=body,
            tracestate=False,
            repeated=True,
            permanent_failure=permanent_failure,
            timings={} if timings is None else timings,
        )
        async with self.exchange(address, call) as response:
            yield response

    @contextlib.asynccontextmanager
    async def exchange(self, address: FunctionAddress, call: FunctionRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a call; leaving the block before its end closes the connection.

        Raises:
            GatewayError: FUNCTION_UNREACHABLE, FUNCTION_TIMEOUT, FUNCTION_FAILED, and the error of
                `call.permanent_failure`.
        """
        try:
            response = await self._head(address, call)
            async with response:
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._failure(error, call.function) from error

    def _failure(self, error: Exception, function: str) -> GatewayError:
        if isinstance(error, aiohttp.SocketTimeoutError):
            seconds = self._settings.function_idle_timeout_seconds
            why = f"nothing came of it for {seconds:g} seconds, which is the limit for silence"
            return GatewayError(ErrorCode.FUNCTION_TIMEOUT, function=function, why=why)
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
            why = f"it worked for {self._settings.function_timeout_seconds:g} seconds, which is the limit for one call"
            return GatewayError(ErrorCode.FUNCTION_TIMEOUT, function=function, why=why)
        if isinstance(error, aiohttp.ClientPayloadError):
            return ReplyCutError(function)
        if isinstance(error, aiohttp.ClientConnectionError):
            return GatewayError(ErrorCode.FUNCTION_UNREACHABLE, function=function)
        return GatewayError(ErrorCode.FUNCTION_FAILED, function=function, why="its answer is not HTTP as it should be")

    async def _head(self, address: FunctionAddress, call: FunctionRequest) -> aiohttp.ClientResponse:
        started = time.perf_counter()
        async with abort_when(call.permanent_failure, after_seconds=self._settings.function_problem_seconds):
            response = await self._send(address, call)
        call.timings.update(phases(time.perf_counter() - started, response.headers.get("Server-Timing")))
        return response

    async def _send(self, address: FunctionAddress, call: FunctionRequest) -> aiohttp.ClientResponse:
        window: RetryWindow | None = None
        attempts_left = _IDEMPOTENT_ATTEMPTS if call.method in _IDEMPOTENT and call.body is None else 1
        while True:
            try:
                return await self._send_once(address, call)
            except aiohttp.ClientSSLError:
                raise  # another attempt meets the same certificate
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                # There was no connection, so nothing was sent: any method may be retried.
                window = window or RetryWindow(self._settings.retry_seconds)
                if call.repeated or call.begun() or not await window.wait():
                    raise
                log.warning("trying again: no connection to the function '%s'", call.function)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # Kept connections that the other side has closed fail one by one, each with the request it is used for.
                window, attempts_left = window or RetryWindow(self._settings.retry_seconds), attempts_left - 1
                if call.repeated or not attempts_left or not await window.wait():
                    raise
                log.warning("trying again: the connection to the function '%s' ended without an answer", call.function)

    async def _send_once(self, address: FunctionAddress, call: FunctionRequest) -> aiohttp.ClientResponse:
        fields = call.fields.copy()
        if address.host:
            fields["Host"] = address.host
        with outgoing("function") as trace_fields:
            fields.update(trace_fields)
            if not call.tracestate:
                fields.popall("tracestate", None)
            return await self._session.request(
                call.method,
                _url(address.url + call.target.decode("ascii")),
                headers=fields,
                data=call.body,
                allow_redirects=False,
                timeout=self._timeout,
            )
