"""Waiting for a function: in vain only if somebody knows so, and nothing is sent twice that was sent once."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway.call_usage import CallUsage
from gateway.errors import ErrorCode, GatewayError
from gateway.settings.upstream import FunctionSettings
from gateway.telemetry.trace import Trace, enter
from gateway.upstream.errors import CertificateRejectedError, NotConnectedError, UpstreamError
from gateway.upstream.function_client import FunctionClient, FunctionRequest
from gateway.upstream.pool import Origin
from gateway.upstream.reply import Reply
from gateway.upstream.request import Request
from tenancy.directory.protocol import FunctionAddress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@contextlib.asynccontextmanager
async def client(**timeouts: float) -> AsyncIterator[FunctionClient]:
    seconds = {
        "function_connect_timeout_seconds": 1,
        "function_idle_timeout_seconds": 5,
        "function_timeout_seconds": 10,
        "function_problem_seconds": 0.1,
        **timeouts,
    }
    async with FunctionClient(FunctionSettings(**seconds), ssl.create_default_context()) as functions:
        yield functions


async def test_known_lasting_problem_ends_the_waiting_and_the_connection() -> None:
    closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            pass
        closed.set()
        writer.close()

    def permanent_failure() -> GatewayError:
        return GatewayError(ErrorCode.FUNCTION_QUOTA_EXCEEDED, function="f", why="full")

    async with serving(silent) as url, client() as functions:
        with pytest.raises(GatewayError) as caught:
            async with functions.exchange(
                FunctionAddress(url), FunctionRequest("f", permanent_failure=permanent_failure)
            ):
                pass
        await closed.wait()
    assert caught.value.kind is ErrorCode.FUNCTION_QUOTA_EXCEEDED


async def test_problem_of_a_function_that_answers_is_nobodys_business() -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        await asyncio.sleep(0.3)
        writer.write(OK)
        await writer.drain()
        writer.close()

    def permanent_failure() -> GatewayError:
        return GatewayError(ErrorCode.FUNCTION_QUOTA_EXCEEDED, function="f", why="full")

    async with (
        serving(late) as url,
        client(function_problem_seconds=60) as functions,
        functions.exchange(FunctionAddress(url), FunctionRequest("f", permanent_failure=permanent_failure)) as response,
    ):
        assert await response.read() == b"ok"


class Refusing:
    """Makes a client's requests find no connection, `times` times; counts them."""

    def __init__(self, functions: FunctionClient, error: type[UpstreamError], times: int = 9) -> None:
        self.sent, self._left, self._error = 0, times, error
        self._send = functions._pool.send
        functions._pool.send = self.send  # type: ignore[method-assign]

    async def send(self, origin: Origin, request: Request, **options: bool) -> Reply:
        self.sent += 1
        if self.sent <= self._left:
            raise self._error("refused")
        return await self._send(origin, request, **options)


async def ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH"])
async def test_call_that_found_no_connection_is_sent_when_there_is_one_whatever_its_method(method: str) -> None:
    async with serving(ok) as url, client() as functions:
        refusing = Refusing(functions, NotConnectedError, times=2)
        async with functions.exchange(FunctionAddress(url), FunctionRequest("f", method=method)) as response:
            assert await response.read() == b"ok"
    assert refusing.sent == 3


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (FunctionRequest("f", begun=lambda: True), NotConnectedError),
        (FunctionRequest("f", repeated=True), NotConnectedError),
        (FunctionRequest("f"), CertificateRejectedError),
    ],
    ids=["its body was begun", "the caller repeats all of it", "another attempt meets the same certificate"],
)
async def test_call_is_not_sent_again(call: FunctionRequest, error: type[UpstreamError]) -> None:
    async with serving(ok) as url, client() as functions:
        refusing = Refusing(functions, error)
        with pytest.raises(GatewayError) as caught:
            async with functions.exchange(FunctionAddress(url), call):
                pass
    assert (caught.value.kind, refusing.sent) == (ErrorCode.FUNCTION_UNREACHABLE, 1)
    assert caught.value.message == "The function 'f' could not be reached. Try again shortly."


async def test_waiting_for_a_connection_ends_with_its_time_and_with_a_known_problem() -> None:
    async with client(retry_seconds=0.5) as functions:
        with pytest.raises(GatewayError) as caught:
            async with functions.exchange(FunctionAddress("http://127.0.0.1:1"), FunctionRequest("f")):
                pass
    assert caught.value.kind is ErrorCode.FUNCTION_UNREACHABLE
    async with client(retry_seconds=60) as functions:
        problem = GatewayError(ErrorCode.FUNCTION_NOT_RUNNING, function="f", why="no image")
        with pytest.raises(GatewayError) as caught:
            async with functions.exchange(
                FunctionAddress("http://127.0.0.1:1"), FunctionRequest("f", permanent_failure=lambda: problem)
            ):
                pass
    assert caught.value is problem


