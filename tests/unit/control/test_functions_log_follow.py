"""Logs that are followed: what is sent, and what ends a stream."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from control.functions.log_follow import MAX_LINE, FollowLimits, FollowSlots, LogFollow
from gateway.errors import ErrorCode, GatewayError
from policies.names import ProjectId
from tenancy.function_repository import LogContainer
from tenancy.model.errors import NoSuchFunctionError, UnavailableError
from tests.machine import scaled
from tests.unit.control.functions_api import SPEC, Api, Logs

FIRST = LogContainer(pod="hello-a", revision="hello-1", key="1")
SECOND = LogContainer(pod="hello-b", revision="hello-1", key="2")
QUICK = FollowLimits(seconds=scaled(20), poll_seconds=0.01, silence_seconds=scaled(20))


async def followed(logs: Logs, limits: FollowLimits = QUICK) -> list[dict[str, str]]:
    """All lines of a stream until it ends."""
    written: list[bytes] = []

    async def write(piece: bytes) -> None:
        written.append(piece)

    await LogFollow(source=logs, namespace=SPEC.namespace, name="hello", lines=5, limits=limits).run(write)
    assert logs.reading == 0
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()
    return [json.loads(line) for line in b"".join(written).splitlines() if line]


async def test_lines_come_with_their_pods_and_new_pods_are_found() -> None:
    logs, go_on, written = Logs(), asyncio.Event(), b""
    logs.found = (FIRST,)
    logs.said = {"1": [b"one\ntw", b"o\n\xff", go_on, b"three"], "2": [b"four\n"]}

    async def write(piece: bytes) -> None:
        nonlocal written
        written += piece
        if b"two" in piece:
            logs.found = (FIRST, SECOND)
        elif b"four" in piece:
            go_on.set()
        elif b"three" in piece:
            logs.found = NoSuchFunctionError("gone")

    await LogFollow(source=logs, namespace=SPEC.namespace, name="hello", lines=5, limits=QUICK).run(write)
    lines = [json.loads(line) for line in written.splitlines()]
    assert [tuple(line.values()) for line in lines] == [
        ("hello-a", "hello-1", "one\n"),
        ("hello-a", "hello-1", "two\n"),
        ("hello-b", "hello-1", "four\n"),
        ("hello-a", "hello-1", "\N{REPLACEMENT CHARACTER}three"),
        ("deleted",),
    ]


async def test_a_container_is_read_once() -> None:
    logs = Logs()
    logs.found, logs.said = (FIRST,), {"1": [b"one\n"]}
    assert await followed(logs, replace(QUICK, seconds=0.3)) == [
        {"pod": "hello-a", "revision": "hello-1", "text": "one\n"},
        {"ended": "time"},
    ]


async def test_a_stream_ends_after_its_bytes() -> None:
    logs = Logs()
    logs.found, logs.said = (FIRST,), {"1": [b"x" * 100 + b"\n"] * 1_000 + [asyncio.Event()]}
    lines = await followed(logs, replace(QUICK, max_bytes=10_000))
    assert lines[-1] == {"ended": "bytes"}
    assert 50 < len(lines) < 100


async def test_a_line_without_an_end_comes_in_pieces() -> None:
    logs = Logs()
    logs.found, logs.said = (FIRST,), {"1": [b"x" * (3 * MAX_LINE + 5), asyncio.Event()]}
    lines = await followed(logs, replace(QUICK, seconds=0.3))
    assert [len(line["text"]) for line in lines[:-1]] == [MAX_LINE] * 3


async def test_an_outage_of_kubernetes_ends_nothing() -> None:
    logs = Logs()
    logs.found, logs.said = UnavailableError("no answer"), {"1": [b"one\n"]}

    async def mend() -> None:
        await asyncio.sleep(0.05)
        logs.found = (FIRST,)

    mending = asyncio.create_task(mend())
    await mending
    assert len(await followed(logs, replace(QUICK, seconds=0.3))) == 2


async def test_silence_sends_empty_lines() -> None:
    logs, written = Logs(), []

    async def write(piece: bytes) -> None:
        written.append(piece)

    limits = replace(QUICK, seconds=0.3, silence_seconds=0.02)
    await LogFollow(source=logs, namespace=SPEC.namespace, name="hello", lines=5, limits=limits).run(write)
    assert written.count(b"\n") >= 3


def test_streams_are_counted_for_each_project_and_for_all() -> None:
    slots = FollowSlots(per_project=1, per_process=2)
    with slots.slot(ProjectId("a")):
        with pytest.raises(GatewayError, match="project a"), slots.slot(ProjectId("a")):
            pass
        with slots.slot(ProjectId("b")), pytest.raises(GatewayError, match="all projects"), slots.slot(ProjectId("c")):
            pass
    with slots.slot(ProjectId("a")):
        pass
    assert not slots._held


class Caller:
    """One request at the application itself, whose stream is open until the test leaves or it ends."""

    def __init__(self, api: Api, path: str) -> None:
        self.status: int | None = None
        self.body = b""
        self.complete = False
        self.left = asyncio.Event()
        headers = [(b"host", b"faas.test"), (b"x-auth-token", api.token.encode())]
        raw, _, query = path.partition("?")
        scope: dict[str, Any] = {
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": raw,
            "raw_path": raw.encode(), "query_string": query.encode(), "headers": headers, "client": ("127.0.0.1", 1),
            "server": ("faas.test", 80), "root_path": "", "extensions": {},
        }  # fmt: skip
        self.task = asyncio.ensure_future(api.app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message["body"]
            self.complete = not message.get("more_body", False)

    async def until(self, text: bytes) -> None:
        deadline = time.monotonic() + scaled(10)
        while text not in self.body:
            assert time.monotonic() < deadline, self.body
            await asyncio.sleep(0.01)


@pytest.fixture
async def api() -> Api:
    api = Api()
    await api.put()
    api.logs.found, api.logs.said = (FIRST,), {"1": [b"one\n", asyncio.Event()]}
    return api


PATH = "/v1/functions/hello/logs?follow=true"


async def test_a_stream_ends_when_its_caller_leaves(api: Api) -> None:
    caller = Caller(api, PATH)
    await caller.until(b'"one')
    assert (caller.status, api.logs.reading) == (200, 1)
    caller.left.set()
    await asyncio.wait_for(caller.task, scaled(10))
    assert (caller.complete, api.logs.reading) == (False, 0)


async def test_a_revoked_token_ends_a_stream_without_an_end(api: Api) -> None:
    """Whoever reads sees that something is missing. A reader's role is enough until then."""
    api.become(roles=frozenset(["reader"]))
    caller = Caller(api, PATH)
    await caller.until(b'"one')
    await asyncio.sleep(0.2)
    assert not caller.task.done()
    api.suspended = "unpaid"
    await asyncio.wait_for(caller.task, scaled(10))
    assert (caller.status, caller.complete, api.logs.reading) == (200, False, 0)


async def test_two_streams_of_a_project_and_no_more(api: Api) -> None:
    callers = [Caller(api, PATH) for _ in range(2)]
    for caller in callers:
        await caller.until(b'"one')
    refused = await api.call("GET", PATH)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, ErrorCode.LOGS_EXCEEDED.code)
    assert (await api.call("GET", "/v1/functions/hello/logs")).status_code == 200
    for caller in callers:
        caller.left.set()
        await asyncio.wait_for(caller.task, scaled(10))
    again = Caller(api, PATH)
    await again.until(b'"one')
    again.left.set()
    await again.task


async def test_who_may_not_read_follows_nothing(api: Api) -> None:
    api.become(roles=frozenset(["guest"]))
    assert (await api.call("GET", PATH)).status_code == 403
    api.become(roles=frozenset(["member"]), project_id=ProjectId("p2"))
    assert (await api.call("GET", PATH)).status_code == 404
    assert (await api.call("GET", "/v1/functions/hello/logs?follow=maybe")).status_code == 400
    assert api.logs.reading == 0
