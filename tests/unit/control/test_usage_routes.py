"""Administrators see the usage of all projects; nobody else does, and the store is not asked for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from control.administrator import Administrator
from control.usage import AdminUsageRoutes
from gateway.errors import ErrorCode, GatewayError
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.identity.tokens import token_of
from gateway.policy.names import Rule
from gateway.settings.server import RequestSettings
from gateway.usage.answer import UsageReader
from operations.store import usage
from operations.store.database import Database
from operations.store.upgrade import upgrade
from operations.store.usage import CallRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = 1_793_491_200_000  # 2026-11-01


class Administrators:
    """Knows one token."""

    async def administrator_of(self, head: Any, rule: Rule) -> Administrator:
        assert rule is Rule.USAGE_GET_ALL
        if token_of(head) != "admin":
            raise GatewayError(ErrorCode.ADMIN_REQUIRED, rule=rule)
        return Administrator("root", "root", "system")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/usage.db", connections=1)
    upgrade(made.engine)
    names = CallRecord.__dataclass_fields__
    for number, project in enumerate(["a", "a", "b"]):
        values = {name: 0 if str(names[name].type) == "int" or names[name].type is int else "x" for name in names}
        values |= {"id": f"req-{number}", "project_id": project, "started_at": START, "cold_start": False}
        made.run_here(usage.store, [CallRecord(**values)])
    yield made
    made.close()


async def ask(database: Database | None, query: str = "", token: str = "admin") -> httpx.Response:
    routes = AdminUsageRoutes(Administrators(), UsageReader(database, public_url="https://admin.test"))  # type: ignore[arg-type]
    app = Starlette(routes=[Route("/v1/usage", routes.show)])
    edge = RequestMiddleware(app, RequestSettings(), Metrics())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://admin.test") as client:
        return await client.get(f"/v1/usage?start=2026-11-01&end=2026-11-02&{query}", headers={"X-Auth-Token": token})


class Untouchable:
    """A database that fails the test if it is asked."""

    async def run(self, *_: Any) -> None:
        pytest.fail("the store was asked")


async def test_others_are_refused_before_the_store_is_asked() -> None:
    response = await ask(Untouchable(), token="member")  # type: ignore[arg-type]
    assert response.status_code == ErrorCode.ADMIN_REQUIRED.status
    assert response.json()["errors"][0]["code"] == ErrorCode.ADMIN_REQUIRED.code


async def test_sums_of_all_projects_or_of_one(database: Database) -> None:
    rows = (await ask(database, "group_by=project")).json()["usage"]
    assert [(row["project_id"], row["calls"]) for row in rows] == [("a", 2), ("b", 1)]
    (row,) = (await ask(database, "project_id=b")).json()["usage"]
    assert row["calls"] == 1


async def test_pages_link_to_the_next_one_at_the_public_url(database: Database) -> None:
    first = (await ask(database, "group_by=project&limit=1")).json()
    href = first["usage_links"][0]["href"]
    assert href.startswith("https://admin.test/v1/usage?start=2026-11-01&")
    second = (await ask(database, href.partition("?")[2].partition("end=2026-11-02&")[2])).json()
    assert ([row["project_id"] for row in second["usage"]], second["usage_links"]) == (["b"], [])


async def test_without_a_database_it_says_what_is_missing() -> None:
    response = await ask(None)
    assert (response.status_code, "OSFAAS_DATABASE_URL" in response.text) == (501, True)


async def test_database_that_is_away_is_a_temporary_error(tmp_path: Path) -> None:
    away = Database(f"sqlite:///{tmp_path}/none/usage.db", connections=1, retry_seconds=0)
    response = await ask(away)
    away.close()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
