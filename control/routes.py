"""`/v1/projects`: administration of tenants over HTTP, on the same service as `osfaas tenant`.

    GET    /v1/projects                   all of them
    GET    /v1/projects/{id}              one
    PUT    /v1/projects/{id}              onboard; if the tenant exists, change the given fields
    PATCH  /v1/projects/{id}              change; `suspended` suspends or resumes, `offboarding: null` cancels removal
    DELETE /v1/projects/{id}              first step of removal (`grace_seconds`); with `confirm=true` the second

Every write accepts `dry_run=true` and then returns what would be stored.
"""

import asyncio
import datetime as dt
import re
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from control.administrator import Administrator, Administrators
from control.audit import audit_event
from control.document import ProjectChange, document_of, parse_change
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.http.body import json_of, read_body
from gateway.http.context import context_of
from gateway.http.query import parse_query
from gateway.http.respond import answer_or_error
from gateway.policy.names import Rule
from gateway.telemetry.cadf import record
from policies.names import ProjectId
from tenancy import use_cases
from tenancy.keystone_projects import Projects
from tenancy.model.errors import (
    AdministrationError,
    ClusterError,
    ConflictError,
    NoSuchProjectError,
    NotOnboardedError,
    ProjectsError,
    RecordError,
    UnavailableError,
)
from tenancy.repository import TenantRepository

MAX_BODY_BYTES = 65_536
# An ignored misspelling of `dry_run` would execute the change.
PARAMETERS = {"PUT": ("dry_run",), "PATCH": ("dry_run",), "DELETE": ("dry_run", "grace_seconds", "confirm")}
_PROJECT = re.compile(r"[A-Za-z0-9_.:@-]{1,64}")
_LONGEST_GRACE_SECONDS = 10 * 366 * 86_400

Result = TypeVar("Result")


class ProjectRoutes:
    """Endpoints of the administrators' API. The service blocks, so it runs in threads."""

    def __init__(self, administrators: Administrators, tenants: TenantRepository, projects: Projects) -> None:
        self._administrators = administrators
        self._tenants = tenants
        self._projects = projects

    async def collection(self, request: Request) -> Response:
        """`GET /v1/projects`."""
        return await self._respond(request, Rule.PROJECTS_LIST, "projects", self._list)

    async def item(self, request: Request) -> Response:
        """`GET|PUT|PATCH|DELETE /v1/projects/{id}`."""
        rule, work = {
            "PUT": (Rule.PROJECTS_ONBOARD, self._onboard),
            "PATCH": (Rule.PROJECTS_UPDATE, self._change),
            "DELETE": (Rule.PROJECTS_OFFBOARD, self._offboard),
        }.get(request.method, (Rule.PROJECTS_GET, self._show))
        return await self._respond(request, rule, "project", work)

    async def _respond(
        self, request: Request, rule: Rule, route: str, work: Callable[[Request], Coroutine[Any, Any, Response]]
    ) -> Response:
        context = context_of(request.scope)
        context.route = route

        administrator: Administrator | None = None

        async def answer() -> Response:
            nonlocal administrator
            assert context.head is not None
            administrator = await self._administrators.administrator_of(context.head, rule)
            context.log.user_id = administrator.user_id
            parse_query(context.head.query, PARAMETERS.get(request.method, ()))
            return await work(request)

        response = await answer_or_error(context, answer())
        event = audit_event(
            administrator,
            request.method,
            request.path_params.get("project"),
            response.status_code,
            request_id=context.request_id,
            parameters=request.query_params,
        )
        record(event)
        return response

    async def _list(self, _request: Request) -> Response:
        records = await _in_thread(lambda: use_cases.list_tenants(self._tenants))
        return JSONResponse({"projects": [document_of(record) for record in records]}, headers=UNCACHEABLE)

    async def _show(self, request: Request) -> Response:
        project = _project(request)
        record = await _in_thread(lambda: use_cases.get_tenant(self._tenants, project))
        return JSONResponse({"project": document_of(record)}, headers=UNCACHEABLE)

    async def _onboard(self, request: Request) -> Response:
        project, dry_run = _project(request), _flag(request, "dry_run")
        change = parse_change(
            json_of(await read_body(request, max_bytes=MAX_BODY_BYTES) or b'{"project": {}}'), states=False
        )

        def work() -> use_cases.Outcome:
            found = self._projects.by_id(project)
            return use_cases.onboard(self._tenants, found, change.patch, dry_run=dry_run)

        outcome = await _in_thread(work)
        return _answer(outcome, created=outcome.before is None and not dry_run)

    async def _change(self, request: Request) -> Response:
        project, dry_run = _project(request), _flag(request, "dry_run")
        change = parse_change(json_of(await read_body(request, max_bytes=MAX_BODY_BYTES)), states=True)
        steps = change_steps(change)
        if len(steps) != 1:
            # Several would be several writes, and the second could fail after the first.
            raise GatewayError(
                ErrorCode.REQUEST_MALFORMED,
                why="a request must change exactly one of the specification, 'suspended' and 'offboarding'",
            )
        step = steps[0]
        return _answer(await _in_thread(lambda: step(self._tenants, project, dry_run)))

    async def _offboard(self, request: Request) -> Response:
        project, dry_run, now = _project(request), _flag(request, "dry_run"), dt.datetime.now(dt.UTC)
        grace_seconds = _grace_seconds(request)

        def work() -> use_cases.Outcome:
            if _flag(request, "confirm"):
                return use_cases.confirm_offboarding(self._tenants, project, now=now, dry_run=dry_run)
            return use_cases.offboard(self._tenants, project, now=now, grace_seconds=grace_seconds, dry_run=dry_run)

        return _answer(await _in_thread(work), status=200 if dry_run else 202)


