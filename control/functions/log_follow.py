"""`GET /v1/functions/{name}/logs?follow=true`: the output of a function's containers as it comes, in lines of JSON.

    {"pod": "hello-…", "revision": "hello-3f9c2a1b", "text": "listening"}
    {"ended": "time"}                                 the last line; an empty line now and then keeps proxies awake

A stream is bounded in time and bytes, and their number for each project and process. It ends when the caller leaves;
when the caller may not read any more, it breaks off.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.calls.call import Call
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.http.context import context_of
from gateway.http.disconnect import CallerGoneError, unless_gone
from gateway.http.respond import failure
from gateway.invoke.recheck import AccessLostError, Recheck
from gateway.telemetry.outcome import GONE
from policies.names import NamespaceName, ProjectId
from tenancy.function_repository import LogContainer
from tenancy.model.errors import NoSuchFunctionError, TenancyError

MEDIA_TYPE = "application/x-ndjson"
PER_PROJECT, PER_PROCESS = 2, 32
SECONDS, BYTES = 900.0, 16_777_216
# A line of output that is longer comes in pieces.
MAX_LINE = 8_192
# New pods are looked for, and an empty line is sent, at these intervals.
_POLL_SECONDS, _SILENCE_SECONDS = 3.0, 15.0
_QUEUED = 64
# Of the output of a container that begins while the stream runs: all of it, but for one that writes without measure.
_NEW_LINES = 1_000


class LogSource(Protocol):
    """Where the output of containers comes from."""

    def containers(self, namespace: NamespaceName, name: str) -> tuple[LogContainer, ...]:
        """The containers of a function that run, and the one that ended last in each pod. Blocks.

        Raises:
            NoSuchFunctionError, ClusterError, RecordError: as of the repository.
        """
        ...

    def output(self, namespace: NamespaceName, container: LogContainer, *, lines: int) -> AsyncIterator[bytes]:
        """The last lines of a container's output, then what follows, until it ends.

        Raises:
            ClusterError: the output cannot be read.
        """
        ...


class FollowSlots:
    """How many streams there are; for one event loop."""

    def __init__(self, *, per_project: int = PER_PROJECT, per_process: int = PER_PROCESS) -> None:
        self._per_project, self._per_process = per_project, per_process
        self._held: Counter[ProjectId] = Counter()

    @contextmanager
    def slot(self, project_id: ProjectId) -> Iterator[None]:
        """Holds one for the length of a block.

        Raises:
            GatewayError: LOGS_EXCEEDED.
        """
        if self._held[project_id] >= self._per_project:
            raise GatewayError(ErrorCode.LOGS_EXCEEDED, whose=f"project {project_id}", limit=self._per_project)
        if self._held.total() >= self._per_process:
            raise GatewayError(ErrorCode.LOGS_EXCEEDED, whose="all projects together", limit=self._per_process)
        self._held[project_id] += 1
        try:
            yield
        finally:
            self._held[project_id] -= 1
            if not self._held[project_id]:
                del self._held[project_id]


@dataclass(frozen=True, kw_only=True)
class FollowLimits:
    """Bounds of one stream; the tests have smaller ones."""

    seconds: float = SECONDS
    max_bytes: int = BYTES
    poll_seconds: float = _POLL_SECONDS
    silence_seconds: float = _SILENCE_SECONDS


@dataclass(kw_only=True)
class LogFollow:
    """Follows one function."""

    source: LogSource
    namespace: NamespaceName
    name: str
    lines: int
    limits: FollowLimits = field(default_factory=FollowLimits)
    _queue: "asyncio.Queue[bytes | None]" = field(default_factory=lambda: asyncio.Queue(_QUEUED), init=False)
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set, init=False)

    async def run(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Writes lines until a bound is reached or the function is gone; the last line says which."""
        reason = "deleted"
        try:
            async with asyncio.timeout(self.limits.seconds), asyncio.TaskGroup() as group:
                self._start(group, self._look(group))
                reason = await self._write_all(write) or reason
                for task in self._tasks:
                    task.cancel()
        except TimeoutError:
            reason = "time"
        await write(_line({"ended": reason}))

    async def _write_all(self, write: Callable[[bytes], Awaitable[None]]) -> str | None:
        left = self.limits.max_bytes
        while True:
            try:
                async with asyncio.timeout(self.limits.silence_seconds):
                    line = await self._queue.get()
            except TimeoutError:
                line = b"\n"
            if line is None:
                return None
            left -= len(line)
            if left < 0:
                return "bytes"
            await write(line)

    def _start(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        task = group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, group: asyncio.TaskGroup) -> None:
        """Starts a reader for each container that was not seen yet."""
        seen: set[str] = set()
        lines = self.lines
        while True:
            try:
                found = await asyncio.to_thread(self.source.containers, self.namespace, self.name)
            except NoSuchFunctionError:
                await self._queue.put(None)
                return
            except TenancyError:
                # Kubernetes may answer the next time; the bound in time ends this.
                found = None
            for container in found or ():
                if container.key not in seen:
                    self._start(group, self._read(container, lines))
            if found is not None:
                # What is gone does not come back under its id.
                seen = {container.key for container in found}
                lines = _NEW_LINES
            await asyncio.sleep(self.limits.poll_seconds)

    async def _read(self, container: LogContainer, lines: int) -> None:
        rest = b""
        try:
            async for piece in self.source.output(self.namespace, container, lines=lines):
                rest += piece
                while (end := rest.find(b"\n") + 1) or len(rest) >= MAX_LINE:
                    cut = min(end or MAX_LINE, MAX_LINE)
                    await self._put(container, rest[:cut])
                    rest = rest[cut:]
        except TenancyError:
            # It may be gone already; if not, the next look finds it again under another id.
            pass
        if rest:
            await self._put(container, rest)

    async def _put(self, container: LogContainer, text: bytes) -> None:
        fields = {"pod": container.pod, "revision": container.revision, "text": text.decode(errors="replace")}
        await self._queue.put(_line(fields))


class FollowResponse(Response):
    """The response of a stream. Its slot is taken when it begins, and given back however it ends."""

    def __init__(
        self,
        follow: LogFollow,
        call: Call,
        slots: FollowSlots,
        *,
        recheck: Callable[[], Awaitable[GatewayError | None]],
        recheck_seconds: float,
    ) -> None:
        """`recheck`: the error that would reject the request now, or None; asked at this interval."""
        super().__init__(headers=UNCACHEABLE, media_type=MEDIA_TYPE)
        del self.headers["content-length"]
        self._follow = follow
        self._call = call
        self._slots = slots
        self._recheck = recheck
        self._recheck_seconds = recheck_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream. What breaks off has no end, and the server cuts the connection."""
        context = context_of(scope)
        try:
            with self._slots.slot(self._call.caller.project_id):
                await unless_gone(receive, self._stream(send))
        except CallerGoneError:
            context.log.error = GONE
        except AccessLostError as error:
            if isinstance(error.__cause__, GatewayError):
                context.log.fail(error.__cause__)
        except GatewayError as error:
            await failure(context, error)(scope, receive, send)

    async def _stream(self, send: Send) -> None:
        async def write(piece: bytes) -> None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with Recheck(self._recheck, self._recheck_seconds):
            await self._follow.run(write)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _line(fields: dict[str, str]) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"
