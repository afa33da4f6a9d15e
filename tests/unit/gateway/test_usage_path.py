"""A call from its admission to the sums: real routes, function, recorder and database; Keystone is a stand-in."""

import asyncio
import base64
import contextlib
import dataclasses
import json
import logging
import ssl
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.calls.admission import Admission
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.identity.authenticate import Authenticator
from gateway.identity.cache import TokenCache
from gateway.identity.caller import Caller
from gateway.identity.permissions import Permissions
from gateway.invoke.objects import ObjectInvocations
from gateway.invoke.proxy import Proxy
from gateway.invoke.routes import METHODS, InvokeRoutes
from gateway.limits.backend import InMemoryLimitBackend
from gateway.limits.limiter import ProjectLimiter
from gateway.operations.acceptance import AsyncCalls
from gateway.policy.policy import Policy
from gateway.settings.identity import IdentitySettings
from gateway.settings.limits import LimitSettings
from gateway.settings.server import RequestSettings
from gateway.settings.upstream import FunctionSettings
from gateway.settings.usage import UsageSettings
from gateway.upstream.diagnostics import FunctionDiagnostics
from gateway.upstream.function_client import FunctionClient
from gateway.usage.answer import UsageReader
from gateway.usage.recorder import UsageRecorder
from gateway.usage.routes import UsageRoutes
from operations.store.database import Database
from operations.store.schema import usage_records
from operations.store.upgrade import upgrade
from policies.model import Limits
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import FunctionAddress, Tenant


def token(number: int) -> str:
    """A Fernet token as Keystone makes them, of now."""
    raw = struct.pack(">BQ", 0x80, int(time.time())) + bytes(16 + 64 + 31) + bytes([number])
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Edge:
    """The layers that a call passes, with two projects, `p0` and `p1`."""

    def __init__(self, url: str, functions: FunctionClient, database: Database) -> None:
        self.url, self.limits, self.metrics = url, Limits(), Metrics()
        settings = IdentitySettings()
        authenticator = Authenticator(
            TokenCache(self._validate, settings),
            settings,
            Permissions(Policy(None), settings),
            auth_url="https://k.test/v3",
        )
        limiter = ProjectLimiter(InMemoryLimitBackend(), LimitSettings(limit_wait_seconds=0), self.metrics)
        admission = Admission(authenticator, self, limiter)
        proxy = Proxy(functions, FunctionDiagnostics(self), recheck=admission.recheck, recheck_seconds=30)
        self.recorder = UsageRecorder(UsageSettings(), self.metrics)
        invoke = InvokeRoutes(
            admission=admission,
            proxy=proxy,
            limiter=limiter,
            objects=ObjectInvocations(binder=cast("Any", None), proxy=proxy, limiter=limiter, most=1),
            body_max_bytes=5_000,
            asynchronous=AsyncCalls(None, body_max_bytes=1),
        )
        usage = UsageRoutes(admission, limiter, UsageReader(database, public_url="https://faas.test"))

        class Invoke:
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                await invoke.answer(scope, receive, send)

        app = Starlette(
            routes=[Route("/v1/invoke/{rest:path}", Invoke(), methods=METHODS), Route("/v1/usage", usage.show)]
        )
        self.app = RequestMiddleware(app, RequestSettings(), self.metrics, on_end=self.recorder.record_end)

    async def _validate(self, text: str) -> Caller:
        number = next(each for each in range(2) if token(each)[-4:] == text[-4:])
        return Caller(
            token=text,
            user_id=f"u{number}",
            user_name="u",
            project_id=ProjectId(f"p{number}"),
            project_name="p",
            roles=frozenset(["member"]),
            expires_at=time.time() + 600,
            service_types=frozenset(["function"]),
        )

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        address = FunctionAddress(self.url, callable=True, revision="hello-1", memory_mib=512)
        return Tenant(project_id, NamespaceName("n"), {"hello": address}, None, self.limits)

    def sync_age_seconds(self) -> float | None:
        return 0.0

    async def call(self, method: str, path: str, project: int = 0, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://faas.test") as client:
            return await client.request(method, path, headers={"X-Auth-Token": token(project)}, **more)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if b"content-length: 100" in head.lower():
        await reader.readexactly(1_000)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + bytes(300))
    await writer.drain()
    writer.close()


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[SimpleNamespace]:
    database = Database(f"sqlite:///{tmp_path}/usage.db", connections=1)
    upgrade(database.engine)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with contextlib.AsyncExitStack() as stack:
        functions = await stack.enter_async_context(FunctionClient(FunctionSettings(), ssl.create_default_context()))
        made = Edge(url, functions, database)
        await stack.enter_async_context(made.recorder.running(database.run))

        async def records() -> list[Any]:
            assert await made.recorder.flush()
            with database.engine.begin() as connection:
                return list(connection.execute(select(usage_records).order_by(usage_records.c.status)).mappings())

        yield SimpleNamespace(edge=made, records=records)
    server.close()
    database.close()


