"""The beginning and end of all routes of `/v1/functions` and `/v1/secrets`: admission, response, audit event."""

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from control.functions.audit import audit_event
from control.functions.fields import malformed
from control.functions.work import FUNCTIONS, ClusterWork
from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import context_of
from gateway.http.head import RequestHead
from gateway.http.query import one_value, parse_query
from gateway.http.respond import answer_or_error
from gateway.limits.unified import ProjectLimits
from gateway.policy.names import Rule
from gateway.telemetry.cadf import record as record_event
from policies.model import TenantSpec
from policies.own_function import MAX_NAME
from tenancy.directory.protocol import DomainDirectory
from tenancy.function_domain import DomainLimit
from tenancy.model.record import TenantRecord
from tenancy.repository import TenantRepository

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
        """The name of the function or secret in the path."""
        return str(self.request.path_params["name"])


Result = TypeVar("Result")
Work = Callable[[FunctionsRequest], Coroutine[Any, Any, Response]]


class Responder:
    """Admits requests and runs their work. Kubernetes' client blocks, so it runs in threads (`ClusterWork`)."""

    def __init__(
        self, admission: Admission, tenants: TenantRepository, limits: ProjectLimits, directory: DomainDirectory
    ) -> None:
        self.admission = admission
        self._limits = limits
        self._directory = directory
        self._tenants = tenants
        self._work = ClusterWork()

    async def respond(
        self, request: Request, rule: Rule, work: Work, parameters: tuple[str, ...] = (), *, target: str = "function"
    ) -> Response:
        """The response to a request.

        Args:
            request: of anybody; its path may have a name.
            rule: the policy rule of the route.
            work: of the route.
            parameters: that the query may have.
            target: what the path names, for the audit: `function` or `secret`.
        """
        context = context_of(request.scope)
        context.route = f"{target}s"
        call: Call | None = None

        async def answer() -> Response:
            nonlocal call
            head = context.head
            assert head is not None
            name = request.path_params.get("name")
            if name is not None and not _NAME.fullmatch(name):
                raise GatewayError(ErrorCode.ROUTE_NOT_FOUND)
            if target == "function":
                context.log.function = name
            call = await self.admission.admit(context, rule)
            return await work(FunctionsRequest(call, head, request, parse_query(head.query, parameters)))

        response = await answer_or_error(context, answer())
        if request.method in _WRITES:
            caller = call.caller if call else None
            # PUT creates or replaces, which is not known if it is refused.
            action = _ACTIONS.get(request.method, "update")
            # A trigger's path has two names.
            name, status = "/triggers/".join(map(str, request.path_params.values())), response.status_code
            record_event(audit_event(caller, action, name, status, request_id=context.request_id, target=target))
        return response

    async def run(self, asked: FunctionsRequest, work: Callable[[], Result]) -> Result:
        """The result of work that blocks.

        Raises:
            GatewayError: see `ClusterWork.run`.
        """
        name = asked.request.path_params.get("name", "")
        return await self._work.run(asked.call.caller.project_id, name, work)

    async def tenant(self, asked: FunctionsRequest) -> TenantRecord:
        """The tenant's record, with the limits in force; the directory has not all of it."""
        caller = asked.call.caller
        project_id = caller.project_id
        record = await self.run(asked, lambda: self._tenants.get(project_id))
        if record is None:
            raise GatewayError(ErrorCode.TENANT_NOT_ONBOARDED, project_id=project_id)
        limits = self._limits.of(project_id, caller.domain_id, record.spec.limits).limits
        return record if limits == record.spec.limits else replace(record, spec=replace(record.spec, limits=limits))

    def domain_limit(self, asked: FunctionsRequest, tenant: TenantSpec) -> DomainLimit | None:
        """How many functions the projects of the caller's domain share; None: they share no limit."""
        domain_id = asked.call.caller.domain_id
        limit = self._limits.of(tenant.project_id, domain_id, tenant.limits).domain.get(FUNCTIONS.field)
        if limit is None:
            return None
        others = self._directory.namespaces_in(domain_id) - {tenant.namespace}
        return DomainLimit(domain_id=domain_id, limit=limit, others=others)


def number(parameters: dict[str, list[str]], name: str, usual: int, most: int) -> int:
    """The value of a parameter, from 1 to `most`.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    value = one_value(parameters, name)
    if value is None:
        return usual
    if not (value.isascii() and value.isdecimal() and len(value) < 6 and 1 <= int(value) <= most):  # noqa: PLR2004
        raise malformed(f"'{name}' must be a number from 1 to {most}")
    return int(value)
