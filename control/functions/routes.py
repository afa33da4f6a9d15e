"""`/v1/functions`: the functions of the caller's project, on the records that the controller reads.

    GET    /v1/functions                    all of them, by pages (`limit`, `marker`)
    GET    /v1/functions/{name}             one
    PUT    /v1/functions/{name}             create, or replace the specification
    PATCH  /v1/functions/{name}             change the given fields; null restores a default
    DELETE /v1/functions/{name}             delete
    PUT    /v1/functions/{name}/source      store an archive from which a function can be built
    GET    /v1/functions/{name}/build-logs  the output of its last build (`tail`)
    GET    /v1/functions/{name}/revisions   its revisions, the newest first
    GET    /v1/functions/{name}/metrics     calls, errors, durations and cold starts of its revisions
    GET    /v1/functions/{name}/logs        the end of the output of its pods (`tail`), or all that follows (`follow`)

The project is the token's. Policy rules say who may do what: by default members write, readers read.
"""

from collections.abc import Callable
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from control.functions.document import document_of, logs_document, malformed_document, revision_document
from control.functions.fields import changed, malformed, parse_fields
from control.functions.log_follow import FollowResponse, FollowSlots, LogFollow, LogSource
from control.functions.metrics import GatewayReplicas, metrics_document
from control.functions.preconditions import etag_of, expectation_of
from control.functions.responder import FunctionsRequest, Responder, Result, Work, number
from control.functions.source import SourceUploads
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.http.body import json_of, read_body
from gateway.http.query import one_value
from gateway.policy.names import Rule
from policies.model import Platform, TenantSpec
from policies.own_function import OwnFunction
from policies.own_function_rules import LOWEST_LEVEL
from tenancy import function_use_cases as use_cases
from tenancy.function_repository import FunctionRepository
from tenancy.function_use_cases import FunctionOutcome
from tenancy.model.function import FunctionRecord
from tenancy.model.trigger import TriggerRecord
from tenancy.secret_repository import SecretRepository

MAX_BODY_BYTES = 131_072
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
DEFAULT_TAIL, MAX_TAIL = 100, 1_000


class FunctionTriggers(Protocol):
    """The triggers of functions that are deleted."""

    async def of_function(self, asked: FunctionsRequest) -> tuple[TriggerRecord, ...]:
        """The triggers of the function."""

    async def end(self, asked: FunctionsRequest, records: tuple[TriggerRecord, ...]) -> Response:
        """Ends them after the deletion, and answers it."""


