"""Sweeps as a kind of operation: one attempt, and what becomes of the operation after it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.trusts import TrustRefusedError
from gateway.objects.containers import SwiftContainers
from gateway.settings import Settings
from gateway.sweeps.specification import sweep_of
from operations.authority import TrustCallers
from operations.decisions import NO_ROOM, Decision, Finish, Postpone, delay_seconds, failure_of
from operations.gateway_client import Progress
from operations.store import delegations, sweeps
from operations.store.database import Database
from operations.store.model import Claim, Failure, Result, State
from operations.sweeps.authority import SweepAuthority
from operations.sweeps.digests import DigestClient
from operations.sweeps.errors import SweepError, TokenRejectedError, stopped_by
from operations.sweeps.loading import DumpLoader
from operations.sweeps.position import Position, position_of, stored_position
from operations.sweeps.work import SweepWork, TurnOverError

log = logging.getLogger(__name__)

_FULL_SECONDS = 5.0
_JSON = ((b"content-type", b"application/json"),)


class ClaimLostError(Exception):
    """Another worker has the sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepParts:
    """What sweeps use."""

    database: Database
    callers: TrustCallers
    containers: SwiftContainers
    digests: DigestClient
    settings: Settings


@contextlib.asynccontextmanager
async def open_sweeps(
    settings: Settings, database: Database, callers: TrustCallers, containers: SwiftContainers
) -> AsyncIterator["Sweeps"]:
    """The kind, for as long as its client is open."""
    async with DigestClient(settings.worker_gateway_url, cafile=settings.worker_gateway_cafile) as digests:
        yield Sweeps(
            SweepParts(database=database, callers=callers, containers=containers, digests=digests, settings=settings)
        )


class Sweeps:
    """Does sweeps; at most half of the worker's operations are some."""

    def __init__(self, parts: SweepParts) -> None:
        self._parts = parts
        self._free = max(1, parts.settings.worker_concurrency // 2)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Gives running sweeps back, for another worker."""
        self._stopping.set()

    async def attempt(self, claim: Claim, progress: Progress) -> Decision | None:
        """Goes on with a sweep; None: the claim was lost."""
        if not self._free:
            return Postpone(delay_seconds=_FULL_SECONDS, counted=False)
        self._free -= 1
        try:
            return await self._attempt(claim, progress)
        except ClaimLostError:
            return None
        except TurnOverError:
            return Postpone(delay_seconds=0, counted=False)
        except (TrustRefusedError, TokenRejectedError, GatewayError, SweepError) as error:
            return await self._after(claim, error)
        finally:
            self._free += 1

    async def _attempt(self, claim: Claim, progress: Progress) -> Decision:
        if claim.trust_id is None:
            raise TrustRefusedError
        parts, settings = self._parts, self._parts.settings
        wanted = sweep_of(claim.request.body)
        position = position_of(await parts.database.run(sweeps.position, claim.id))
        progress(position.bytes, position.objects)
        authority = SweepAuthority(
            claim.trust_id,
            callers=parts.callers,
            containers=parts.containers,
            digests=parts.digests,
            container=wanted.container,
        )
        await authority.check()
        work = SweepWork(
            operation_id=claim.id,
            wanted=wanted,
            position=position,
            authority=authority,
            containers=parts.containers,
            digests=parts.digests,
            dumps=DumpLoader(
                containers=parts.containers, folder=settings.sweep_scratch_dir, max_bytes=settings.sweep_dump_max_bytes
            ),
            save=lambda reached: self._save(claim, reached),
            holds=lambda: self._check_claim(claim),
            progress=progress,
            until=time.monotonic() + settings.sweep_turn_seconds,
            small_bytes=settings.bulk_read_max_bytes,
            last_attempt=claim.attempts >= settings.worker_attempts,
        )
        summary = await self._unless_stopped(work.run(), authority.watch(settings.sweep_recheck_seconds))
        if summary is None:
            return Postpone(delay_seconds=0, counted=False)
        return Finish(state=State.SUCCEEDED, result=Result(status=200, fields=_JSON, body=summary))

    async def _unless_stopped(self, work: Coroutine[Any, Any, bytes], watch: Coroutine[Any, Any, None]) -> bytes | None:
        """The result of `work`; None if the worker stops. What `watch` raises ends the work at once."""
        working, watching = asyncio.ensure_future(work), asyncio.ensure_future(watch)
        stopping = asyncio.ensure_future(self._stopping.wait())
        tasks: list[asyncio.Future[Any]] = [working, watching, stopping]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            return working.result() if working.done() else None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _save(self, claim: Claim, reached: Position) -> None:
        age = self._parts.settings.operation_max_age_seconds * 1000
        stored = stored_position(reached)
        if not await self._parts.database.run(sweeps.advance, claim.id, claim.fence, stored, max_age_ms=age):
            raise ClaimLostError

    async def _check_claim(self, claim: Claim) -> None:
        if not await self._parts.database.run(sweeps.holds, claim.id, claim.fence):
            raise ClaimLostError

    async def _after(self, claim: Claim, error: Exception) -> Decision:
        """The decision after an error."""
        if isinstance(error, TrustRefusedError):
            if claim.trust_id is not None:
                await self._parts.database.run(delegations.refuse, claim.trust_id)
            return Finish(state=State.FAILED, failure=failure_of(ErrorCode.OPERATION_AUTHORITY_LOST))
        found = stopped_by(error)
        log.info("sweep %s: %s", claim.id, found.message)
        if found.code in NO_ROOM:
            # Nothing is wrong with it: the project has no room.
            return Postpone(delay_seconds=max(1.0, found.retry_after_seconds), counted=False, whole_project=True)
        if found.passing and claim.attempts < self._parts.settings.worker_attempts:
            return Postpone(delay_seconds=max(delay_seconds(claim.attempts), found.retry_after_seconds))
        return Finish(state=State.FAILED, failure=Failure(code=found.code, message=found.message))
