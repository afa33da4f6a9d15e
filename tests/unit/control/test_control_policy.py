"""Each route of the administrators' API, and each right in the registry, asks its policy rule."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control.registry.login import Client
from control.registry.routes import RegistryTokenRoute
from control.registry.scopes import Scope
from control.routes import ProjectRoutes
from gateway.errors import ErrorCode, GatewayError
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.identity.caller import Caller
from gateway.identity.permissions import Permissions
from gateway.policy.names import Rule
from gateway.policy.policy import Policy
from gateway.settings import Settings
from policies.names import ProjectId

OWN = "a" * 32


class Refusing:
    """Nobody is an administrator."""

    async def administrator_of(self, _head: Any, rule: Rule) -> Any:
        raise GatewayError(ErrorCode.ADMIN_REQUIRED, rule=rule)


@pytest.mark.parametrize(
    ("method", "path", "rule"),
    [
        ("GET", "/v1/projects", Rule.PROJECTS_LIST),
        ("GET", "/v1/projects/p", Rule.PROJECTS_GET),
        ("PUT", "/v1/projects/p", Rule.PROJECTS_ONBOARD),
        ("PATCH", "/v1/projects/p", Rule.PROJECTS_UPDATE),
        ("DELETE", "/v1/projects/p", Rule.PROJECTS_OFFBOARD),
    ],
)
async def test_route_of_administrators_asks_its_rule(method: str, path: str, rule: Rule) -> None:
    routes = ProjectRoutes(Refusing(), None, None)  # type: ignore[arg-type]

    async def collection(request: Request) -> Response:
        return await routes.collection(request)

    async def item(request: Request) -> Response:
        return await routes.item(request)

    methods = ["GET", "PUT", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/v1/projects", collection), Route("/v1/projects/{project}", item, methods=methods)])
    transport = httpx.ASGITransport(RequestMiddleware(app, Settings(), Metrics()))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin.test") as client:
        response = await client.request(method, path)
    assert response.status_code == 403
    assert f"policy rule '{rule}'" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("text", "roles", "granted"),
    [
        (None, ["reader"], ("pull",)),
        (None, ["member"], ("pull", "push")),
        (None, ["other"], ()),
        ('"registry:pull": "!"', ["member"], ("push",)),
        ('"registry:push": "!"', ["member"], ("pull",)),
        ('"registry:push": "role:builder"', ["member", "builder"], ("pull", "push")),
    ],
)
def test_rules_of_the_registry_decide_what_a_user_gets(
    tmp_path: Path, text: str | None, roles: list[str], granted: tuple[str, ...]
) -> None:
    path = None if text is None else tmp_path / "policy.yaml"
    if path is not None:
        path.write_text(text)
    settings, unused = Settings(), None
    route = RegistryTokenRoute(
        unused,  # type: ignore[arg-type]
        unused,  # type: ignore[arg-type]
        unused,  # type: ignore[arg-type]
        unused,  # type: ignore[arg-type]
        settings,
        permissions=Permissions(Policy(path), settings),
    )
    caller = Caller(
        token="t",
        user_id="u",
        user_name="alice",
        project_id=ProjectId(OWN),
        project_name="atlas",
        roles=frozenset(roles),
        expires_at=0,
    )
    assert route._granted(Client(caller), Scope("repository", f"{OWN}/x", ("pull", "push"))) == granted
