"""Uploads in pieces to an object store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.http.disconnect import CallerGoneError
from gateway.identity.caller import Caller, ProjectId
from gateway.objects.containers import SwiftContainers
from gateway.objects.http import StoreClient, UploadBody, refused
from gateway.objects.model import ObjectRef
from gateway.settings.upstream import StoreSettings
from tests.machine import scaled

CALLER = Caller("t", "u", "alice", ProjectId("p"), "demo", frozenset(["member"]), 0)
Store = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def pieces(*given: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for each in given:
        yield each
    if then is not None:
        raise then


@contextlib.asynccontextmanager
async def store_of(answer: Store) -> AsyncIterator[tuple[StoreClient, str]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, aiohttp.ClientSession() as session:
        port = server.sockets[0].getsockname()[1]
        yield StoreClient(session, timeout_seconds=scaled(30)), f"http://127.0.0.1:{port}/o"


async def test_store_that_refuses_gets_nothing_of_the_body() -> None:
    """So a body that can be read once may still be sent after the container was made."""
    source = pieces(b"body")

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with store_of(refuse) as (client, url), client.uploading(url, {"Content-Length": "4"}, source) as response:
        assert response.status == 404
    assert [each async for each in source] == [b"body"]


@pytest.mark.parametrize("error", [CallerGoneError(), GatewayError(ErrorCode.REQUEST_BODY_TOO_LARGE, limit=1)])
@pytest.mark.parametrize("headers", [{}, {"Content-Length": "9"}])
async def test_end_of_the_source_is_no_failure_of_the_store(error: Exception, headers: dict[str, str]) -> None:
    came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        came.set_result(await reader.read())

    async with store_of(take) as (client, url):
        with pytest.raises(type(error)) as raised:
            async with client.uploading(url, headers, pieces(b"body", then=error)):
                pass
        assert raised.value is error
        # Neither as long as was said, nor ended by the last chunk: nothing is stored.
        found = await came
        assert b"body" in found
        assert not found.endswith(b"0\r\n\r\n")
        assert len(found) < 9 or not headers


async def test_body_that_was_sent_in_part_is_not_sent_again() -> None:
    """A store would take the rest of it for the whole."""
    came: list[bytes] = []
    first = asyncio.Event()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        came.append(await reader.readuntil(b"first"))
        first.set()

    async def source() -> AsyncIterator[bytes]:
        yield b"first"
        await first.wait()
        while True:
            yield b"rest"
            await asyncio.sleep(0)

    async with store_of(hang_up) as (client, url):
        with pytest.raises(GatewayError) as raised:
            async with client.uploading(url, {}, source()):
                pass
    assert raised.value.kind is ErrorCode.STORE_UNAVAILABLE
    assert len(came) == 1


@pytest.mark.parametrize("size", [None, 4])
async def test_body_that_a_proxy_took_before_the_store_refused_it_is_not_taken_for_empty(size: int | None) -> None:
    """A proxy that buffers bodies says 100 itself. The container is made, so the caller's next attempt succeeds."""
    came: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split()[1]
        came.append(path)
        if path.endswith(b"/o"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await (reader.readexactly(4) if size else reader.readuntil(b"0\r\n\r\n"))
        status = b"404 No" if path.endswith(b"/o") and b"/v1/c" not in came else b"201 Made"
        writer.write(b"HTTP/1.1 " + status + b"\r\nEtag: e\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    async with server, aiohttp.ClientSession() as session:
        settings = StoreSettings(swift_endpoint=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        containers = SwiftContainers(StoreClient(session, timeout_seconds=scaled(1)), settings)

        async def upload() -> str:
            return await containers.upload(CALLER, ObjectRef("c", "o"), pieces(b"body"), size=size, seconds=1)

        with pytest.raises(GatewayError) as raised:
            await upload()
        assert raised.value.kind is ErrorCode.STORE_UNAVAILABLE
        assert came == [b"/v1/c/o", b"/v1/c"]
        assert await upload() == "e"


class Limit:
    """Notes when time runs."""

    def __init__(self) -> None:
        self.runs: list[bool] = []

    def reschedule(self, when: float | None) -> None:
        self.runs.append(when is not None)


async def test_time_runs_only_while_the_store_is_waited_for() -> None:
    limit = Limit()

    async def source() -> AsyncIterator[bytes]:
        for _ in range(2):
            assert limit.runs[-1] is False
            yield b"x"

    body = UploadBody(source(), limit, 1)  # type: ignore[arg-type]
    async for _ in body.pieces():
        assert limit.runs[-1] is True
    assert limit.runs[-1] is True


def test_quota_is_no_outage() -> None:
    assert refused(413).kind is ErrorCode.OBJECT_QUOTA_EXCEEDED
