"""One HTTP exchange with a tenant's function, through the ingress that knows it by its Host."""

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

from gateway.errors import GatewayError, Kind
from gateway.invoke.timing import phases
from gateway.observe.trace import outgoing
from gateway.retries import RetryWindow
from tenancy.directory import FunctionAddress

log = logging.getLogger(__name__)

# What an ingress, an activator or a queue-proxy answers when there is nobody behind it.
NOBODY_THERE = frozenset([502, 503, 504])
# What may be sent twice (RFC 9110, 9.2.2), and how often it is when connections end without an answer.
_IDEMPOTENT = frozenset(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
_IDEMPOTENT_ATTEMPTS = 3
# How often it is looked whether waiting for a head is in vain.
_LOOK_SECONDS = 1.0


def _hopeful() -> GatewayError | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited: for a connection, for a sign of life, in all; and for a function in trouble (seconds).

    `retry_seconds`: for a connection to be possible, after the first one that was not.
    """

    connect_seconds: float
    silence_seconds: float
    total_seconds: float
    trouble_seconds: float = 10.0
    retry_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a function.

    Attributes:
        function: its name, for sentences.
        target: path and query, percent-encoded; sent byte for byte.
        fields: header fields, without Host.
        body: what aiohttp takes for a body; None: there is none.
        begun: whether a byte of the body has been asked for; from then on nothing may be sent again.
        tracestate: whether the caller's goes along: its words are free.
        repeated: the caller itself repeats the whole of its work, so there is only one attempt at a connection here.
        lasting: why it is in vain to wait for the head any longer, or None; asked about once a second.
        timings: gets the phases of waiting for the head, in seconds.
    """

    function: str
    method: str = "POST"
    target: bytes = b"/"
    fields: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: Any = None
    begun: Callable[[], bool] = lambda: False
    tracestate: bool = True
    repeated: bool = False
    lasting: Callable[[], GatewayError | None] = _hopeful
    timings: dict[str, float] = field(default_factory=dict)


@lru_cache(maxsize=1_024)
def _url(text: str) -> yarl.URL:
    """A URL that is sent as it stands; most calls of a function are for one of a few."""
    return yarl.URL(text, encoded=True)


class unless_in_vain:  # noqa: N801 - used as `asyncio.timeout` is
    """Breaks off what the block waits for as soon as `lasting` gives a reason, asked from `after_seconds` on.

    A timer in place of a task: most waits are over long before the first look. No closures, whose references to
    themselves would keep each call until the garbage collector comes.

    Raises:
        GatewayError: the reason.
    """

    __slots__ = ("_in_vain", "_lasting", "_seconds", "_task", "_timer")

    def __init__(self, lasting: Callable[[], GatewayError | None], *, after_seconds: float) -> None:
        self._lasting = lasting
        self._seconds = max(after_seconds, _LOOK_SECONDS)
        self._in_vain: GatewayError | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        assert self._task is not None
        task, timer, self._task, self._timer = self._task, self._timer, None, None
        if timer is not None:
            timer.cancel()
        # Somebody else may have cancelled at the same moment; that goes on.
        if isinstance(error, asyncio.CancelledError) and self._in_vain is not None and task.uncancel() == 0:
            raise self._in_vain from None

    def _look(self) -> None:
        self._in_vain, self._timer = self._lasting(), None
        if self._in_vain is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)
        elif self._task is not None:
            self._task.cancel()


class ReplyCutError(GatewayError):
    """The reply broke off, as it does when the function is killed; another attempt may bring a whole one."""

    def __init__(self, function: str) -> None:
        super().__init__(Kind.FUNCTION_FAILED, function=function, why="its answer broke off")


class FunctionClient:
    """Sends requests to functions. Nothing of the caller's request goes along but what is given here."""

    def __init__(self, session: aiohttp.ClientSession, patience: Patience) -> None:
        self._session = session
        self._patience = patience
        self._timeout = aiohttp.ClientTimeout(
            total=patience.total_seconds,
            connect=patience.connect_seconds,
            sock_connect=patience.connect_seconds,
            sock_read=patience.silence_seconds,
        )

    @property
    def silence_seconds(self) -> float:
        """How long a function may neither say nor take anything."""
        return self._patience.silence_seconds

    @property
    def retry_seconds(self) -> float:
        """How long what failed is tried again, from the first failure on."""
        return self._patience.retry_seconds

    @contextlib.asynccontextmanager
    async def post(
        self,
        address: FunctionAddress,
        function: str,
        headers: Mapping[str, str],
        body: Any,
        *,
        lasting: Callable[[], GatewayError | None] = _hopeful,
        timings: dict[str, float] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a POST to the function's root, for work that the caller may repeat; see `exchange`."""
        call = Call(
            function,
            fields=CIMultiDict(headers),
            body=body,
            tracestate=False,
            repeated=True,
            lasting=lasting,
            timings={} if timings is None else timings,
        )
        async with self.exchange(address, call) as response:
            yield response

    @contextlib.asynccontextmanager
    async def exchange(self, address: FunctionAddress, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a call; leaving the block before its end closes the connection.

        Raises:
            GatewayError: FUNCTION_UNREACHABLE, FUNCTION_TIMEOUT, FUNCTION_FAILED, and what `call.lasting` gives.
        """
        try:
            response = await self._head(address, call)
            async with response:
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._failure(error, call.function) from error

    def _failure(self, error: Exception, function: str) -> GatewayError:
        if isinstance(error, aiohttp.SocketTimeoutError):
            why = f"nothing came of it for {self._patience.silence_seconds:g} seconds, which is the limit for silence"
            return GatewayError(Kind.FUNCTION_TIMEOUT, function=function, why=why)
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
            why = f"it worked for {self._patience.total_seconds:g} seconds, which is the limit for one call"
            return GatewayError(Kind.FUNCTION_TIMEOUT, function=function, why=why)
        if isinstance(error, aiohttp.ClientPayloadError):
            return ReplyCutError(function)
        if isinstance(error, aiohttp.ClientConnectionError):
            return GatewayError(Kind.FUNCTION_UNREACHABLE, function=function)
        return GatewayError(Kind.FUNCTION_FAILED, function=function, why="its answer is not HTTP as it should be")

    async def _head(self, address: FunctionAddress, call: Call) -> aiohttp.ClientResponse:
        started = time.perf_counter()
        async with unless_in_vain(call.lasting, after_seconds=self._patience.trouble_seconds):
            response = await self._send(address, call)
        call.timings.update(phases(time.perf_counter() - started, response.headers.get("Server-Timing")))
        return response

    async def _send(self, address: FunctionAddress, call: Call) -> aiohttp.ClientResponse:
        window: RetryWindow | None = None
        attempts_left = _IDEMPOTENT_ATTEMPTS if call.method in _IDEMPOTENT and call.body is None else 1
        while True:
            try:
                return await self._send_once(address, call)
            except aiohttp.ClientSSLError:
                raise  # another attempt meets the same certificate
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                # There was no connection, so nothing was sent, whatever the method.
                window = window or RetryWindow(self._patience.retry_seconds)
                if call.repeated or call.begun() or not await window.wait():
                    raise
                log.warning("trying again: no connection to the function '%s'", call.function)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # Kept connections that the other side has closed die one by one, each with the request it is used for.
                window, attempts_left = window or RetryWindow(self._patience.retry_seconds), attempts_left - 1
                if call.repeated or not attempts_left or not await window.wait():
                    raise
                log.warning("trying again: the connection to the function '%s' ended without an answer", call.function)

    async def _send_once(self, address: FunctionAddress, call: Call) -> aiohttp.ClientResponse:
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
