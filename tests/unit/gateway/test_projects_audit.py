"""Administrators' calls leave a CADF record, refused or not, by whomever."""

import json
import logging
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control.administrator import Administrator
from control.audit import audit_event
from control.routes import ProjectRoutes
from gateway.errors import ErrorCode, GatewayError
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.policy.names import Rule
from gateway.settings.server import RequestSettings
from tenancy.model.errors import UnavailableError

ADMIN = Administrator("u", "root", "system")


class Administrators:
    def __init__(self, known: Administrator | None) -> None:
        self._known = known

    async def administrator_of(self, _head: Any, rule: Rule) -> Administrator:
        if self._known is None:
            raise GatewayError(ErrorCode.ADMIN_REQUIRED, rule=rule)
        return self._known


class AwayTenants:
    def __getattr__(self, name: str) -> Any:
        def away(*_: Any, **__: Any) -> Any:
            raise UnavailableError("the API server is away")

        return away


async def called(
    method: str, path: str, known: Administrator | None, caplog: pytest.LogCaptureFixture
) -> tuple[int, dict[str, Any]]:
    routes = ProjectRoutes(Administrators(known), AwayTenants(), AwayTenants())  # type: ignore[arg-type]

    async def item(request: Request) -> Response:
        return await routes.item(request)

    async def collection(request: Request) -> Response:
        return await routes.collection(request)

    app = Starlette(
        routes=[
            Route("/v1/projects", collection),
            Route("/v1/projects/{project}", item, methods=["GET", "PUT", "PATCH", "DELETE"]),
        ]
    )
    outer = RequestMiddleware(app, RequestSettings(head_max_bytes=9_999, head_max_fields=99), Metrics())
    with caplog.at_level(logging.INFO):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://faas.test") as client:
            answer = await client.request(method, path, headers={"X-Auth-Token": "very-secret"})
    (record,) = [record for record in caplog.records if record.name == "gateway.audit"]
    assert "very-secret" not in caplog.text
    document = json.loads(record.getMessage())
    assert document["tags"][0] == f"request_id={answer.headers['X-Openstack-Request-Id']}"
    return answer.status_code, document


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_call_of_somebody_who_is_no_administrator_leaves_a_record(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    status, event = await called(method, "/v1/projects/p", None, caplog)
    assert status == 403
    assert (event["outcome"], event["reason"]["reasonCode"]) == ("failure", "403")
    assert event["initiator"]["id"] == "unknown"


async def test_call_that_fails_leaves_a_record_of_who_tried_what(caplog: pytest.LogCaptureFixture) -> None:
    status, event = await called("DELETE", "/v1/projects/p?confirm=true&dry_run=true", ADMIN, caplog)
    assert status == 503
    assert (event["action"], event["outcome"]) == ("delete", "failure")
    assert event["initiator"] == {
        "id": "u",
        "typeURI": "service/security/account/user",
        "name": "root",
        "scope": "system",
    }
    assert event["target"] == {"id": "p", "typeURI": "data/security/project"}
    assert event["tags"][1:] == ["confirm=true", "dry_run=true"]


@pytest.mark.parametrize("query", ["dry-run=true", "dryrun=true", "grace_second=1", "algorithm=md5"])
async def test_misspelt_parameter_is_refused_before_anything_is_done(
    query: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Passed over, it would be a removal where only the look at one was wanted."""
    status, event = await called("DELETE", f"/v1/projects/p?confirm=true&{query}", ADMIN, caplog)
    assert (status, event["reason"]["reasonCode"]) == (400, "400")
    for method in ("GET", "PUT", "PATCH"):
        caplog.clear()
        assert (await called(method, f"/v1/projects/p?{query}", ADMIN, caplog))[0] == 400
    caplog.clear()
    assert (await called("GET", f"/v1/projects?{query}", ADMIN, caplog))[0] == 400


async def test_list_is_recorded_against_all_projects(caplog: pytest.LogCaptureFixture) -> None:
    _, event = await called("GET", "/v1/projects", ADMIN, caplog)
    assert (event["action"], event["target"]["id"]) == ("read/list", "all")


@pytest.mark.parametrize(
    ("method", "status", "action"),
    [("PUT", 201, "create"), ("PUT", 200, "update"), ("PATCH", 200, "update"), ("DELETE", 202, "delete")],
)
def test_action_is_one_of_cadfs(method: str, status: int, action: str) -> None:
    event = audit_event(ADMIN, method, "p", status, request_id="req-1", parameters={"confirm": "false"})
    assert (event.action, event.tags) == (action, [])
