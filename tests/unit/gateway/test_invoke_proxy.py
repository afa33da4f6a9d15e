"""A call that fails costs no more memory than it is worth: nothing of it waits for the garbage collector."""

import asyncio
import contextlib
import ssl
import weakref
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.http.head import RequestHead
from gateway.identity.caller import Caller
from gateway.invoke.body import InboundBody
from gateway.invoke.proxy import Invocation, Proxy, ReplyBrokenError
from gateway.invoke.target import Target
from gateway.limits.model import LimitSubject
from gateway.policy.names import Rule
from gateway.settings.upstream import FunctionSettings
from gateway.upstream.diagnostics import FunctionDiagnostics
from gateway.upstream.function_client import FunctionClient
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import FunctionAddress, FunctionProblem, Tenant
from tests.garbage import cycles
from tests.machine import scaled

PROJECT = ProjectId("p")
CALLER = Caller("t", "u", "alice", PROJECT, "demo", frozenset(["member"]), 0)
HEAD = RequestHead("GET", b"/v1/invoke/f/", b"", ())
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"


class Directory:
    """Knows one function, and perhaps why it does not run."""

    def __init__(self, problem: FunctionProblem | None) -> None:
        address = FunctionAddress("http://f.test", callable=True, problem=problem)
        self._tenant = Tenant(PROJECT, NamespaceName("faas-p"), {"f": address})

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        return self._tenant

    def sync_age_seconds(self) -> float | None:
        return 0.0


@contextlib.asynccontextmanager
async def function(reply: bytes | None) -> AsyncIterator[str]:
    """The URL of a function that replies so and closes; None: it is silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if reply is not None:
            writer.write(reply)
        else:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def never_ends() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def discard(message: Message) -> None:
    pass


def invocation_of(url: str, problem: FunctionProblem | None) -> Invocation:
    tenant = Directory(problem).tenant_of(PROJECT)
    call = Call(
        caller=CALLER,
        tenant=tenant,
        subject=LimitSubject(PROJECT, "u"),
        context=RequestContext("req-1"),
        rule=Rule.FUNCTIONS_INVOKE,
    )
    return Invocation(call, HEAD, Target("f", b"/"), FunctionAddress(url, callable=True))


async def allowed(call: Call) -> None:
    """No call is rejected later."""


async def failure_of(proxy: Proxy, url: str, problem: FunctionProblem | None) -> Exception:
    # Not by pytest.raises, which keeps what it caught.
    try:
        await proxy.carry(invocation_of(url, problem), InboundBody(never_ends, HEAD, 1), discard)
    except (GatewayError, ReplyBrokenError) as error:
        return error
    raise AssertionError("the call succeeded")


QUOTA = FunctionProblem("ExceededQuota", "full")
FAILURES = {
    "no connection": ("unreachable", None),
    "no connection, and the reason is known": ("unreachable", QUOTA),
    "no reply": (b"", None),
    "no reply, and the reason is known": (b"", QUOTA),
    "not HTTP": (b"220 smtp ready\r\n", None),
    "silent": (None, None),
    "silent, and the reason is known": (None, QUOTA),
    "cut": (CUT, None),
    "made by the ingress": (b"HTTP/1.1 503 x\r\nserver: envoy\r\ncontent-length: 0\r\n\r\n", None),
}


@pytest.mark.parametrize(("reply", "problem"), FAILURES.values(), ids=FAILURES)
async def test_failed_call_leaves_nothing_for_the_garbage_collector(
    reply: bytes | str | None, problem: FunctionProblem | None
) -> None:
    settings = FunctionSettings(
        retry_seconds=0,
        function_idle_timeout_seconds=scaled(0.2) if reply is None else scaled(60),
        function_problem_seconds=0 if problem else scaled(60),
    )
    async with (
        function(b"" if isinstance(reply, str) else reply) as served,
        FunctionClient(settings, ssl.create_default_context()) as client,
    ):
        url = "http://127.0.0.1:1" if reply == "unreachable" else served
        proxy = Proxy(client, FunctionDiagnostics(Directory(problem)), recheck=allowed, recheck_seconds=60)
        await failure_of(proxy, url, problem)
        with cycles() as found:
            failures = [weakref.ref(await failure_of(proxy, url, problem)) for _ in range(5)]
            while client._pool._busy:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)
            assert [failure() for failure in failures] == [None] * 5
        assert found == []


async def test_error_of_a_failed_call_names_its_cause_and_is_not_its_own() -> None:
    async with FunctionClient(FunctionSettings(retry_seconds=0), ssl.create_default_context()) as client:
        for problem, kind in ((None, ErrorCode.FUNCTION_UNREACHABLE), (QUOTA, ErrorCode.FUNCTION_QUOTA_EXCEEDED)):
            proxy = Proxy(client, FunctionDiagnostics(Directory(problem)), recheck=allowed, recheck_seconds=60)
            error = await failure_of(proxy, "http://127.0.0.1:1", problem)
            assert isinstance(error, GatewayError)
            assert error.kind is kind
            assert type(error.__cause__).__name__ == "NotConnectedError"