async def test_it_is_said_which_limit_ended_a_call() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        await asyncio.sleep(60)

    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                writer.write(b"1\r\n \r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

    async def failure(serve: Serve, **timeouts: float) -> str:
        async with serving(serve) as url, client(**timeouts) as functions:
            with pytest.raises(GatewayError) as caught:
                async with functions.exchange(FunctionAddress(url), FunctionRequest("f")) as response:
                    await response.read()
        assert caught.value.kind is ErrorCode.FUNCTION_TIMEOUT
        return caught.value.message

    quiet = await failure(silent, function_idle_timeout_seconds=0.25)
    assert quiet == "The function 'f' did not finish: it sent nothing for 0.25 seconds, which is the idle timeout."
    busy = await failure(talkative, function_timeout_seconds=0.5)
    assert busy == "The function 'f' did not finish: it worked for 0.5 seconds, which is the limit for one call."


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"220 smtp ready\r\n", "its reply is not valid HTTP/1.1"),
        (OK[:-1], "its reply was cut off"),
    ],
)
async def test_it_is_said_what_was_wrong_with_a_reply(reply: bytes, why: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    async with serving(serve) as url, client() as functions:
        with pytest.raises(GatewayError) as caught:
            async with functions.exchange(FunctionAddress(url), FunctionRequest("f")) as response:
                await response.read()
    assert caught.value.kind is ErrorCode.FUNCTION_FAILED
    assert caught.value.message == f"The function 'f' failed: {why}."


async def test_connection_that_ends_after_a_post_was_sent_is_not_used_as_a_reason_to_send_it_again() -> None:
    heads = 0

    async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heads
        await reader.readuntil(b"\r\n\r\n")
        heads += 1
        writer.close()

    async with serving(ends) as url, client() as functions:
        with pytest.raises(GatewayError):
            async with functions.exchange(FunctionAddress(url), FunctionRequest("f", method="POST")):
                pass
    assert heads == 1


@pytest.mark.parametrize(("method", "outlives"), [("GET", True), ("DELETE", True), ("POST", False), ("PATCH", False)])
async def test_only_an_idempotent_call_outlives_kept_connections_that_are_closed(method: str, outlives: bool) -> None:
    kept = 3
    arrived, all_there = asyncio.Semaphore(0), asyncio.Event()

    async def once_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.release()
        await all_there.wait()
        writer.write(OK)
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def call(functions: FunctionClient, url: str, method: str) -> bytes:
        async with functions.exchange(FunctionAddress(url), FunctionRequest("f", method=method)) as response:
            return await response.read()

    async with serving(once_each) as url, client() as functions:
        calls = [asyncio.ensure_future(call(functions, url, "GET")) for _ in range(kept)]
        for _ in range(kept):
            await arrived.acquire()
        all_there.set()
        assert await asyncio.gather(*calls) == [b"ok"] * kept
        with contextlib.nullcontext() if outlives else pytest.raises(GatewayError):
            assert await call(functions, url, method) == b"ok"


async def test_free_words_of_the_callers_trace_go_along_with_an_invocation_only() -> None:
    heads: list[bytes] = []

    async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).lower())
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        await writer.drain()
        writer.close()

    enter(Trace("1" * 32, "2" * 16, 1, "vendor=secret"), None)
    async with serving(noting) as url, client() as functions:
        async with functions.exchange(FunctionAddress(url), FunctionRequest("f")):
            pass
        async with functions.exchange(FunctionAddress(url), FunctionRequest("f", tracestate=False)):
            pass
    assert [b"traceparent: 00-" + b"1" * 32 in head for head in heads] == [True, True]
    assert [b"vendor=secret" in head for head in heads] == [True, False]


async def used_by(functions: FunctionClient, url: str, **options: Any) -> CallUsage:
    usage = CallUsage()
    call = FunctionRequest("f", usage=usage, **options)
    with contextlib.suppress(GatewayError):
        async with functions.exchange(FunctionAddress(url, revision="f-1", memory_mib=256), call) as response:
            await response.read()
    return usage


async def test_exchange_is_added_to_the_usage_of_the_call() -> None:
    async with serving(ok) as url, client() as functions:
        usage = await used_by(functions, url)
    assert (usage.function, usage.revision, usage.cold_start) == ("f", "f-1", False)
    assert usage.function_seconds > 0
    assert usage.mib_seconds == pytest.approx(usage.function_seconds * 256)


async def test_cold_start_is_what_the_function_says() -> None:
    async def cold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(OK.replace(b"\r\n", b"\r\nServer-Timing: process;dur=0.1, function;dur=0.1\r\n", 1))
        await writer.drain()
        writer.close()

    async with serving(cold) as url, client() as functions:
        usage = await used_by(functions, url)
    assert usage.cold_start
    # The function cannot make its call cheaper by calling it a cold start.
    assert usage.function_seconds >= 0.05


async def test_function_that_did_not_start_has_not_worked() -> None:
    async with client(retry_seconds=0.1) as functions:
        usage = await used_by(functions, "http://127.0.0.1:1")
    assert (usage.function, usage.function_seconds) == ("f", 0)


async def test_function_that_hangs_up_has_worked() -> None:
    """Otherwise it could work for nothing, and hand over its results by another way."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.close()

    async with serving(hang_up) as url, client(retry_seconds=0.1) as functions:
        usage = await used_by(functions, url)
    assert usage.function_seconds >= 0.05
