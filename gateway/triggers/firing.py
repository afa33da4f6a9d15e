"""Fires the triggers of an object: each once per version of the object, with the rights of its trust and no more.

A trigger acts as a caller of `/v1/invoke` with the token of its trust: the same admission, limits, stats and checks.
The sender of an event chooses nothing but the name of an object, and learns nothing of its content.

The same version of an object fires a trigger once (`EventMemory`): deliveries of one event, of its copy in another
vendor's form, or by another sender, are duplicates. A store may make a new version of an object by a copy that only
changes its metadata, as when digests are stored; so of copies, the content decides.
"""

import hashlib
import logging
from collections.abc import Iterator

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.checksums.bulk import retry_when_limited
from gateway.errors import ErrorCode, GatewayError
from gateway.event_memory import EventMemory
from gateway.http.context import RequestContext
from gateway.identity.trusts import TrustRefusedError, TrustTokens
from gateway.invoke.recheck import ReplyBrokenError
from gateway.invoke.routes import InvokeRoutes
from gateway.invoke.target import target_of
from gateway.objects.model import ObjectRef, ObjectStat, ObjectStore
from gateway.policy.names import Rule
from gateway.single_flight import SingleFlight
from gateway.triggers.invocation import Reply, TriggerRequest, object_request
from gateway.triggers.outcomes import FOREIGN_TRUST, LOOPING, REFUSED_TRUST, FiringResult, of_error, of_status
from policies.names import NamespaceName
from tenancy.directory.triggers import TriggerDirectory
from tenancy.model.trigger import ObjectCreated, TriggerRecord, firing_id

log = logging.getLogger("gateway.triggers")

_MAX_WHY = 200

GONE = FiringResult(outcome=None, word="gone")
DUPLICATE = FiringResult(outcome=None, word="duplicate")


class TriggerFiring:
    """Fires triggers."""

    def __init__(
        self,
        *,
        directory: TriggerDirectory,
        tokens: TrustTokens,
        admission: Admission,
        store: ObjectStore,
        invocations: InvokeRoutes,
        entries: int,
    ) -> None:
        """`entries`: maximum number of remembered firings, of all projects together."""
        self._directory = directory
        self._tokens = tokens
        self._admission = admission
        self._store = store
        self._invocations = invocations
        self._done = EventMemory(entries)
        self._flights: SingleFlight[bytes, FiringResult] = SingleFlight()

    def matching(self, namespace: NamespaceName, refs: tuple[ObjectRef, ...]) -> Iterator[TriggerRecord]:
        """The triggers of a tenant that the creation of an object fires; `refs`: candidates for its name."""
        triggers = self._directory.triggers_of(namespace)
        found = {record.uid: record for ref in refs for record in triggers.matching(ref.container, ref.name)}
        yield from found.values()

    async def fire(
        self, record: TriggerRecord, refs: tuple[ObjectRef, ...], *, copied: bool, request_id: str
    ) -> FiringResult:
        """Fires a trigger for an object. Never raises `GatewayError`: see `FiringResult.error`.

        Args:
            record: the trigger.
            refs: candidates for the name of the object, the likelier first.
            copied: whether the event says that the store has copied the object.
            request_id: of the request with the event.
        """
        if self._directory.triggers_of(NamespaceName(record.namespace)).is_looping(record):
            return LOOPING
        try:
            result = await self._as_user(record, refs, copied=copied, request_id=request_id)
        except GatewayError as error:
            result = of_error(error)
        about = f"{record.namespace}/{record.object_name}"
        log.info("trigger %s: %s %s %s %s", about, result.word, result.id, result.message, request_id)
        return result

    async def _as_user(
        self, record: TriggerRecord, refs: tuple[ObjectRef, ...], *, copied: bool, request_id: str
    ) -> FiringResult:
        source = record.spec.source
        assert isinstance(source, ObjectCreated)
        for ref in refs:
            if not source.matches(ref.container, ref.name):
                continue
            try:
                return await self._object(record, ref, copied=copied, request_id=request_id)
            except TrustRefusedError:
                return REFUSED_TRUST
            except GatewayError as error:
                if error.kind is not ErrorCode.OBJECT_NOT_FOUND:
                    raise
        return GONE

    async def _object(self, record: TriggerRecord, ref: ObjectRef, *, copied: bool, request_id: str) -> FiringResult:
        call = await retry_when_limited(lambda: self._admitted(record, ref, request_id))
        if call.caller.user_id != record.spec.user_id or call.tenant.namespace != record.namespace:
            return FOREIGN_TRUST
        try:
            stat = await self._store.stat(call.caller, ref)
        except GatewayError as error:
            if error.kind is ErrorCode.TOKEN_INVALID:
                self._tokens.forget(record.spec.trust_id)
            raise
        content = _key(record, ref, stat.etag, "")
        version = _key(record, ref, stat.etag, stat.last_modified or "")
        key, project_id = content if copied else version, call.caller.project_id
        if self._done.knows(project_id, key):
            return DUPLICATE
        joined = key in self._flights

        async def run() -> FiringResult:
            result = await self._invoke(call, record, stat)
            if result.error is None:
                self._done.add(project_id, content)
                self._done.add(project_id, version)
            return result

        result = await self._flights.run(key, run)
        return DUPLICATE if joined and result.error is None else result

    async def _invoke(self, admitted: Call, record: TriggerRecord, stat: ObjectStat) -> FiringResult:
        function, ref = record.spec.function, stat.ref
        event_id = firing_id(record.uid, ref.container, ref.name, stat.etag, stat.last_modified or "")
        request = _request(record, ref, admitted.caller.token, event_id)
        context = RequestContext(request_id=admitted.context.request_id, head=request.head, route="trigger")
        call = admitted._replace(context=context)

        async def ask() -> FiringResult:
            reply = Reply(request.body)
            await self._invocations.carry(call, target_of(request.head), reply.receive, reply.send)
            return of_status(reply.status, reply.beginning(), function, event_id)

        try:
            return await retry_when_limited(ask)
        except ReplyBrokenError as error:
            why = f"its reply broke off: {error.__cause__!r}"[:_MAX_WHY]
            return of_error(GatewayError(ErrorCode.FUNCTION_FAILED, function=function, why=why), event_id)
        except GatewayError as error:
            return of_error(error, event_id)

    async def _admitted(self, record: TriggerRecord, ref: ObjectRef, request_id: str) -> Call:
        """The call of the trust's user, counted as one."""
        access = await self._tokens.access(record.spec.trust_id)
        head = _request(record, ref, access.token, "").head
        try:
            context = RequestContext(request_id=request_id, head=head, route="trigger")
            return await self._admission.admit(context, Rule.FUNCTIONS_INVOKE)
        except GatewayError as error:
            if error.kind is ErrorCode.TOKEN_INVALID:
                # It was revoked since the login. The next login says whether the trust is.
                self._tokens.forget(record.spec.trust_id)
            raise


def _request(record: TriggerRecord, ref: ObjectRef, token: str, event_id: str) -> TriggerRequest:
    assert isinstance(record.spec.source, ObjectCreated)
    return object_request(record, record.spec.source, ref, token=token, event_id=event_id)


def _key(record: TriggerRecord, ref: ObjectRef, etag: str, version: str) -> bytes:
    """A key of fixed size, whatever the length of the names."""
    return hashlib.sha256(firing_id(record.uid, ref.container, ref.name, etag, version).encode()).digest()
