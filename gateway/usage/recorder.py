"""Writes the usage records of calls to the database, in batches and behind the answers.

A call neither waits for its record nor fails with it. Records wait in memory, up to a maximum; if the database is away
for longer than that, further ones are dropped, and counted as dropped.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

from gateway.http.context import RequestContext
from gateway.http.metrics import Metrics
from gateway.settings.usage import UsageSettings
from gateway.telemetry.outcome import Outcome
from gateway.usage.record import record_of
from gateway.usage.spool import Segment, Spool
from operations.store import usage as store
from operations.store.usage import CallRecord

log = logging.getLogger(__name__)

BATCH = 500
_SEGMENT_RECORDS = 2_000
_FORGET_SECONDS = 60.0
# Portions of old rows in one go: the rest is deleted a minute later.
_FORGET_PORTIONS = 100
_CLOSE_SECONDS = 10.0

Run = Callable[..., Awaitable[Any]]


class UsageRecorder:
    """The records that wait for the database."""

    def __init__(self, settings: UsageSettings, metrics: Metrics, *, clock: Callable[[], float] = time.time) -> None:
        """Starts nothing: see `running`.

        Args:
            settings: sizes and intervals.
            metrics: counts stored and dropped records.
            clock: seconds since the epoch.

        Raises:
            ValueError: the folder of the spool cannot be used.
        """
        self._settings = settings
        self._clock = clock
        self._spool = _spool_of(settings)
        self._waiting: deque[CallRecord] = deque()
        # The files of the waiting records, in their order; the last one is written to.
        self._segments: deque[Segment] = deque()
        self._full = asyncio.Event()
        self._stored = metrics.usage_records.labels("stored")
        self._dropped = metrics.usage_records.labels("dropped")
        self.dropped = 0
        self._failing = False
        # The first of the waiting records that are in no file of this process.
        self._unspooled = 0
        self._spool_fails = False
        self._forget_at = 0.0
        metrics.usage_waiting.set_function(lambda: len(self._waiting))

    def record_end(self, context: RequestContext, status: int, outcome: Outcome, seconds: float) -> None:
        """A request has ended: its record is made as soon as no computation goes on for it."""
        now = self._clock()

        def settled() -> None:
            record = record_of(context, status, outcome, seconds=seconds, now=now)
            if record is not None:
                self.add(record)

        if context.usage is not None:
            context.usage.when_settled(settled)

    def add(self, record: CallRecord) -> None:
        """Takes a record, or drops it if the maximum waits already."""
        if len(self._waiting) >= self._settings.usage_buffer_records:
            if not self.dropped:
                log.error("usage records are dropped: the database has not taken any for too long")
            self.dropped += 1
            self._dropped.inc()
            return
        self._waiting.append(record)
        self._write(record)
        if len(self._waiting) >= BATCH:
            self._full.set()

    def problem(self) -> str | None:
        """What is wrong, in one sentence for the readiness check; None: nothing."""
        if not self._failing and not self.dropped:
            return None
        state = "the database takes no usage records" if self._failing else "the database takes usage records again"
        return f"{state}: {len(self._waiting)} wait, {self.dropped} were dropped since the start"

    @contextlib.asynccontextmanager
    async def running(self, run: Run) -> AsyncIterator[None]:
        """Stores records at intervals; at the end, those that still wait.

        Args:
            run: runs a transaction of the store (`Database.run`).
        """
        self._run = run
        task = asyncio.create_task(self._work(), name="usage")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._close()

    async def _work(self) -> None:
        while True:
            self._full.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), self._settings.usage_flush_seconds)
            await self.flush()
            await self._tidy()
            if self._failing:
                # A full buffer must not make a loop without pauses.
                await asyncio.sleep(self._settings.usage_flush_seconds)

    async def flush(self) -> bool:
        """Stores what waits; False if the database did not take it, and it waits on."""
        self._rotate()
        try:
            while self._waiting:
                batch = list(itertools.islice(self._waiting, BATCH))
                await self._store(batch)
                for _ in batch:
                    self._waiting.popleft()
                await self._release(len(batch))
            await self._take_abandoned()
        except Exception as error:  # noqa: BLE001 - of any kind: calls go on, and the records wait
            if not self._failing:
                log.error("usage records wait, because the database does not take them: %s", type(error).__name__)  # noqa: TRY400
            self._failing = True
            return False
        if self._failing:
            log.info("the database takes usage records again")
        self._failing = False
        return True

    async def _store(self, batch: Sequence[CallRecord]) -> None:
        self._stored.inc(await self._run(store.store, batch))

    async def _take_abandoned(self) -> None:
        """Stores the records of processes that have ended."""
        if self._spool is None:
            return
        for segment in self._spool.abandoned():
            try:
                records = segment.read()
                while batch := await asyncio.to_thread(_some, records):
                    await self._store(batch)
            except BaseException:
                segment.close()
                raise
            segment.discard()

    async def _tidy(self) -> None:
        if self._failing or time.monotonic() < self._forget_at:
            return
        self._forget_at = time.monotonic() + _FORGET_SECONDS
        ages = {
            "records_ms": self._settings.usage_record_retention_seconds * 1000,
            "hours_ms": self._settings.usage_retention_seconds * 1000,
        }
        try:
            for _ in range(_FORGET_PORTIONS):
                if not await self._run(store.forget, **ages):
                    break
        except Exception as error:  # noqa: BLE001 - old rows wait for the next minute
            log.warning("old usage records were not deleted: %r", error)

    def _write(self, record: CallRecord) -> None:
        if self._spool is None:
            return
        try:
            if not self._segments:
                self._segments.append(self._spool.new_segment())
            self._segments[-1].append(record)
            self._spool_fails = False
        except OSError as error:
            if not self._spool_fails:
                log.error("the usage spool takes no records, which are in memory only: %s", error)  # noqa: TRY400
            self._spool_fails = True
            # Which record is in which file is known by their order, so the files are left as those of a process that
            # has ended. What is stored from both places counts once.
            self._leave()
            self._unspooled = len(self._waiting)

    def _rotate(self) -> None:
        """Begins another file, so that the present one can be removed once its records are stored."""
        if self._spool is None or not self._segments or not self._segments[-1].count:
            return
        if len(self._segments) == 1 or self._segments[-1].count >= _SEGMENT_RECORDS:
            with contextlib.suppress(OSError):
                self._segments.append(self._spool.new_segment())

    async def _release(self, stored: int) -> None:
        elsewhere = min(stored, self._unspooled)
        self._unspooled -= elsewhere
        stored -= elsewhere
        while stored and self._segments:
            first = self._segments[0]
            taken = min(stored, first.count)
            first.count -= taken
            stored -= taken
            if first.count or len(self._segments) == 1:
                return
            self._segments.popleft()
            await asyncio.to_thread(first.discard)

    def _leave(self) -> None:
        while self._segments:
            self._segments.popleft().close()

    async def _close(self) -> None:
        """Stores what waits, with a limit in time. What is left stays in the spool, or is dropped."""
        stored = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                stored = await self.flush()
        if stored:
            for segment in self._segments:
                segment.path.unlink(missing_ok=True)
        elif self._spool is None and self._waiting:
            log.error("%d usage records are lost: the database does not take them", len(self._waiting))
            self._dropped.inc(len(self._waiting))
        self._leave()


def _some(records: Iterator[CallRecord]) -> list[CallRecord]:
    return list(itertools.islice(records, BATCH))


def _spool_of(settings: UsageSettings) -> Spool | None:
    folder = settings.usage_spool_directory
    try:
        return Spool(folder) if folder is not None else None
    except OSError as error:
        raise ValueError(f"OSFAAS_USAGE_SPOOL_DIRECTORY={folder}: {error.strerror}") from error
