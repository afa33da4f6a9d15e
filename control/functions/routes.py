"""`/v1/functions`: the functions of the caller's project, on the records that the controller reads.

    GET    /v1/functions                    all of them, by pages (`limit`, `marker`)
    GET    /v1/functions/{name}             one
    PUT    /v1/functions/{name}             create, or replace the specification
    PATCH  /v1/functions/{name}             change the given fields; null restores a default
    DELETE /v1/functions/{name}             delete
    PUT    /v1/functions/{name}/source      store an archive from which a function can be built
    GET    /v1/functions/{name}/build-logs  the output of its last build (`tail`)
    GET    /v1/functions/{name}/revisions   its revisions, the newest first
    GET    /v1/functions/{name}/logs        the end of the output of its pods (`tail`)

The project is the token's. Members write, readers read.
"""

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from control.functions.audit import audit_event
from control.functions.document import document_of, logs_document, revision_document
from control.functions.fields import changed, malformed, parse_fields
from control.functions.preconditions import etag_of, expectation_of
from control.functions.source import SourceUploads
from control.functions.work import ClusterWork
from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.http.body import json_of, read_body
from gateway.http.context import context_of
from gateway.http.head import RequestHead
from gateway.http.query import one_value, parse_query
from gateway.http.respond import answer_or_error
from gateway.telemetry.cadf import record as record_event
from policies.model import Platform, TenantSpec
from policies.own_function import MAX_NAME, OwnFunction
from policies.own_function_rules import LOWEST_LEVEL
from tenancy import function_use_cases as use_cases
from tenancy.function_repository import FunctionRepository
from tenancy.function_use_cases import FunctionOutcome
from tenancy.model.function import FunctionRecord
from tenancy.repository import TenantRepository

MAX_BODY_BYTES = 131_072
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
DEFAULT_TAIL, MAX_TAIL = 100, 1_000
_NAME = re.compile(rf"[a-z](?:[-a-z0-9]{{0,{MAX_NAME - 2}}}[a-z0-9])?")
_WRITES = frozenset({"PUT", "PATCH", "DELETE"})
_ACTIONS = {"DELETE": "delete", "PATCH": "update"}


@dataclass(frozen=True, slots=True)
class FunctionsRequest:
    """An admitted request: its caller and tenant, its head, and the parameters of its query."""

    call: Call
    head: RequestHead
    request: Request
    parameters: dict[str, list[str]]

    @property
    def name(self) -> str:
        """The name of the function in the path."""
        return str(self.request.path_params["name"])


Result = TypeVar("Result")
Work = Callable[[FunctionsRequest], Coroutine[Any, Any, Response]]


