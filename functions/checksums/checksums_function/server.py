"""The HTTP server: two routes, three forms of a call, heartbeat and graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web
from aiohttp.http import HttpVersion11

from . import batch
from .body import digest_body
from .errors import ChecksumsError, Code, Stopped
from .logs import log_computation, logger
from .orders import parse_body_order, parse_source_order
from .pipeline import Stop
from .source import digest_source
from .threads import Slots, Threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from .algorithms import Algorithm
    from .settings import Settings

T = TypeVar("T")

_MOST_ORDER_BYTES = 64 << 10
# aiohttp pauses the socket at twice this size; reads are fewer and larger than with its default of 64 KiB.
_READ_BUFFER_BYTES = 256 << 10


# Start of this process; with the time of a request it shows callers whether they waited for a cold start.
_STARTED = time.monotonic()
_ARRIVED = web.RequestKey("arrived", float)


@dataclass(frozen=True, slots=True)
class Digests:
    """A finished computation."""

    etag: str | None
    size: int
    digests: dict[str, str]

    def document(self) -> dict[str, object]:
        return {"etag": self.etag, "size": self.size, "digests": self.digests}


class Function:
    """The handlers and their shared state. Must be created inside a running event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._slots = Slots(concurrency=settings.concurrency, queue=settings.queue)
        # One thread for each slot is enough: a computation uses one at a time.
        self._executor = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="computation")
        self._running: set[asyncio.Task[object]] = set()

    def application(self) -> web.Application:
        app = web.Application()
        app.on_response_prepare.append(_say_timing)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_post("/", self.checksums)
        return app

    async def healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def checksums(self, request: web.Request) -> web.StreamResponse:
        """Answers one call. aiohttp cancels it when the caller disconnects."""
        request[_ARRIVED] = time.monotonic()
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            return await self._answer(request)
        except ChecksumsError as error:
            return _answer_error(error, unread=not request.content.is_eof())
        finally:
            self._running.discard(task)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/json":
            return await self._from_source(request)
        if request.content_type == "application/octet-stream":
            return await self._from_body(request)
        if request.content_type == batch.MEDIA_TYPE:
            return await self._from_batch(request)
        raise ChecksumsError(
            Code.BAD_REQUEST, f"Content-Type must be application/json, application/octet-stream or {batch.MEDIA_TYPE}."
        )

    async def drain(self, seconds: float) -> None:
        """Waits at most `seconds` for running calls, then cancels them.

        aiohttp's own shutdown would stop reading the bodies of running computations.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        # In a loop: open connections may send further calls in the meantime.
        while self._running and (left := deadline - loop.time()) > 0:
            await asyncio.wait(self._running, timeout=left)
        for task in set(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=1)
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _from_body(self, request: web.Request) -> web.StreamResponse:
        order = parse_body_order(request.headers)
        if request.content_length is not None and request.content_length != order.size:
            raise ChecksumsError(
                Code.SHORT_READ, f"The body has {request.content_length} instead of {order.size} bytes."
            )

        async def compute(stop: Stop, threads: Threads) -> Digests:
            stall_seconds = self._settings.stall_seconds
            try:
                digests = await digest_body(
                    order, request.content, stall_seconds=stall_seconds, threads=threads, stop=stop
                )
            except web.RequestPayloadError:
                raise ChecksumsError(Code.SHORT_READ, "The body is incomplete or its framing is invalid.") from None
            return Digests(order.etag, order.size, digests)

        computation = self._compute(request, _described("body", order.algorithms, order.size), compute)
        return web.json_response((await computation).document())

    async def _from_batch(self, request: web.Request) -> web.StreamResponse:
        """Many objects in the body, which is read only in a slot: callers that wait take no memory for it."""
        if (request.content_length or 0) > batch.MOST_BODY_BYTES:
            raise ChecksumsError(Code.BAD_REQUEST, f"The body has more than {batch.MOST_BODY_BYTES} bytes.")
        fields: dict[str, object] = {"mode": "batch"}

        async def compute(stop: Stop, threads: Threads) -> dict[str, object]:
            try:
                async with asyncio.timeout(self._settings.stall_seconds):
                    body = await _read_order(request, most=batch.MOST_BODY_BYTES)
            except TimeoutError:
                raise ChecksumsError(Code.SHORT_READ, "The body stalled.") from None
            order = batch.parse_batch_order(body)
            fields.update(_described("batch", order.algorithms, order.size), objects=len(order.objects))
            return await threads.run(lambda: batch.digest_batch(order, stop))

        return web.json_response(await self._compute(request, fields, compute))

    async def _from_source(self, request: web.Request) -> web.StreamResponse:
        order = parse_source_order(await _read_order(request))

        async def compute(stop: Stop, threads: Threads) -> Digests:
            etag, digests = await threads.run(lambda: digest_source(order, self._settings, stop))
            return Digests(etag, order.size, digests)

        fields = _described("source", order.algorithms, order.size)
        computation = asyncio.create_task(self._compute(request, fields, compute))
        try:
            return await self._answer_with_heartbeat(request, computation)
        finally:
            if not computation.done():
                computation.cancel()
                await asyncio.wait([computation])

    async def _compute(
        self,
        request: web.Request,
        fields: Mapping[str, object],
        compute: Callable[[Stop, Threads], Awaitable[T]],
    ) -> T:
        """Runs the computation in a slot, and always logs its line, with these fields."""
        started, outcome, stop = time.monotonic(), "cancelled", Stop()
        try:
            async with self._slots.hold():
                result = await compute(stop, Threads(self._executor, stop))
        except ChecksumsError as error:
            outcome = error.code.value
            raise
        except Stopped:
            raise asyncio.CancelledError from None
        except Exception as error:
            outcome = Code.INTERNAL.value
            logger.exception("a computation failed unexpectedly")
            raise ChecksumsError(Code.INTERNAL, "The function failed; see its log.") from error
        else:
            outcome = "ok"
            return result
        finally:
            stop.stop()
            log_computation(
                **fields,
                seconds=round(time.monotonic() - started, 3),
                outcome=outcome,
                request_id=request.headers.get("X-Openstack-Request-Id", "")[:128] or None,
            )

    async def _answer_with_heartbeat(
        self, request: web.Request, computation: asyncio.Task[Digests]
    ) -> web.StreamResponse:
        """Waits for the computation. A long one is answered with an early 200, a space per heartbeat, and the document.

        Without the spaces, proxies would take the silence for a failure.
        """
        beat = self._settings.heartbeat_seconds
        if request.version < HttpVersion11:
            beat = 86400.0  # HTTP/1.0 has no chunked encoding for the spaces
        await asyncio.wait([computation], timeout=beat)
        if computation.done():
            return web.json_response(computation.result().document())
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        while not computation.done():
            await response.write(b" ")
            await asyncio.wait([computation], timeout=beat)
        try:
            document = computation.result().document()
        except ChecksumsError as error:
            document = error.document()
        await response.write(json.dumps(document).encode())
        await response.write_eof()
        return response


async def _say_timing(request: web.Request, response: web.StreamResponse) -> None:
    """Adds the age of the process when the request arrived, and the duration of the work, in milliseconds."""
    arrived = request.get(_ARRIVED)
    if arrived is not None:
        age, work = arrived - _STARTED, time.monotonic() - arrived
        response.headers["Server-Timing"] = f"process;dur={1000 * age:.1f}, function;dur={1000 * work:.1f}"


def _described(mode: str, algorithms: Iterable[Algorithm], size: int) -> dict[str, object]:
    """Fields of a log line."""
    return {"algorithms": [algorithm.name for algorithm in algorithms], "mode": mode, "size": size}


async def _read_order(request: web.Request, *, most: int = _MOST_ORDER_BYTES) -> bytes:
    body = bytearray()
    try:
        while chunk := await request.content.readany():
            body += chunk
            if len(body) > most:
                raise ChecksumsError(Code.BAD_REQUEST, f"The order has more than {most} bytes.")
    except web.RequestPayloadError:
        raise ChecksumsError(Code.BAD_REQUEST, "The body is incomplete or its framing is invalid.") from None
    return bytes(body)


def _answer_error(error: ChecksumsError, *, unread: bool) -> web.Response:
    response = web.json_response(error.document(), status=error.status)
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    if unread:
        response.force_close()  # the rest of the body must not be parsed as the next request
    return response


async def serve(settings: Settings, stop: asyncio.Event, on_listening: Callable[[int], None]) -> None:
    """Serves until `stop` is set, then finishes running calls. `on_listening` is called with the port.

    Raises:
        OSError: the port is not available.
    """
    function = Function(settings)
    runner = web.AppRunner(
        function.application(),
        access_log=None,  # each computation has its own line; probes are not logged
        handler_cancellation=True,
        auto_decompress=False,  # an object with Content-Encoding is digested as it is stored
        read_bufsize=_READ_BUFFER_BYTES,
        lingering_time=2.0,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    site = web.TCPSite(runner, settings.host, settings.port, backlog=1024)
    try:
        await site.start()
        on_listening(runner.addresses[0][1])
        await stop.wait()
        with contextlib.suppress(RuntimeError):
            await site.stop()
        await function.drain(settings.grace_seconds)
    finally:
        await runner.cleanup()
