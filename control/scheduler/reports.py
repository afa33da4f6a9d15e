"""`POST /v1/trigger-outcomes`: gateways report what became of triggers. For our own service user, and nobody else."""

import datetime as dt
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from control.scheduler.status import MAX_MESSAGE, StatusWriter
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.http.body import read_body
from gateway.http.context import RequestContext, context_of
from gateway.http.respond import answer_or_error
from gateway.identity.authenticate import Authenticator
from gateway.identity.trusts import Trustee
from gateway.triggers.outcomes import FiringResult
from gateway.typed_json import decode
from policies.names import NamespaceName
from tenancy.directory.triggers import TriggerDirectory
from tenancy.model.trigger import Outcome

_MAX_BODY_BYTES = 2_097_152


class Reported(msgspec.Struct, frozen=True, gc=False):
    """One outcome, as `gateway.triggers.reports` sends it."""

    namespace: str
    name: str
    uid: str
    outcome: Outcome
    at: dt.datetime
    reason: str = ""
    message: str = ""
    id: str = ""


class _Report(msgspec.Struct, frozen=True):
    outcomes: list[Reported]


_REPORT = msgspec.json.Decoder(_Report)


class OutcomeRoutes:
    """The endpoint."""

    def __init__(
        self,
        *,
        identity: Authenticator,
        trustee: Trustee,
        triggers: TriggerDirectory,
        statuses: StatusWriter,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._identity = identity
        self._trustee = trustee
        self._triggers = triggers
        self._statuses = statuses
        self._clock = clock

    async def receive(self, request: Request) -> Response:
        """`POST /v1/trigger-outcomes`."""
        context = context_of(request.scope)
        context.route = "trigger_outcomes"
        return await answer_or_error(context, self._receive(request, context))

    async def _receive(self, request: Request, context: RequestContext) -> Response:
        assert context.head is not None
        caller = await self._identity.identify(context.head)
        context.log.user_id, context.log.project_id = caller.user_id, caller.project_id
        if caller.user_id != await self._trustee.user_id() or caller.delegated:
            raise GatewayError(ErrorCode.ROUTE_NOT_FOUND)
        report = decode(_REPORT, await read_body(request, max_bytes=_MAX_BODY_BYTES))
        now = self._clock()
        for each in report.outcomes:
            record = self._triggers.triggers_of(NamespaceName(each.namespace)).records.get(each.name)
            if record is not None and record.uid == each.uid:
                message = each.message[:MAX_MESSAGE]
                result = FiringResult(
                    outcome=each.outcome, word=each.outcome.value, id=each.id[:64], reason=each.reason, message=message
                )
                self._statuses.add(record, result, min(each.at, now))
        return Response(status_code=204, headers=UNCACHEABLE)