class FunctionRoutes:
    """The endpoints. Kubernetes' client blocks, so it runs in threads (`ClusterWork`)."""

    def __init__(
        self,
        *,
        admission: Admission,
        tenants: TenantRepository,
        functions: FunctionRepository,
        platform: Platform,
        uploads: SourceUploads,
        public_url: str,
    ) -> None:
        self._admission = admission
        self._tenants = tenants
        self._functions = functions
        self._platform = platform
        self._uploads = uploads
        self._public_url = public_url
        self._work = ClusterWork()

    async def collection(self, request: Request) -> Response:
        """`GET /v1/functions`."""
        return await self._respond(request, self._list, ("limit", "marker"))

    async def item(self, request: Request) -> Response:
        """`GET|PUT|PATCH|DELETE /v1/functions/{name}`."""
        work = {"PUT": self._put, "PATCH": self._patch, "DELETE": self._delete}.get(request.method, self._show)
        return await self._respond(request, work)

    async def revisions(self, request: Request) -> Response:
        """`GET /v1/functions/{name}/revisions`."""
        return await self._respond(request, self._revisions)

    async def logs(self, request: Request) -> Response:
        """`GET /v1/functions/{name}/logs`."""
        return await self._respond(request, self._logs, ("tail",))

    async def source(self, request: Request) -> Response:
        """`PUT /v1/functions/{name}/source`."""
        return await self._respond(request, self._put_source)

    async def build_logs(self, request: Request) -> Response:
        """`GET /v1/functions/{name}/build-logs`."""
        return await self._respond(request, self._build_logs, ("tail",))

    async def _respond(self, request: Request, work: Work, parameters: tuple[str, ...] = ()) -> Response:
        context = context_of(request.scope)
        context.route = "functions"
        call: Call | None = None

        async def answer() -> Response:
            nonlocal call
            head = context.head
            assert head is not None
            name = request.path_params.get("name")
            if name is not None and not _NAME.fullmatch(name):
                raise GatewayError(ErrorCode.ROUTE_NOT_FOUND)
            context.log.function = name
            call = await self._admission.admit(context, readers=request.method not in _WRITES)
            return await work(FunctionsRequest(call, head, request, parse_query(head.query, parameters)))

        response = await answer_or_error(context, answer())
        if request.method in _WRITES:
            caller = call.caller if call else None
            # PUT creates or replaces, which is not known if it is refused.
            action = _ACTIONS.get(request.method, "update")
            name, status = str(request.path_params.get("name")), response.status_code
            record_event(audit_event(caller, action, name, status, request_id=context.request_id))
        return response

    async def _list(self, asked: FunctionsRequest) -> Response:
        limit = _number(asked.parameters, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        marker = one_value(asked.parameters, "marker") or ""
        records = await self._run(asked, lambda: self._functions.list(asked.call.tenant.namespace))
        after = [record for record in records if record.name > marker]
        document: dict[str, Any] = {"functions": [self._document(record) for record in after[:limit]]}
        if len(after) > limit:
            href = f"{self._public_url}/v1/functions?limit={limit}&marker={after[limit - 1].name}"
            document["functions_links"] = [{"rel": "next", "href": href}]
        return JSONResponse(document, headers=UNCACHEABLE)

    async def _show(self, asked: FunctionsRequest) -> Response:
        tenant = await self._tenant(asked)
        record = await self._run(asked, lambda: use_cases.get_function(self._functions, tenant, asked.name))
        return self._answer(record)

    async def _put(self, asked: FunctionsRequest) -> Response:
        expected = expectation_of(asked.head)
        values = await _values(asked)
        return await self._write(asked, lambda _: changed(None, asked.name, values), expected)

    async def _patch(self, asked: FunctionsRequest) -> Response:
        expected = expectation_of(asked.head, present=True)
        values = await _values(asked)
        return await self._write(asked, lambda before: changed(before, asked.name, values), expected)

    async def _write(
        self,
        asked: FunctionsRequest,
        wanted: Callable[[OwnFunction | None], OwnFunction],
        expected: use_cases.Expectation,
    ) -> Response:
        tenant = await self._tenant(asked)

        def work() -> FunctionOutcome:
            return use_cases.write_function(
                self._functions, tenant, self._platform, asked.name, wanted, expected=expected
            )

        outcome = await self._run(asked, work)
        # The revision becomes ready later, or does not: the conditions say so.
        return self._answer(outcome.after, 202 if outcome.changed else 200, changed=outcome.changed)

    async def _delete(self, asked: FunctionsRequest) -> Response:
        expected, tenant = expectation_of(asked.head), await self._tenant(asked)
        await self._run(asked, lambda: use_cases.delete_function(self._functions, tenant, asked.name, expected))
        return Response(status_code=204, headers=UNCACHEABLE)

    async def _revisions(self, asked: FunctionsRequest) -> Response:
        tenant = await self._tenant(asked)

        def work() -> list[dict[str, Any]]:
            record = use_cases.get_function(self._functions, tenant, asked.name)
            found = self._functions.revisions(tenant.namespace, asked.name)
            return [revision_document(revision, record) for revision in found]

        return JSONResponse({"revisions": await self._run(asked, work)}, headers=UNCACHEABLE)

    async def _logs(self, asked: FunctionsRequest) -> Response:
        lines = _number(asked.parameters, "tail", DEFAULT_TAIL, MAX_TAIL)
        tenant = await self._tenant(asked)

        def work() -> list[dict[str, Any]]:
            use_cases.get_function(self._functions, tenant, asked.name)
            return logs_document(self._functions.logs(tenant.namespace, asked.name, lines=lines))

        return JSONResponse({"logs": await self._run(asked, work)}, headers=UNCACHEABLE)

    async def _put_source(self, asked: FunctionsRequest) -> Response:
        # Before any byte of the body: a project that cannot have functions stores none of their archives.
        require_own_functions(await self._tenant(asked), asked.name)
        source = await self._uploads.receive(asked.call, asked.name, asked.request)
        document = {
            "digest": source.digest,
            "bytes": source.size,
            "files": source.files,
            "runtime": source.runtime,
        }
        return JSONResponse({"source": document}, 201, headers=UNCACHEABLE)

    async def _build_logs(self, asked: FunctionsRequest) -> Response:
        lines = _number(asked.parameters, "tail", DEFAULT_TAIL, MAX_TAIL)
        tenant = await self._tenant(asked)

        def work() -> list[dict[str, Any]]:
            use_cases.get_function(self._functions, tenant, asked.name)
            return logs_document(self._functions.build_logs(tenant.namespace, asked.name, lines=lines))

        return JSONResponse({"logs": await self._run(asked, work)}, headers=UNCACHEABLE)

    async def _tenant(self, asked: FunctionsRequest) -> TenantSpec:
        """The tenant's specification; the directory has not all of it."""
        project_id = asked.call.caller.project_id
        record = await self._run(asked, lambda: self._tenants.get(project_id))
        if record is None:
            raise GatewayError(ErrorCode.TENANT_NOT_ONBOARDED, project_id=project_id)
        return record.spec

    async def _run(self, asked: FunctionsRequest, work: Callable[[], Result]) -> Result:
        function = asked.request.path_params.get("name", "")
        return await self._work.run(asked.call.caller.project_id, function, work)

    def _document(self, record: FunctionRecord) -> dict[str, Any]:
        return document_of(record, self._public_url)

    def _answer(self, record: FunctionRecord, status: int = 200, **more: Any) -> Response:
        headers = {**UNCACHEABLE, "ETag": etag_of(record)}
        return JSONResponse({"function": self._document(record), **more}, status, headers=headers)


def require_own_functions(tenant: TenantSpec, name: str) -> None:
    """Raises GatewayError FUNCTION_REJECTED if the project's level allows no functions of its own."""
    if not tenant.isolation >= LOWEST_LEVEL:
        why = f"functions of one's own need level {LOWEST_LEVEL.value}, and this project's is {tenant.isolation.value}"
        raise GatewayError(ErrorCode.FUNCTION_REJECTED, function=name, why=why)


async def _values(asked: FunctionsRequest) -> dict[str, Any]:
    body = await read_body(asked.request, max_bytes=MAX_BODY_BYTES)
    return parse_fields(json_of(body), asked.name)


def _number(parameters: dict[str, list[str]], name: str, usual: int, most: int) -> int:
    value = one_value(parameters, name)
    if value is None:
        return usual
    if not (value.isascii() and value.isdecimal() and len(value) < 6 and 1 <= int(value) <= most):  # noqa: PLR2004
        raise malformed(f"'{name}' must be a number from 1 to {most}")
    return int(value)
