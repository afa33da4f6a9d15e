"""Routes of operations: list, status, result, cancellation, retry; and the key that signs a project's callbacks."""

from starlette.requests import Request
from starlette.responses import Response

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.http.query import one_value, parse_query
from gateway.operations.acceptance import Durable, accepted
from gateway.operations.answering import (
    Work,
    answer_admitted,
    configured,
    json_answer,
    next_links,
    page_limit,
    parse_id,
    parse_marker,
)
from gateway.operations.callback_url import signing_keys
from gateway.operations.document import operation_document
from gateway.operations.service import Operations, store_errors
from gateway.policy.names import Rule
from gateway.settings.operations import CallbackSettings
from operations.store import accepting
from operations.store.model import State

_FILTERS = ("limit", "marker", "state", "kind", "subject", "user_id")


class OperationRoutes:
    """The endpoints of operations."""

    def __init__(self, admission: Admission, durable: Durable | None, settings: CallbackSettings) -> None:
        """`durable`: None without a database."""
        self._admission = admission
        self._durable = durable
        self._callback_keys = settings.callback_keys

    async def many(self, request: Request) -> Response:
        """`GET /v1/operations`: the youngest first, with filters and a marker."""

        async def work(call: Call) -> Response:
            assert call.context.head is not None
            given = parse_query(call.context.head.query, _FILTERS)
            limit, states = page_limit(one_value(given, "limit")), _states(given.get("state", []))
            marker = parse_marker(one_value(given, "marker"))
            with store_errors():
                found = await self._store.database.run(
                    accepting.list_operations,
                    call.caller.project_id,
                    limit=limit,
                    marker=marker,
                    states=states,
                    kind=one_value(given, "kind"),
                    subject=one_value(given, "subject"),
                    user_id=one_value(given, "user_id"),
                )
            document: dict[str, object] = {"operations": [operation_document(each) for each in found]}
            if len(found) == limit:
                document["links"] = next_links("/v1/operations", given, limit=limit, last=found[-1].id)
            return json_answer(document)

        return await self._answer(request, "operations", work, Rule.OPERATIONS_LIST)

    async def one(self, request: Request) -> Response:
        """`GET /v1/operations/{id}`: its status. `DELETE`: cancels it."""
        cancel = request.method == "DELETE"

        async def work(call: Call) -> Response:
            if cancel:
                cancelled = await self._store.cancel(call, parse_id(request, call))
                return json_answer(operation_document(cancelled), 200 if cancelled.finished else 202)
            found = await self._store.find(call, parse_id(request, call))
            fields = {} if found.finished else {"Retry-After": "1"}
            return json_answer(operation_document(found), fields=fields)

        return await self._answer(
            request, "operations.one", work, Rule.OPERATIONS_CANCEL if cancel else Rule.OPERATIONS_GET
        )

    async def result(self, request: Request) -> Response:
        """`GET /v1/operations/{id}/result`: the answer, byte for byte, with its status and fields."""

        async def work(call: Call) -> Response:
            found = await self._store.find(call, parse_id(request, call))
            if not found.finished:
                raise GatewayError(ErrorCode.OPERATION_UNFINISHED, state=found.state.value)
            with store_errors():
                result = await self._store.database.run(accepting.result_of, found.id)
            if result is None:
                raise GatewayError(
                    ErrorCode.OPERATION_WITHOUT_RESULT, state=found.state.value, why=found.error_message or ""
                )
            return configured(self._durable).results.response(call, result)

        return await self._answer(request, "operations.result", work, Rule.OPERATIONS_GET_RESULT)

    async def retry(self, request: Request) -> Response:
        """`POST /v1/operations/{id}/retry`: starts a dead letter again."""

        async def work(call: Call) -> Response:
            return accepted(await self._store.retry(call, parse_id(request, call)))

        return await self._answer(request, "operations.retry", work, Rule.OPERATIONS_RETRY)

    async def callback_key(self, request: Request) -> Response:
        """`GET /v1/callback-key`: the secret with which receivers verify callbacks (Standard Webhooks)."""

        async def work(call: Call) -> Response:
            secrets = self._callback_keys.get_secret_value() if self._callback_keys else None
            keys = signing_keys(secrets, call.caller.project_id)
            if not keys:
                raise GatewayError(ErrorCode.CALLBACK_REJECTED, why="the operator has set no OSFAAS_CALLBACK_KEYS")
            return json_answer({"secret": keys[0]})

        return await self._answer(request, "callback_key", work, Rule.CALLBACK_KEY_GET)

    @property
    def _store(self) -> Operations:
        return configured(self._durable).operations

    async def _answer(self, request: Request, route: str, work: Work, rule: Rule) -> Response:
        return await answer_admitted(self._admission, request, route, work, rule)


def _states(given: list[str]) -> list[State]:
    names = [name for each in given for name in each.split(",")]
    unknown = [name for name in names if name not in set(State)]
    if unknown:
        why = f"there is no state '{unknown[0][:64]}'; known are {', '.join(State)}"
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
    return [State(name) for name in names]
