"""What a worker keeps of an answer: nothing about its own request, and nothing that is too long."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from operations.gateway_client import GatewayClient, ResultTooLargeError, _kept
from operations.store.model import Request, StoredObject
from tests.machine import scaled


@pytest.mark.parametrize(
    "name",
    [
        "Access-Control-Allow-Origin",
        "Access-Control-Expose-Headers",
        "RateLimit",
        "X-Openstack-Request-Id",
    ],
)
def test_field_about_the_workers_own_request_is_not_kept(name: str) -> None:
    """The result is read by another request, which may come from another page."""
    field, kept = (name.lower().encode("ascii"), b"https://page.example"), (b"content-type", b"text/plain")
    assert _kept((field, kept)) == (kept,)


async def test_answer_that_says_that_it_is_too_long_is_not_written_in_part() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nlong")
        await reader.read()
        writer.close()

    kept: list[int | None] = []

    async def keep(pieces: AsyncIterator[bytes], size: int | None) -> StoredObject:
        kept.append(size)
        return StoredObject(container="c", name="o", etag="e", size=sum([len(each) async for each in pieces]))

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    request = Request(method="GET", target=b"/v1/invoke/f", fields=(), body=b"")
    async with server, GatewayClient(url, cafile=None, memory_bytes=2, max_bytes=8) as gateway:
        with pytest.raises(ResultTooLargeError):
            async with asyncio.timeout(scaled(5)):
                await gateway.send("1", request, "t", lambda _size, _lines: None, keep=keep)
    assert kept == []
