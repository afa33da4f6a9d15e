"""The worker: claims operations in fair turns, does them side by side, and keeps its leases. Any number may run.

Whatever a worker does may be interrupted at any point. What it has claimed is done by another when the lease ends.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.trusts import TrustRefusedError, Trusts
from gateway.settings import Settings
from operations.callbacks import Callbacks
from operations.decisions import failure_of, outcome_unknown
from operations.execution import Execution
from operations.lease_clock import LeaseClock
from operations.metrics import WorkerMetrics
from operations.store import delegations, working
from operations.store.database import Database
from operations.store.errors import DatabaseUnavailableError, SchemaError, TablesMissingError
from operations.store.model import Claim, State
from operations.store.upgrade import check
from operations.store.working import Turns

log = logging.getLogger(__name__)

_RENEWALS_PER_LEASE = 5
_LONGEST_RENEWAL_SECONDS = 2.0
_UPKEEP_SECONDS = 5.0
_PAUSE_SECONDS = 1.0


@dataclass(slots=True)
class _Held:
    """An operation that this worker does."""

    claim: Claim
    task: "asyncio.Task[None]"
    cancelled: bool = False
    missing: bool = False
    progress: tuple[int, int] = (0, 0)
    stored_progress: tuple[int, int] = (0, 0)


class Worker:
    """One process's share of the work."""

    def __init__(
        self,
        database: Database,
        execution: Execution,
        callbacks: Callbacks,
        trusts: Trusts,
        settings: Settings,
        *,
        metrics: WorkerMetrics,
        give_back: Callable[[], None] = lambda: None,
    ) -> None:
        """Does nothing yet.

        Args:
            database: with the operations.
            execution: does them.
            callbacks: delivers callbacks.
            trusts: deletes those that nothing uses any more.
            settings: of the worker.
            metrics: of the worker.
            give_back: is called when the worker stops: what takes too long to be finished is queued again.
        """
        self.name = f"{socket.gethostname()[:40]}-{os.getpid()}"
        self._database = database
        self._execution = execution
        self._callbacks = callbacks
        self._trusts = trusts
        self._settings = settings
        self._metrics = metrics
        self._give_back = give_back
        self._refusal: SchemaError | None = None
        self._held: dict[str, _Held] = {}
        self._free = asyncio.Event()
        self._stopping = asyncio.Event()
        self._lease_ms = int(settings.worker_lease_seconds * 1000)
        self._lease_clock = LeaseClock(settings.worker_lease_seconds)

    def stop(self) -> None:
        """Claims nothing more; what is running is finished, or given back."""
        self._stopping.set()
        self._give_back()

    async def run(self) -> None:
        """Works until `stop`, and until what was running then has ended.

        Raises:
            SchemaError: it has stopped by itself, because a later release has removed what it uses.
        """
        renewing = asyncio.create_task(self._every(self._renewal_seconds, self._renew))
        others = [
            asyncio.create_task(self._every(self._settings.worker_poll_seconds, self._claim)),
            asyncio.create_task(self._every(self._settings.worker_poll_seconds, self._call_back)),
            asyncio.create_task(self._every(_UPKEEP_SECONDS, self._keep_up)),
        ]
        await self._stopping.wait()
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # The leases are renewed as long as anything runs.
        await asyncio.gather(*(held.task for held in list(self._held.values())), return_exceptions=True)
        renewing.cancel()
        if self._refusal is not None:
            raise self._refusal

    @property
    def _renewal_seconds(self) -> float:
        return min(_LONGEST_RENEWAL_SECONDS, self._settings.worker_lease_seconds / _RENEWALS_PER_LEASE)

    async def _every(self, seconds: float, step: Callable[[], Awaitable[bool]]) -> None:
        """Repeats a step: at once if it says that there is more, else after the time."""
        while True:
            try:
                more = await step()
            except DatabaseUnavailableError as error:
                self._metrics.store_failures.inc()
                if isinstance(error, TablesMissingError):
                    await self._stop_without_tables()
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception:
                log.exception("unexpected error")
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                if not more:
                    await asyncio.sleep(seconds)

    async def _stop_without_tables(self) -> None:
        """Stops, if it is not for a moment only that tables are missing."""
        try:
            await self._database.run(check)
        except DatabaseUnavailableError:
            self._metrics.store_failures.inc()
        except SchemaError as error:
            self._refusal = error
            self.stop()

    async def _claim(self) -> bool:
        free = self._settings.worker_concurrency - len(self._held)
        if free <= 0:
            self._free.clear()
            await self._free.wait()
            return True
        turns = Turns(limit=free, per_project=self._settings.worker_project_concurrency)
        claimed = asyncio.ensure_future(self._database.run(working.claim, self.name, turns, lease_ms=self._lease_ms))
        # A claim that is under way when the worker stops is waited for: what it has claimed is done.
        try:
            claims = await asyncio.shield(claimed)
        except asyncio.CancelledError:
            for claim in await claimed:
                self._begin(claim)
            raise
        for claim in claims:
            self._begin(claim)
        return bool(claims)

    def _begin(self, claim: Claim) -> None:
        task = asyncio.create_task(self._do(claim))
        self._held[claim.id] = _Held(claim, task)
        self._metrics.running.set(len(self._held))

    async def _do(self, claim: Claim) -> None:
        def progress(size: int, lines: int) -> None:
            self._held[claim.id].progress = size, lines

        outcome = "interrupted"
        try:
            decision = await self._execution.run(claim, progress)
            outcome = "lost" if decision is None else getattr(getattr(decision, "state", None), "value", "postponed")
        except asyncio.CancelledError:
            held = self._held[claim.id]
            if not held.cancelled:
                raise
            outcome = "cancelled"
            await self._database.run(working.finish, claim.id, claim.fence, State.CANCELLED)
            await self._execution.discard_request(claim, State.CANCELLED)
        except DatabaseUnavailableError:
            self._metrics.store_failures.inc()
            log.warning("operation %s is left to its lease: the database does not answer", claim.id)
        except Exception:
            log.exception("operation %s is left to its lease", claim.id)
        finally:
            del self._held[claim.id]
            self._free.set()
            self._metrics.running.set(len(self._held))
            self._metrics.attempts.labels(outcome).inc()
            log.info(
                "operation=%s project=%s attempt=%d outcome=%s", claim.id, claim.project_id, claim.attempts, outcome
            )

    async def _renew(self) -> bool:
        held = dict(self._held)
        if not held:
            return False
        progress = {key: each.progress for key, each in held.items() if each.progress != each.stored_progress}
        renewal = await self._database.run(
            working.renew,
            {key: each.claim.fence for key, each in held.items()},
            lease_ms=self._lease_ms,
            progress=progress,
        )
        for key, stored in progress.items():
            held[key].stored_progress = stored
        for key in (renewal.lost | renewal.cancelled) & self._held.keys():
            each = self._held[key]
            if key in renewal.lost and each is held[key]:
                # It has been ended by its own task a moment ago; or, the second time, it belongs to another worker now.
                if each.missing:
                    self._metrics.lease_losses.inc()
                    each.task.cancel()
                each.missing = True
            elif key in renewal.cancelled and not each.cancelled:
                each.cancelled = True
                each.task.cancel()
        return False

    async def _call_back(self) -> bool:
        due = await self._callbacks.claim()
        results = await asyncio.gather(*map(self._callbacks.deliver, due), return_exceptions=True)
        for result in results:
            self._metrics.deliveries.labels("delivered" if result is True else "failed").inc()
        return bool(due)

    async def _keep_up(self) -> bool:
        """Reaps, forgets, ends trusts, counts."""
        reaped = await self._database.run(
            working.reap,
            max_attempts=self._settings.worker_attempts,
            lost=failure_of(ErrorCode.OPERATION_WORKER_LOST),
            unknown=outcome_unknown("of the request"),
            can_be_trusted=self._lease_clock.can_be_trusted,
        )
        self._metrics.count_reaped(reaped)
        while await self._database.run(working.forget):
            pass
        await self._end_trusts()
        self._metrics.show(await self._database.run(working.facts))
        return False

    async def _end_trusts(self) -> None:
        ending = await self._database.run(
            delegations.end_unused,
            idle_ms=int(self._settings.worker_trust_idle_seconds * 1000),
            lease_ms=60_000,
        )
        for delegation in ending:
            # If it fails, it is tried again when the lease ends.
            if await self._end_trust(delegation.trust_id):
                await self._database.run(delegations.remove, delegation.id)

    async def _end_trust(self, trust_id: str) -> bool:
        """Deletes a trust with a token of it; whether it is gone."""
        tokens = self._execution.tokens
        try:
            access = await tokens.access(trust_id)
        except TrustRefusedError:
            return True
        except GatewayError:
            return False
        tokens.forget(trust_id)
        return await self._trusts.delete(access.token, trust_id)
