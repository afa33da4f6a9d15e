"""HTTP routes of the triggers of functions.

GET    /v1/functions/{name}/triggers             list
GET    /v1/functions/{name}/triggers/{trigger}   show
PUT    /v1/functions/{name}/triggers/{trigger}   create or replace; the caller becomes the user that it acts for
DELETE /v1/functions/{name}/triggers/{trigger}   delete, with its trust
"""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from control.functions.preconditions import expectation_of
from control.functions.responder import FunctionsRequest, Responder
from control.functions.routes import MAX_BODY_BYTES
from control.functions.trigger_document import trigger_document
from control.functions.trigger_fields import parse_trigger
from control.functions.trigger_trusts import TriggerTrusts
from control.functions.work import error_for
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.http.body import json_of, read_body
from gateway.policy.names import Rule
from gateway.settings.triggers import TriggerSettings
from tenancy.function_repository import FunctionRepository
from tenancy.function_use_cases import get_function
from tenancy.model.errors import FunctionError, PreconditionError, TooManyError
from tenancy.model.function import FunctionRecord
from tenancy.model.schedule import Schedule
from tenancy.model.trigger import MAX_TRIGGER_NAME, RENEWABLE, ObjectCreated, Trigger, TriggerRecord
from tenancy.trigger_repository import TriggerRepository
from tenancy.trigger_use_cases import check_trigger, check_trigger_expectation, trigger_version

_NAME = re.compile(rf"[a-z](?:[-a-z0-9]{{0,{MAX_TRIGGER_NAME - 2}}}[a-z0-9])?")


