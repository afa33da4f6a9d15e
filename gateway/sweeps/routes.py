"""Routes of sweeps: `POST /v1/sweeps`, their list, and the progress of one."""

from starlette.requests import Request
from starlette.responses import Response

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.checksums.service import Checksums
from gateway.errors import ErrorCode, GatewayError
from gateway.http.body import read_body
from gateway.http.context import RequestContext, context_of
from gateway.http.query import one_value, parse_query
from gateway.http.respond import answer_or_error
from gateway.objects.containers import SwiftContainers
from gateway.objects.model import ObjectRef, ObjectStore
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
from gateway.operations.preference import always_async
from gateway.operations.service import SWEEP, AsyncCall, Operations, not_found, store_errors
from gateway.policy.names import Rule
from gateway.settings import Settings
from gateway.sweeps.document import sweep_document
from gateway.sweeps.specification import MAX_BODY_BYTES, SweepSpecification, parse_sweep, stored_sweep
from operations.store import accepting, sweeps
from operations.store.model import Operation
from operations.store.model import Request as StoredRequest

_ACCEPTED = 202
_JSON = ((b"content-type", b"application/json"),)


class SweepRoutes:
    """The endpoints of sweeps."""

    def __init__(
        self,
        admission: Admission,
        operations: Operations | None,
        *,
        checksums: Checksums,
        store: ObjectStore,
        containers: SwiftContainers,
        settings: Settings,
    ) -> None:
        """`operations`: None without a database."""
        self._admission = admission
        self._operations = operations
        self._checksums = checksums
        self._store = store
        self._containers = containers
        self._settings = settings

    async def many(self, request: Request) -> Response:
        """`POST /v1/sweeps`: begins one. `GET`: those of the project, the youngest first."""
        if request.method == "POST":
            context = context_of(request.scope)
            context.route = "sweeps.create"
            return await answer_or_error(context, self._create(request, context))
        return await self._answer(request, "sweeps", self._list, Rule.SWEEPS_LIST)

    async def one(self, request: Request) -> Response:
        """`GET /v1/sweeps/{id}`: its progress, with an estimate."""

        async def work(call: Call) -> Response:
            operation_id = parse_id(request, call)
            found = await self._operation(call, operation_id)
            fields = {} if found.finished else {"Retry-After": "1"}
            return json_answer(await self._document(found), fields=fields)

        return await self._answer(request, "sweeps.one", work, Rule.SWEEPS_GET)

    async def _create(self, request: Request, context: RequestContext) -> Response:
        call = await self._admission.admit(context, Rule.SWEEPS_CREATE)
        assert call.context.head is not None
        parse_query(call.context.head.query, ())
        operations, preference = self._own, always_async(call.context.head)
        operations.check(preference)
        self._checksums.check_enabled(call)
        if self._settings.object_store == "s3":
            raise GatewayError(ErrorCode.OBJECT_UNSUPPORTED, why="a sweep needs the Swift API of the object store")
        wanted = parse_sweep(
            await read_body(request, max_bytes=MAX_BODY_BYTES),
            default_algorithms=self._settings.default_algorithms,
            part_objects=min(self._settings.sweep_part_objects, self._settings.bulk_max_objects),
            part_bytes=self._settings.sweep_part_bytes,
        )
        await self._check_places(call, wanted)
        stored = StoredRequest(method="POST", target=b"/v1/sweeps", fields=_JSON, body=stored_sweep(wanted))
        accepted = AsyncCall(
            kind=SWEEP,
            subject=wanted.subject,
            repeatable=True,
            request=stored,
            preference=preference,
            authority_seconds=self._settings.sweep_max_seconds,
        )
        async with operations.slot(call):
            operation = await operations.accept(call, accepted)
        call.context.log.operation = operation.id
        fields = {"Location": f"/v1/sweeps/{operation.id}", "Retry-After": "1"}
        return json_answer(await self._document(operation), _ACCEPTED, fields)

    async def _check_places(self, call: Call, wanted: SweepSpecification) -> None:
        """Checks what the caller may read, before the 202.

        Raises:
            GatewayError: OBJECT_NOT_FOUND, OBJECT_FORBIDDEN, SWEEP_DUMP_REJECTED, STORE_UNAVAILABLE, TOKEN_INVALID.
        """
        try:
            await self._containers.stat(call.caller, wanted.container)
            if wanted.against is not None:
                dump = ObjectRef(wanted.against.container, wanted.against.object)
                self._check_size((await self._store.stat(call.caller, dump)).size)
        except GatewayError as error:
            raise self._checksums.explained(call, error) from error.__cause__

    def _check_size(self, size: int) -> None:
        most = self._settings.sweep_dump_max_bytes
        if size > most:
            raise GatewayError(ErrorCode.SWEEP_DUMP_REJECTED, why=f"it is longer than {most} bytes")

    async def _list(self, call: Call) -> Response:
        assert call.context.head is not None
        given = parse_query(call.context.head.query, ("limit", "marker", "subject"))
        limit, marker = page_limit(one_value(given, "limit")), parse_marker(one_value(given, "marker"))
        with store_errors():
            found = await self._own.database.run(
                accepting.list_operations,
                call.caller.project_id,
                limit=limit,
                marker=marker,
                kind=SWEEP,
                subject=one_value(given, "subject"),
            )
            positions = await self._own.database.run(sweeps.positions, [each.id for each in found])
        document: dict[str, object] = {"sweeps": [sweep_document(each, positions.get(each.id)) for each in found]}
        if len(found) == limit:
            document["links"] = next_links("/v1/sweeps", given, limit=limit, last=found[-1].id)
        return json_answer(document)

    async def _operation(self, call: Call, operation_id: str) -> Operation:
        found = await self._own.find(call, operation_id)
        if found.kind != SWEEP:
            raise not_found(call, operation_id)
        return found

    async def _document(self, operation: Operation) -> dict[str, object]:
        with store_errors():
            positions = await self._own.database.run(sweeps.positions, [operation.id])
        return sweep_document(operation, positions.get(operation.id))

    @property
    def _own(self) -> Operations:
        return configured(self._operations)

    async def _answer(self, request: Request, route: str, work: Work, rule: Rule) -> Response:
        return await answer_admitted(self._admission, request, route, work, rule)
