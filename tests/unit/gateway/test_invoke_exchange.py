"""Waiting for a function: in vain only if somebody knows so, and nothing is sent twice that was sent once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from gateway.errors import GatewayError, Kind
from gateway.invoke.exchange import Call, FunctionClient, Patience
from tenancy.directory import FunctionAddress

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
async def client(trouble_seconds: float = 0.1) -> AsyncIterator[FunctionClient]:
    async with aiohttp.ClientSession() as session:
        yield FunctionClient(
            session, Patience(connect_seconds=1, silence_seconds=5, total_seconds=10, trouble_seconds=trouble_seconds)
        )


async def test_known_lasting_trouble_ends_the_waiting_and_the_connection() -> None:
    closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            pass
        closed.set()
        writer.close()

    def lasting() -> GatewayError:
        return GatewayError(Kind.FUNCTION_QUOTA, function="f", why="full")

    async with serving(silent) as url, client() as functions:
        with pytest.raises(GatewayError) as caught:
            async with functions.exchange(FunctionAddress(url), Call(lasting=lasting)):
                pass
        await closed.wait()
    assert caught.value.kind is Kind.FUNCTION_QUOTA


async def test_trouble_of_a_function_that_answers_is_nobodys_business() -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        await asyncio.sleep(0.3)
        writer.write(OK)
        await writer.drain()
        writer.close()

    def lasting() -> GatewayError:
        return GatewayError(Kind.FUNCTION_QUOTA, function="f", why="full")

    async with (
        serving(late) as url,
        client(trouble_seconds=60) as functions,
        functions.exchange(FunctionAddress(url), Call(lasting=lasting)) as response,
    ):
        assert await response.read() == b"ok"


@pytest.mark.parametrize(
    ("method", "begun", "tries"), [("GET", False, 2), ("PUT", False, 2), ("PUT", True, 1), ("POST", False, 1)]
)
async def test_call_without_a_connection_is_tried_again_only_if_it_may_be(method: str, begun: bool, tries: int) -> None:
    async with client() as functions:
        sent = 0

        async def refused(*_: object, **__: object) -> aiohttp.ClientResponse:
            nonlocal sent
            sent += 1
            key = aiohttp.client_reqrep.ConnectionKey("h", 1, False, True, None, None, None)
            raise aiohttp.ClientConnectorError(key, OSError(111, "refused"))

        functions._session._request = refused  # type: ignore[method-assign]
        with pytest.raises(GatewayError) as caught:
            async with functions.exchange(FunctionAddress("http://h.test"), Call(method=method, begun=lambda: begun)):
                pass
    assert (caught.value.kind, sent) == (Kind.FUNCTION_UNREACHABLE, tries)


async def test_connection_that_ends_after_a_post_was_sent_is_not_used_as_a_reason_to_send_it_again() -> None:
    heads = 0

    async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heads
        await reader.readuntil(b"\r\n\r\n")
        heads += 1
        writer.close()

    async with serving(ends) as url, client() as functions:
        with pytest.raises(GatewayError):
            async with functions.exchange(FunctionAddress(url), Call(method="POST")):
                pass
    assert heads == 1