class TriggerRoutes:
    """The endpoints. Requests are admitted, counted and audited as those about functions are."""

    def __init__(
        self,
        *,
        responder: Responder,
        functions: FunctionRepository,
        triggers: TriggerRepository,
        trusts: TriggerTrusts,
        settings: TriggerSettings,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._responder = responder
        self._functions = functions
        self._triggers = triggers
        self._trusts = trusts
        self._settings = settings
        self._clock = clock

    async def collection(self, request: Request) -> Response:
        """`GET /v1/functions/{name}/triggers`."""
        return await self._responder.respond(request, Rule.TRIGGERS_LIST, self._list)

    async def item(self, request: Request) -> Response:
        """`GET|PUT|DELETE /v1/functions/{name}/triggers/{trigger}`."""
        rule, work = {
            "PUT": (Rule.TRIGGERS_PUT, self._put),
            "DELETE": (Rule.TRIGGERS_DELETE, self._delete),
        }.get(request.method, (Rule.TRIGGERS_GET, self._show))

        async def checked(asked: FunctionsRequest) -> Response:
            if not _NAME.fullmatch(_name(asked)):
                raise GatewayError(ErrorCode.ROUTE_NOT_FOUND)
            return await work(asked)

        return await self._responder.respond(request, rule, checked)

    async def of_function(self, asked: FunctionsRequest) -> tuple[TriggerRecord, ...]:
        """The triggers of a function that is about to be deleted."""
        _, triggers = await self._read(asked, needs_function=False)
        return tuple(each for each in triggers if each.spec.function == asked.name)

    async def end(self, asked: FunctionsRequest, records: tuple[TriggerRecord, ...]) -> Response:
        """Ends triggers whose function has been deleted, and answers the deletion.

        Kubernetes deletes their objects with the function, but knows nothing of trusts.
        """
        return _deleted(await self._trusts.end(asked.call.caller, records))

    async def _list(self, asked: FunctionsRequest) -> Response:
        _, triggers = await self._read(asked)
        own = [each for each in triggers if each.spec.function == asked.name]
        now = self._clock()
        return JSONResponse({"triggers": [trigger_document(each, now) for each in own]}, headers=UNCACHEABLE)

    async def _show(self, asked: FunctionsRequest) -> Response:
        _, triggers = await self._read(asked)
        return self._answer(_found(asked, triggers))

    async def _put(self, asked: FunctionsRequest) -> Response:
        expected, caller = expectation_of(asked.head), asked.call.caller
        body = await read_body(asked.request, max_bytes=MAX_BODY_BYTES)
        source = parse_trigger(json_of(body), _name(asked), self._clock())
        function, triggers = await self._read(asked)
        assert function is not None
        before = next((each for each in triggers if _is(asked, each)), None)
        wanted = self._wanted(asked, function, before, source)
        try:
            check_trigger_expectation(before, expected)
            if before is not None and _is_settled(before, wanted):
                return self._answer(before, changed=False)
            others = [each for each in triggers if not _is(asked, each)]
            limits = self._settings
            check_trigger(
                wanted, function, others, per_function=limits.function_triggers, per_project=limits.project_triggers
            )
        except TooManyError as error:
            raise GatewayError(ErrorCode.TRIGGER_COUNT_EXCEEDED, why=str(error)) from error
        except PreconditionError as error:
            raise error_for(error, caller.project_id, asked.name) from error
        except FunctionError as error:
            raise GatewayError(ErrorCode.TRIGGER_REJECTED, trigger=_name(asked), why=str(error)) from error
        trust_id = await self._trusts.create(caller)
        stored = await self._store(asked, replace(wanted, spec=replace(wanted.spec, trust_id=trust_id)), before)
        remains = await self._trusts.end(caller, [before]) if before is not None else None
        more = {"remains": remains} if remains else {}
        return self._answer(stored, 200 if before is not None else 201, changed=True, **more)

    async def _store(
        self, asked: FunctionsRequest, wanted: TriggerRecord, before: TriggerRecord | None
    ) -> TriggerRecord:
        """Stores a trigger; if that fails, no trust of it stays."""
        write = self._triggers.create if before is None else self._triggers.update
        try:
            return await self._responder.run(asked, lambda: write(wanted))
        except GatewayError:
            await self._trusts.withdraw(asked.call.caller, wanted.spec.trust_id)
            raise

    async def _delete(self, asked: FunctionsRequest) -> Response:
        expected = expectation_of(asked.head)
        _, triggers = await self._read(asked, needs_function=False)
        record = _found(asked, triggers)
        try:
            check_trigger_expectation(record, expected)
        except FunctionError as error:
            raise error_for(error, asked.call.caller.project_id, asked.name) from error
        await self._responder.run(asked, lambda: self._triggers.delete(record))
        return _deleted(await self._trusts.end(asked.call.caller, [record]))

    async def _read(
        self, asked: FunctionsRequest, *, needs_function: bool = True
    ) -> tuple[FunctionRecord | None, tuple[TriggerRecord, ...]]:
        """The function, and all triggers of its project."""
        tenant = (await self._responder.tenant(asked)).spec

        def work() -> tuple[FunctionRecord | None, tuple[TriggerRecord, ...]]:
            function = get_function(self._functions, tenant, asked.name) if needs_function else None
            return function, self._triggers.list(tenant.namespace)

        return await self._responder.run(asked, work)

    def _wanted(
        self,
        asked: FunctionsRequest,
        function: FunctionRecord,
        before: TriggerRecord | None,
        source: ObjectCreated | Schedule,
    ) -> TriggerRecord:
        spec = Trigger(
            function=asked.name,
            name=_name(asked),
            source=source,
            user_id=asked.call.caller.user_id,
            trust_id="",
            defined_at=self._clock(),
        )
        if before is not None:
            return replace(before, spec=spec, function_uid=function.uid)
        return TriggerRecord(namespace=function.namespace, spec=spec, function_uid=function.uid)

    def _answer(self, record: TriggerRecord, status: int = 200, **more: Any) -> Response:
        headers = {**UNCACHEABLE, "ETag": f'"{trigger_version(record)}"'}
        document = trigger_document(record, self._clock())
        return JSONResponse({"trigger": document, **more}, status, headers=headers)


def _is_settled(before: TriggerRecord, wanted: TriggerRecord) -> bool:
    """Whether nothing is to be stored: the same trigger of the same user, whose trust is not known to be refused."""
    ready = before.status.readiness
    renew = ready is not None and not ready.status and ready.reason in RENEWABLE
    same = before.spec.source == wanted.spec.source and before.spec.user_id == wanted.spec.user_id
    return same and not renew


def _deleted(remains: str | None) -> Response:
    if remains is None:
        return Response(status_code=204, headers=UNCACHEABLE)
    return JSONResponse({"remains": remains}, headers=UNCACHEABLE)


def _found(asked: FunctionsRequest, triggers: tuple[TriggerRecord, ...]) -> TriggerRecord:
    for record in triggers:
        if _is(asked, record):
            return record
    raise GatewayError(ErrorCode.TRIGGER_NOT_FOUND, function=asked.name, trigger=_name(asked))


def _is(asked: FunctionsRequest, record: TriggerRecord) -> bool:
    return (record.spec.function, record.spec.name) == (asked.name, _name(asked))


def _name(asked: FunctionsRequest) -> str:
    return str(asked.request.path_params["trigger"])