async def test_call_leaves_one_record_with_what_the_log_says(
    edge: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = await edge.edge.call("POST", "/v1/invoke/hello/x", content=bytes(1_000))
    assert answer.status_code == 200
    (row,) = await edge.records()
    assert (row["id"], row["project_id"], row["user_id"]) == (answer.headers["X-Openstack-Request-Id"], "p0", "u0")
    assert (row["function"], row["revision"], row["outcome"]) == ("hello", "hello-1", "answered")
    assert (row["request_bytes"], row["response_bytes"], row["object_bytes"]) == (1_000, 300, 0)
    assert row["duration_ms"] >= row["function_ms"] > 0
    assert abs(row["mib_ms"] - 512 * row["function_ms"]) <= 512
    (line,) = [json.loads(each.getMessage()) for each in caplog.records if each.name == "gateway.access"]
    assert (line["request_id"], line["request_bytes"], line["response_bytes"]) == (row["id"], 1_000, 300)
    assert line["gb_seconds"] == pytest.approx(row["mib_ms"] / 1024 / 1000, abs=0.001)


async def test_name_that_only_the_caller_knows_is_not_stored(edge: SimpleNamespace) -> None:
    """Each would be a row of the sums for as long as they are kept."""
    for number in range(3):
        assert (await edge.edge.call("GET", f"/v1/invoke/none{number}/x")).status_code == 404
    assert [(row["function"], row["outcome"]) for row in await edge.records()] == [("", "refused")] * 3


async def test_call_over_the_rate_limit_leaves_nothing(edge: SimpleNamespace) -> None:
    """It was charged nothing: what it left would be free for an attacker."""
    edge.edge.limits = dataclasses.replace(edge.edge.limits, requests_per_second=1)
    statuses = [(await edge.edge.call("GET", "/v1/invoke/hello/x")).status_code for _ in range(60)]
    assert statuses.count(429) > 0
    assert len(await edge.records()) == statuses.count(200)


async def test_body_that_is_too_long_counts_what_was_read(edge: SimpleNamespace) -> None:
    assert (await edge.edge.call("POST", "/v1/invoke/hello/x", content=bytes(5_001))).status_code == 413
    (row,) = await edge.records()
    assert (row["outcome"], row["function_ms"], row["request_bytes"]) == ("refused", 0, 0)


async def test_members_see_their_own_project_and_pay_for_the_question(edge: SimpleNamespace) -> None:
    for _ in range(2):
        await edge.edge.call("GET", "/v1/invoke/hello/x")
    await edge.edge.call("GET", "/v1/invoke/hello/x", project=1)
    await edge.records()
    answer = await edge.edge.call("GET", "/v1/usage?group_by=user,function")
    assert [(row["user_id"], row["calls"]) for row in answer.json()["usage"]] == [("u0", 2)]
    assert "RateLimit" in answer.headers
    other = await edge.edge.call("GET", "/v1/usage?group_by=user", project=1)
    assert [(row["user_id"], row["calls"]) for row in other.json()["usage"]] == [("u1", 1)]
    assert (await edge.edge.call("GET", "/v1/usage?project_id=p0", project=1)).status_code == 400
    # A question about usage is no call.
    assert len(await edge.records()) == 3
