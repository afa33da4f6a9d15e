"""Accepts asynchronous calls, and looks after them: each is stored before its caller gets a 202."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from cachetools import LRUCache

from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.limits.limiter import ProjectLimiter
from gateway.operations.callback_url import CallbackAllowlist
from gateway.operations.delegation import Delegations
from gateway.operations.preference import AsyncPreference
from gateway.operations.request import fingerprint_of
from gateway.operations.waiting import WaitingCallers
from gateway.settings import Settings
from operations.store import accepting
from operations.store.accepting import Usage
from operations.store.database import Database
from operations.store.errors import (
    DatabaseUnavailableError,
    DelegationEndedError,
    KeyInUseError,
    KeyReusedError,
)
from operations.store.model import NewOperation, Operation, Request, new_id

# A kind of operation that may take long.
SWEEP = "sweep"
# How long the use of a project is remembered; what this process accepts meanwhile is added.
_USAGE_SECONDS = 2.0
_PROJECTS = 10_000
_ATTEMPTS_AT_DELEGATION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncCall:
    """A call that is to be done later.

    Attributes:
        kind: `invoke`, `checksums` or `sweep`.
        subject: what it is about, for people.
        repeatable: whether it may be repeated after its request was sent.
        authority_seconds: how long it may take; None: as long as an operation may wait and be retried.
    """

    kind: str
    subject: str
    repeatable: bool
    request: Request
    preference: AsyncPreference
    authority_seconds: int | None = None


class Operations:
    """The operations of all projects, for the gateway."""

    def __init__(
        self, database: Database, delegations: Delegations, limiter: ProjectLimiter, settings: Settings
    ) -> None:
        self.database = database
        self._delegations = delegations
        self._limiter = limiter
        self._settings = settings
        self._callbacks = CallbackAllowlist(settings.callback_allowlist)
        self._waiting = WaitingCallers(lambda ids: database.run(accepting.finished_among, ids))
        self._usage: LRUCache[str, tuple[float, Usage]] = LRUCache(_PROJECTS)

    def check(self, preference: AsyncPreference) -> None:
        """Checks what can be checked before the body is read.

        Raises:
            GatewayError: CALLBACK_REJECTED, REQUEST_MALFORMED.
        """
        settings = self._settings
        if preference.callback_url is not None:
            if settings.callback_keys is None:
                raise GatewayError(ErrorCode.CALLBACK_REJECTED, why="the operator has set no OSFAAS_CALLBACK_KEYS")
            self._callbacks.check(preference.callback_url)
        longest = settings.operation_retention_max_seconds
        if preference.retention_seconds is not None and preference.retention_seconds > longest:
            raise GatewayError(ErrorCode.REQUEST_MALFORMED, why=f"Result-Retention may be {longest} at most")

    async def accept(self, call: Call, wanted: AsyncCall) -> Operation:
        """Stores a call; the operation that it has become, or became before by the same idempotency key.

        Raises:
            GatewayError: OPERATION_*, IDEMPOTENCY_*, KEYSTONE_UNAVAILABLE, CONCURRENCY_EXCEEDED.
        """
        # The slot bounds the bodies in memory.
        async with self._limiter.slot(call.subject):
            with store_errors():
                await self._check_usage(call, len(wanted.request.body))
                try:
                    return await self._accept(call, wanted)
                except KeyReusedError as error:
                    raise GatewayError(ErrorCode.IDEMPOTENCY_CONFLICT) from error
                except KeyInUseError as error:
                    raise GatewayError(
                        ErrorCode.IDEMPOTENCY_RUNNING,
                        operation=error.operation_id,
                        headers={"Location": f"/v1/operations/{error.operation_id}"},
                    ) from error

    async def _accept(self, call: Call, wanted: AsyncCall) -> Operation:
        settings, caller, preference = self._settings, call.caller, wanted.preference
        retention = preference.retention_seconds
        for attempt in range(_ATTEMPTS_AT_DELEGATION):
            new = NewOperation(
                id=new_id(),
                project_id=caller.project_id,
                user_id=caller.user_id,
                kind=wanted.kind,
                subject=wanted.subject[:255],
                request_id=call.context.request_id,
                request=wanted.request,
                fingerprint=fingerprint_of(wanted.request),
                repeatable=wanted.repeatable,
                delegation_id=await self._delegations.delegation_of(caller, wanted.authority_seconds),
                max_age_ms=settings.operation_max_age_seconds * 1000,
                retention_ms=1000 * (settings.operation_retention_seconds if retention is None else retention),
                idempotency_key=preference.idempotency_key,
                callback_url=preference.callback_url,
            )
            try:
                return await self.database.run(accepting.accept, new)
            except DelegationEndedError:
                # A worker has ended it since it was looked up.
                if attempt + 1 == _ATTEMPTS_AT_DELEGATION:
                    raise
        raise AssertionError  # the loop returns or raises

    async def _check_usage(self, call: Call, size: int) -> None:
        project_id, settings = call.caller.project_id, self._settings
        known = self._usage.get(project_id)
        if known is None or known[0] <= time.monotonic():
            found = await self.database.run(accepting.usage, project_id)
            known = time.monotonic() + _USAGE_SECONDS, found
        until, used = known
        used = Usage(unfinished=used.unfinished + 1, bytes_stored=used.bytes_stored + size)
        for value, limit, what in (
            (used.unfinished, settings.operation_project_queue, f"{used.unfinished - 1} unfinished operations"),
            (used.bytes_stored, settings.operation_project_bytes, f"{used.bytes_stored - size} bytes"),
        ):
            if value > limit:
                raise GatewayError(ErrorCode.OPERATION_QUEUE_FULL, project_id=project_id, what=what, limit=limit)
        self._usage[project_id] = until, used

    async def retry(self, call: Call, operation_id: str) -> Operation:
        """Queues a dead letter again, with the authority of this caller.

        Raises:
            GatewayError: OPERATION_NOT_FOUND, OPERATION_CONFLICT, OPERATION_*, KEYSTONE_UNAVAILABLE.
        """
        project_id = call.caller.project_id
        found = await self.find(call, operation_id)
        if not found.retriable:
            raise GatewayError(ErrorCode.OPERATION_CONFLICT, verb="retried", state=found.state.value)
        with store_errors():
            await self._check_usage(call, 0)
            queued = await self.database.run(
                accepting.retry,
                project_id,
                operation_id,
                delegation_id=await self._delegations.delegation_of(
                    call.caller, self._settings.sweep_max_seconds if found.kind == SWEEP else None
                ),
                max_age_ms=self._settings.operation_max_age_seconds * 1000,
            )
        found = await self.find(call, operation_id)
        if not queued and found.finished:
            raise GatewayError(ErrorCode.OPERATION_CONFLICT, verb="retried", state=found.state.value)
        return found

    async def find(self, call: Call, operation_id: str) -> Operation:
        """An operation of the caller's project.

        Raises:
            GatewayError: OPERATION_NOT_FOUND, OPERATION_STORE_UNAVAILABLE.
        """
        with store_errors():
            found = await self.database.run(accepting.find, call.caller.project_id, operation_id)
        if found is None:
            raise not_found(call, operation_id)
        return found

    async def finished_within(self, operation_id: str, seconds: float) -> bool:
        """Waits for the end of an operation; False if it has not ended by then."""
        return await self._waiting.finished_within(
            operation_id, min(seconds, self._settings.operation_wait_max_seconds)
        )


def not_found(call: Call, operation_id: str) -> GatewayError:
    """The error about an operation that the caller's project does not have."""
    return GatewayError(ErrorCode.OPERATION_NOT_FOUND, project_id=call.caller.project_id, operation=operation_id[:64])


@contextlib.contextmanager
def store_errors() -> Iterator[None]:
    """Converts errors of the store."""
    try:
        yield
    except (DatabaseUnavailableError, DelegationEndedError) as error:
        raise GatewayError(ErrorCode.OPERATION_STORE_UNAVAILABLE) from error
