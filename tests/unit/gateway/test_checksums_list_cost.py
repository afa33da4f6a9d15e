"""What lists and events count for, and when: before their body is read, before it is parsed, before each entry."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.calls.call import Call
from gateway.checksums.bulk import MAX_INVALID_ENTRIES
from gateway.checksums.bulk_routes import BulkRoutes
from gateway.checksums.content_budget import ContentBudget
from gateway.checksums.list_slots import LEAST_BYTES, ListSlots
from gateway.checksums.service import ChecksumRequest
from gateway.errors import ErrorCode, GatewayError
from gateway.events.flow import EventFlow
from gateway.events.routes import EventRoutes
from gateway.http.context import RequestContext
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.identity.caller import Caller
from gateway.limits.model import LimitSubject
from gateway.operations.acceptance import AsyncCalls
from gateway.policy.names import Rule
from gateway.settings.limits import ChecksumSettings
from gateway.settings.server import RequestSettings
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import Tenant

CALLER = Caller("t", "u", "alice", ProjectId("p"), "demo", frozenset(["member"]), 0)
TENANT = Tenant(ProjectId("p"), NamespaceName("faas-p"), {})
ONE = {"container": "c", "object": "o"}
RULES = ChecksumSettings(
    default_algorithms=("md5",), bulk_body_max_bytes=1 << 21, bulk_max_objects=10_000, bulk_concurrency=8
)


class Flow:
    """Admits everybody, finds no object, and counts."""

    def __init__(self) -> None:
        self.counted = 0
        self.asked = 0
        self.refusing: ErrorCode | None = None
        self.short = True
        self.lines = ContentBudget(1 << 25)

    async def admit(self, context: RequestContext, rule: Rule, *, services: bool) -> Call:
        assert services
        assert rule in {Rule.CHECKSUMS_LIST, Rule.EVENTS_SEND}
        subject = LimitSubject(CALLER.project_id, CALLER.user_id)
        call = Call(caller=CALLER, tenant=TENANT, subject=subject, context=context, rule=Rule.CHECKSUMS_GET)
        await self.count(call)
        return call

    async def count(self, _call: Call, requests: int = 1) -> None:
        self.counted += requests

    async def fire(self, *_arguments: object, **_options: object) -> None:
        """No project has a trigger."""

    def may_read(self, _call: Call) -> bool:
        return self.short

    async def answers(self, parts: Sequence[tuple[Call, ChecksumRequest]]) -> list[GatewayError]:
        self.asked += len(parts)
        return [GatewayError(ErrorCode.OBJECT_NOT_FOUND) for _ in parts]

    async def answer(self, _call: Call, _request: ChecksumRequest) -> Any:
        self.asked += 1
        raise GatewayError(ErrorCode.OBJECT_NOT_FOUND)


class Harness:
    """Both routes, with the layers that they need."""

    def __init__(self, *, process_bytes: int = 1 << 25) -> None:
        self.flow: Any = Flow()
        limits = ChecksumSettings.model_construct(
            bulk_body_max_bytes=RULES.bulk_body_max_bytes, bulk_project_bytes=1 << 23, bulk_process_bytes=process_bytes
        )
        self.slots = ListSlots(limits)
        asynchronous = AsyncCalls(None, body_max_bytes=1)
        bulk = BulkRoutes(self.flow, self.flow, self.flow, RULES, self.slots, asynchronous=asynchronous)
        flow = EventFlow(self.flow, entries=10)
        events = EventRoutes(self.flow, flow, self.flow, settings=RULES, slots=self.slots, metrics=Metrics())
        app = Starlette(
            routes=[
                Route("/v1/checksums", bulk.many, methods=["POST"]),
                Route("/v1/events", events.receive, methods=["POST"]),
            ]
        )
        self.app = RequestMiddleware(app, RequestSettings(head_max_bytes=32_768, head_max_fields=100), Metrics())

    async def post(self, path: str, content: Any) -> httpx.Response:
        body = content if isinstance(content, AsyncIterator) else json.dumps(content).encode()
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.post(path, content=body, headers={"Content-Type": "application/json"})


def record(number: int, **more: Any) -> dict[str, Any]:
    return {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": f"k{number}", **more}}}


async def test_list_that_is_none_counts_by_its_length_and_nothing_is_asked() -> None:
    harness = Harness()
    answer = await harness.post("/v1/checksums", {"objects": [ONE, 1], "algorithms": ["x" * 700_000]})
    assert (answer.status_code, harness.flow.counted, harness.flow.asked) == (400, 11, 0)


@pytest.mark.parametrize("short", [True, False])
async def test_each_entry_counts_whether_or_not_it_names_an_object(short: bool) -> None:
    harness = Harness()
    harness.flow.short = short
    invalid_entries = [{"container": "a/b", "object": "o"}] * MAX_INVALID_ENTRIES
    answer = await harness.post("/v1/checksums", {"objects": [*invalid_entries, ONE, ONE]})
    assert len(answer.text.splitlines()) == MAX_INVALID_ENTRIES + 2
    assert (harness.flow.counted, harness.flow.asked) == (MAX_INVALID_ENTRIES + 2, 2)


@pytest.mark.parametrize("short", [True, False])
async def test_what_counted_by_length_is_not_counted_again(short: bool) -> None:
    harness = Harness()
    harness.flow.short = short
    names = [{"container": "c", "object": "o" * 1_000}] * 200
    assert (await harness.post("/v1/checksums", {"objects": names})).status_code == 200
    assert (harness.flow.counted, harness.flow.asked) == (200, 200)


async def test_each_event_counts_before_work_is_done_for_it() -> None:
    harness = Harness()
    assert (await harness.post("/v1/events", {"Records": [record(number) for number in range(50)]})).status_code == 204
    assert (harness.flow.counted, harness.flow.asked) == (50, 50)


async def test_events_that_are_none_count_by_their_length() -> None:
    harness = Harness()
    answer = await harness.post("/v1/events", {"Records": [record(1), {"s3": "x" * 700_000}]})
    assert (answer.status_code, harness.flow.counted, harness.flow.asked) == (400, 11, 0)


@pytest.mark.parametrize("path", ["/v1/checksums", "/v1/events"])
async def test_body_is_not_read_without_a_slot_and_none_is_kept_after_the_answer(path: str) -> None:
    harness = Harness(process_bytes=LEAST_BYTES)
    pieces = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal pieces
        pieces += 1
        yield b"{}"

    with harness.slots.slot(CALLER, 1):
        refused = await harness.post(path, body())
    assert (refused.status_code, "retry-after" in refused.headers, pieces) == (429, True, 0)
    assert refused.json()["errors"][0]["code"] == "bulk.exceeded"
    assert harness.slots.taken == 0
    answers = [await harness.post(path, {"objects": [ONE]}), await harness.post(path, {"Records": [record(1)]})]
    assert {answer.status_code for answer in answers} <= {200, 204, 400}
    assert harness.slots.taken == 0
