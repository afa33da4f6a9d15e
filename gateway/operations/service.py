"""Accepts asynchronous calls, and looks after them: each is stored before its caller gets a 202."""

import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from cachetools import LRUCache

from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.limits.limiter import ProjectLimiter
from gateway.operations.batches import Acceptances
from gateway.operations.callback_url import CallbackAllowlist
from gateway.operations.delegation import Delegations
from gateway.operations.objects import OperationObjects, refusal_of_writing
from gateway.operations.preference import AsyncPreference
from gateway.operations.request import fingerprint_of
from gateway.operations.waiting import WaitingCallers
from gateway.settings import Settings
from operations.store import accepting
from operations.store import objects as stored_objects
from operations.store.accepting import Usage
from operations.store.database import Database
from operations.store.errors import (
    DatabaseUnavailableError,
    DelegationEndedError,
    KeyInUseError,
    KeyReusedError,
)
from operations.store.model import NewOperation, Operation, Request, State, StoredObject, new_id
from operations.store.objects import OperationReferences

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
        body_digest: of a body that is an object.
    """

    kind: str
    subject: str
    repeatable: bool
    request: Request
    preference: AsyncPreference
    authority_seconds: int | None = None
    body_digest: str | None = None

    @property
    def fingerprint(self) -> str:
        """Tells whether two calls with one idempotency key are the same."""
        return fingerprint_of(self.request, self.body_digest)


class Operations:
    """The operations of all projects, for the gateway."""

    def __init__(
        self,
        database: Database,
        delegations: Delegations,
        limiter: ProjectLimiter,
        objects: OperationObjects,
        settings: Settings,
    ) -> None:
        self.database = database
        self._acceptances = Acceptances(database)
        self._objects = objects
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

    @contextlib.asynccontextmanager
    async def slot(self, call: Call) -> AsyncIterator[None]:
        """A slot of the project for a call that is being accepted.

        Raises:
            GatewayError: CONCURRENCY_EXCEEDED.
        """
        async with self._limiter.slot(call.subject) as use:
            call.context.limits[use.name] = use
            yield

    def retention_seconds(self, preference: AsyncPreference) -> int:
        """How long an operation is kept after its end."""
        wanted = preference.retention_seconds
        return self._settings.operation_retention_seconds if wanted is None else wanted

    async def prepare(self, call: Call, wanted: AsyncCall) -> None:
        """Refuses a call that could not be accepted, before its body is read.

        Raises:
            GatewayError: OPERATION_QUEUE_FULL, OPERATION_NO_DELEGATION, OPERATION_STORE_UNAVAILABLE,
                KEYSTONE_UNAVAILABLE.
        """
        with store_errors():
            await self._check_usage(call, 0, counted=False)
            await self._delegations.delegation_of(call.caller, wanted.authority_seconds)

    async def knows_key(self, call: Call, preference: AsyncPreference) -> bool:
        """Whether the caller's idempotency key belongs to an operation.

        Raises:
            GatewayError: OPERATION_STORE_UNAVAILABLE.
        """
        key, caller = preference.idempotency_key, call.caller
        if key is None:
            return False
        with store_errors():
            found = await self.database.run(accepting.find_by_key, caller.project_id, caller.user_id, key)
        return found is not None

    async def replay(self, call: Call, wanted: AsyncCall) -> Operation:
        """The operation that the same call became before, by its idempotency key.

        Raises:
            GatewayError: IDEMPOTENCY_*; OPERATION_STORE_UNAVAILABLE, also if the operation was forgotten a moment ago.
        """
        caller, key = call.caller, wanted.preference.idempotency_key
        assert key is not None
        with store_errors(), key_errors():
            found = await self.database.run(
                accepting.replayed, caller.project_id, caller.user_id, key, wanted.fingerprint
            )
        if found is None:
            raise GatewayError(ErrorCode.OPERATION_STORE_UNAVAILABLE)
        return found

    async def accept(self, call: Call, wanted: AsyncCall, *, operation_id: str | None = None) -> Operation:
        """Stores a call; the operation that it has become, or became before by the same idempotency key.

        Args:
            call: admitted; it holds a slot, which bounds the bodies in memory.
            wanted: what to do.
            operation_id: None: a new one.

        Raises:
            GatewayError: OPERATION_*, IDEMPOTENCY_*, KEYSTONE_UNAVAILABLE.
        """
        with store_errors(), key_errors():
            await self._check_usage(call, len(wanted.request.body))
            return await self._accept(call, wanted, operation_id or new_id())

    async def _accept(self, call: Call, wanted: AsyncCall, operation_id: str) -> Operation:
        settings, caller, preference = self._settings, call.caller, wanted.preference
        for attempt in range(_ATTEMPTS_AT_DELEGATION):
            new = NewOperation(
                id=operation_id,
                project_id=caller.project_id,
                user_id=caller.user_id,
                kind=wanted.kind,
                subject=wanted.subject[:255],
                request_id=call.context.request_id,
                request=wanted.request,
                fingerprint=wanted.fingerprint,
                repeatable=wanted.repeatable,
                delegation_id=await self._delegations.delegation_of(
                    caller, wanted.authority_seconds, fresh=attempt > 0
                ),
                max_age_ms=settings.operation_max_age_seconds * 1000,
                retention_ms=1000 * self.retention_seconds(preference),
                idempotency_key=preference.idempotency_key,
                callback_url=preference.callback_url,
            )
            try:
                return await self._acceptances.accept(new)
            except DelegationEndedError:
                # A worker has ended it since it was looked up.
                if attempt + 1 == _ATTEMPTS_AT_DELEGATION:
                    raise
        raise AssertionError  # the loop returns or raises

    async def _check_usage(self, call: Call, size: int, *, counted: bool = True) -> None:
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
        if counted:
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
        kept = await self._references(operation_id)
        if kept.request is not None:
            await self._keep_request(call, kept.request)
        with store_errors():
            await self._check_usage(call, 0)
            queued = await self.database.run(
                accepting.retry,
                project_id,
                operation_id,
                delegation_id=await self._delegations.delegation_of(
                    call.caller, self._settings.sweep_max_seconds if found.kind == SWEEP else None, fresh=True
                ),
                max_age_ms=self._settings.operation_max_age_seconds * 1000,
            )
        found = await self.find(call, operation_id)
        if not queued and found.finished:
            raise GatewayError(ErrorCode.OPERATION_CONFLICT, verb="retried", state=found.state.value)
        if queued and kept.result is not None:
            await self._objects.delete(call.caller, kept.result)
        return found

    async def cancel(self, call: Call, operation_id: str) -> Operation:
        """Cancels an operation, or tells its worker to do so.

        Raises:
            GatewayError: OPERATION_NOT_FOUND, OPERATION_CONFLICT, OPERATION_STORE_UNAVAILABLE.
        """
        with store_errors():
            found = await self.database.run(accepting.cancel, call.caller.project_id, operation_id)
        if found is None:
            raise not_found(call, operation_id)
        if found.finished and found.state is not State.CANCELLED:
            raise GatewayError(ErrorCode.OPERATION_CONFLICT, verb="cancelled", state=found.state.value)
        if found.finished:
            kept = await self._references(operation_id)
            if kept.request is not None:
                await self._objects.delete(call.caller, kept.request)
        return found

    async def _references(self, operation_id: str) -> OperationReferences:
        with store_errors():
            return await self.database.run(stored_objects.references, operation_id)

    async def _keep_request(self, call: Call, stored: StoredObject) -> None:
        """Lets the body of a request live for another turn.

        Raises:
            GatewayError: OPERATION_BODY_CHANGED, OPERATION_STORAGE_REFUSED, STORE_UNAVAILABLE, TOKEN_INVALID.
        """
        longest = self._settings.operation_retention_max_seconds
        try:
            await self._objects.keep_request(call.caller, stored, retention=longest)
        except GatewayError as error:
            if error.kind is ErrorCode.OBJECT_CHANGED:
                raise GatewayError(ErrorCode.OPERATION_BODY_CHANGED, object=stored.path) from error
            why = refusal_of_writing(error)
            if why is None:
                raise
            raise GatewayError(ErrorCode.OPERATION_STORAGE_REFUSED, container=stored.container, why=why) from error

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


@contextlib.contextmanager
def key_errors() -> Iterator[None]:
    """Converts the store's errors about idempotency keys."""
    try:
        yield
    except KeyReusedError as error:
        raise GatewayError(ErrorCode.IDEMPOTENCY_CONFLICT) from error
    except KeyInUseError as error:
        raise GatewayError(
            ErrorCode.IDEMPOTENCY_RUNNING,
            operation=error.operation_id,
            headers={"Location": f"/v1/operations/{error.operation_id}"},
        ) from error


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