class FunctionRoutes:
    """The endpoints."""

    def __init__(
        self,
        *,
        responder: Responder,
        functions: FunctionRepository,
        triggers: FunctionTriggers,
        secrets: SecretRepository,
        logs: LogSource,
        gateways: GatewayReplicas,
        recheck_seconds: float,
        platform: Platform,
        uploads: SourceUploads,
        public_url: str,
    ) -> None:
        self._responder = responder
        self._functions = functions
        self._triggers = triggers
        self._secrets = secrets
        self._log_source = logs
        self._gateways = gateways
        self._recheck_seconds = recheck_seconds
        self._follow_slots = FollowSlots()
        self._platform = platform
        self._uploads = uploads
        self._public_url = public_url

    async def collection(self, request: Request) -> Response:
        """`GET /v1/functions`."""
        return await self._respond(request, Rule.FUNCTIONS_LIST, self._list, ("limit", "marker"))

    async def item(self, request: Request) -> Response:
        """`GET|PUT|PATCH|DELETE /v1/functions/{name}`."""
        rule, work = {
            "PUT": (Rule.FUNCTIONS_PUT, self._put),
            "PATCH": (Rule.FUNCTIONS_UPDATE, self._patch),
            "DELETE": (Rule.FUNCTIONS_DELETE, self._delete),
        }.get(request.method, (Rule.FUNCTIONS_GET, self._show))
        return await self._respond(request, rule, work)

    async def revisions(self, request: Request) -> Response:
        """`GET /v1/functions/{name}/revisions`."""
        return await self._respond(request, Rule.FUNCTIONS_GET, self._revisions)

    async def logs(self, request: Request) -> Response:
        """`GET /v1/functions/{name}/logs`."""
        return await self._respond(request, Rule.FUNCTIONS_GET_LOGS, self._logs, ("tail", "follow"))

    async def metrics(self, request: Request) -> Response:
        """`GET /v1/functions/{name}/metrics`."""
        return await self._respond(request, Rule.FUNCTIONS_GET, self._metrics)

    async def source(self, request: Request) -> Response:
        """`PUT /v1/functions/{name}/source`."""
        return await self._respond(request, Rule.FUNCTIONS_PUT_SOURCE, self._put_source)

    async def build_logs(self, request: Request) -> Response:
        """`GET /v1/functions/{name}/build-logs`."""
        return await self._respond(request, Rule.FUNCTIONS_GET_LOGS, self._build_logs, ("tail",))

    async def _respond(self, request: Request, rule: Rule, work: Work, parameters: tuple[str, ...] = ()) -> Response:
        return await self._responder.respond(request, rule, work, parameters)

    async def _list(self, asked: FunctionsRequest) -> Response:
        limit = number(asked.parameters, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        marker = one_value(asked.parameters, "marker") or ""
        listing = await self._run(asked, lambda: self._functions.list(asked.call.tenant.namespace))
        after = [record for record in listing.records if record.name > marker]
        document: dict[str, Any] = {"functions": [self._document(record) for record in after[:limit]]}
        if listing.malformed:
            # On each page: their writer, who did not use this API, has to know.
            document["functions_malformed"] = [malformed_document(each) for each in listing.malformed]
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
        domain = self._responder.domain_limit(asked, tenant)

        def work() -> FunctionOutcome:
            return use_cases.write_function(
                self._functions,
                tenant,
                self._platform,
                asked.name,
                wanted,
                expected=expected,
                known_secrets=lambda: self._known_secrets(tenant),
                domain=domain,
            )

        outcome = await self._run(asked, work)
        # The revision becomes ready later, or does not: the conditions say so.
        return self._answer(outcome.after, 202 if outcome.changed else 200, changed=outcome.changed)

    async def _delete(self, asked: FunctionsRequest) -> Response:
        expected, tenant = expectation_of(asked.head), await self._tenant(asked)
        triggers = await self._triggers.of_function(asked)
        await self._run(asked, lambda: use_cases.delete_function(self._functions, tenant, asked.name, expected))
        if triggers:
            return await self._triggers.end(asked, triggers)
        return Response(status_code=204, headers=UNCACHEABLE)

    async def _revisions(self, asked: FunctionsRequest) -> Response:
        tenant = await self._tenant(asked)

        def work() -> list[dict[str, Any]]:
            record = use_cases.get_function(self._functions, tenant, asked.name)
            found = self._functions.revisions(tenant.namespace, asked.name)
            return [revision_document(revision, record) for revision in found]

        return JSONResponse({"revisions": await self._run(asked, work)}, headers=UNCACHEABLE)

    async def _logs(self, asked: FunctionsRequest) -> Response:
        lines = number(asked.parameters, "tail", DEFAULT_TAIL, MAX_TAIL)
        follows = one_value(asked.parameters, "follow") or "false"
        if follows not in {"true", "false"}:
            raise malformed("'follow' must be true or false")
        tenant = await self._tenant(asked)
        if follows == "true":
            return await self._follow(asked, tenant, lines)

        def work() -> list[dict[str, Any]]:
            use_cases.get_function(self._functions, tenant, asked.name)
            return logs_document(self._functions.logs(tenant.namespace, asked.name, lines=lines))

        return JSONResponse({"logs": await self._run(asked, work)}, headers=UNCACHEABLE)

    async def _follow(self, asked: FunctionsRequest, tenant: TenantSpec, lines: int) -> Response:
        await self._run(asked, lambda: use_cases.get_function(self._functions, tenant, asked.name))
        return FollowResponse(
            LogFollow(source=self._log_source, namespace=tenant.namespace, name=asked.name, lines=lines),
            asked.call,
            self._follow_slots,
            recheck=lambda: self._responder.admission.recheck(asked.call),
            recheck_seconds=self._recheck_seconds,
        )

    async def _metrics(self, asked: FunctionsRequest) -> Response:
        tenant = await self._tenant(asked)
        record = await self._run(asked, lambda: use_cases.get_function(self._functions, tenant, asked.name))
        counts = await self._gateways.counts(tenant.namespace)
        return JSONResponse({"metrics": metrics_document(record, counts)}, headers=UNCACHEABLE)

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
        lines = number(asked.parameters, "tail", DEFAULT_TAIL, MAX_TAIL)
        tenant = await self._tenant(asked)

        def work() -> list[dict[str, Any]]:
            use_cases.get_function(self._functions, tenant, asked.name)
            return logs_document(self._functions.build_logs(tenant.namespace, asked.name, lines=lines))

        return JSONResponse({"logs": await self._run(asked, work)}, headers=UNCACHEABLE)

    async def _tenant(self, asked: FunctionsRequest) -> TenantSpec:
        return (await self._responder.tenant(asked)).spec

    async def _run(self, asked: FunctionsRequest, work: Callable[[], Result]) -> Result:
        return await self._responder.run(asked, work)

    def _known_secrets(self, tenant: TenantSpec) -> frozenset[str]:
        return frozenset(record.name for record in self._secrets.list(tenant.namespace) if record.current)

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