Step = Callable[[TenantRepository, ProjectId, bool], use_cases.Outcome]


def change_steps(change: ProjectChange) -> list[Step]:
    """The steps of a PATCH."""
    steps: list[Step] = []
    if change.patch != use_cases.TenantPatch():
        steps.append(lambda tenants, project, dry: use_cases.update(tenants, project, change.patch, dry_run=dry))
    if change.suspends:
        reason = change.suspended
        if reason is None:
            steps.append(lambda tenants, project, dry: use_cases.resume(tenants, project, dry_run=dry))
        else:
            steps.append(lambda tenants, project, dry: use_cases.suspend(tenants, project, reason, dry_run=dry))
    if change.cancels_offboarding:
        steps.append(lambda tenants, project, dry: use_cases.cancel_offboarding(tenants, project, dry_run=dry))
    return steps


async def _in_thread(work: Callable[[], Result]) -> Result:
    try:
        return await asyncio.to_thread(work)
    except (NotOnboardedError, NoSuchProjectError) as error:
        raise GatewayError(ErrorCode.PROJECT_NOT_FOUND, why=str(error)) from error
    except (AdministrationError, ConflictError) as error:
        raise GatewayError(ErrorCode.PROJECT_CONFLICT, why=str(error)) from error
    except ProjectsError as error:
        raise GatewayError(ErrorCode.KEYSTONE_UNAVAILABLE) from error
    except UnavailableError as error:
        raise GatewayError(ErrorCode.KUBERNETES_UNAVAILABLE) from error
    except (ClusterError, RecordError) as error:
        raise GatewayError(ErrorCode.TENANT_REJECTED, why=str(error)[:400]) from error


def _answer(outcome: use_cases.Outcome, *, created: bool = False, status: int = 200) -> Response:
    document = {"project": document_of(outcome.after), "changed": outcome.changed}
    return JSONResponse(document, 201 if created else status, headers=UNCACHEABLE)


def _project(request: Request) -> ProjectId:
    project = request.path_params["project"]
    if not _PROJECT.fullmatch(project):
        raise GatewayError(ErrorCode.ROUTE_NOT_FOUND)
    return ProjectId(project)


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false").lower()
    if value not in {"true", "false"}:
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why=f"the parameter '{name}' must be true or false")
    return value == "true"


def _grace_seconds(request: Request) -> int:
    value = request.query_params.get("grace_seconds", str(use_cases.DEFAULT_GRACE_SECONDS))
    if not (value.isascii() and value.isdecimal() and len(value) < 12 and int(value) <= _LONGEST_GRACE_SECONDS):  # noqa: PLR2004
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="'grace_seconds' must be seconds, at most ten years")
    return int(value)
