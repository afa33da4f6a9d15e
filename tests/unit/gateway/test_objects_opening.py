"""An object that is opened is whole, small and bound to its ETag, whatever a store says; over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller, Endpoint
from gateway.objects.http import StoreClient
from gateway.objects.model import ObjectRef
from gateway.objects.s3_store import S3Store
from gateway.objects.swift import SwiftStore
from gateway.settings.upstream import StoreSettings
from policies.names import ProjectId
from tests.machine import scaled

MAX_BYTES = 9
ETAG = "0123456789abcdef0123456789abcdef"


class Presigner:
    """Signs nothing."""

    def __init__(self, url: str) -> None:
        self._url = url

    def endpoint(self, _caller: Caller) -> str:
        return self._url

    async def signed(self, _caller: Caller, ref: ObjectRef, _method: str, headers: Any) -> tuple[str, dict[str, str]]:
        return f"{self._url}/{ref.container}/{ref.name}", dict(headers)


class Store:
    """Answers every request with the same bytes, or each HEAD with others."""

    def __init__(self, answer: bytes, head: bytes | None = None) -> None:
        self._answer = answer
        self._head = head or answer
        self.requests: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self._head if self.requests[-1].startswith("HEAD ") else self._answer)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def opened(answer: bytes, kind: str, head: bytes | None = None) -> AsyncIterator[tuple[Any, Store]]:
    """The store's answer through a driver: what is opened, and the requests."""
    store = Store(answer, head)
    server = await asyncio.start_server(store.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    caller = Caller(
        "secret", "u", "alice", ProjectId("p"), "demo", frozenset(), 0,
        endpoints=(Endpoint("object-store", "public", "R", f"{url}/v1/AUTH_p"),),
    )  # fmt: skip
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        client = StoreClient(session, timeout_seconds=scaled(5))
        presigner: Any = Presigner(url)
        driver = S3Store(client, presigner, ()) if kind == "s3" else SwiftStore(client, StoreSettings(), presigner)
        try:
            async with driver.opening(caller, ObjectRef("c", "o"), MAX_BYTES) as found:
                yield found, store
        finally:
            server.close()


def answer(status: int, body: bytes = b"", etag: str = f'"{ETAG}"', length: int | None = None, **fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status} x", f"ETag: {etag}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


STATUSES = {
    400: ErrorCode.REQUEST_MALFORMED,
    403: ErrorCode.OBJECT_FORBIDDEN,
    404: ErrorCode.OBJECT_NOT_FOUND,
    500: ErrorCode.STORE_UNAVAILABLE,
    302: ErrorCode.STORE_UNAVAILABLE,
}


@pytest.mark.parametrize("kind", ["swift", "s3"])
@pytest.mark.parametrize("status", STATUSES)
async def test_store_that_refuses_opens_nothing(kind: str, status: int) -> None:
    with pytest.raises(GatewayError) as caught:
        async with opened(answer(status, Location="/elsewhere"), kind):
            pass
    assert caught.value.kind is STATUSES[status]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        pytest.param("swift", answer(206, b"x" * 9, Content_Range="bytes 0-8/10"), id="first-part"),
        pytest.param("swift", answer(206, b"x" * 9, Content_Range="bytes 1-9/10"), id="last-part"),
        pytest.param("swift", answer(206, b"x" * 9, Content_Range="bytes 0-8/*"), id="size-unknown"),
        pytest.param("swift", answer(206, b"x" * 9, Content_Range="bytes 0-9/10"), id="shorter-than-its-range"),
        pytest.param("swift", answer(206, b"x" * 9), id="no-range"),
        pytest.param("swift", answer(206, b"x" * 9, Content_Range="bytes 0-8/9, bytes 0-8/9"), id="ranges"),
        pytest.param("swift", answer(416, Content_Range="bytes */0"), id="empty"),
        pytest.param("swift", answer(200, b"x" * 10), id="range-ignored-and-too-large"),
        pytest.param("swift", answer(200, b"x", X_Static_Large_Object="True"), id="static-large"),
        pytest.param("swift", answer(200, b"x", X_Object_Manifest="c/x"), id="dynamic-large"),
        pytest.param("swift", answer(200, b"x", etag=f'W/"{ETAG}"'), id="weak"),
        pytest.param("s3", answer(200, b"x" * 10), id="s3-too-large"),
        pytest.param("s3", answer(200, b"x", etag=f'"{ETAG}-2"'), id="s3-multipart"),
        pytest.param("s3", answer(200, b"x", etag=f'W/"{ETAG}"'), id="s3-weak"),
    ],
)
async def test_object_that_is_not_small_whole_and_bound_is_not_opened(kind: str, said: bytes) -> None:
    async with opened(said, kind) as (found, _):
        assert found is None


@pytest.mark.parametrize("kind", ["swift", "s3"])
@pytest.mark.parametrize("fields", [{"etag": ""}, {"etag": '""'}])
async def test_object_without_an_etag_is_unsupported(kind: str, fields: dict[str, str]) -> None:
    with pytest.raises(GatewayError) as caught:
        async with opened(answer(200, b"x", **fields), kind):
            pass
    assert caught.value.kind is ErrorCode.OBJECT_UNSUPPORTED


@pytest.mark.parametrize("kind", ["swift", "s3"])
async def test_body_that_ends_too_early_is_no_object(kind: str) -> None:
    async with opened(answer(200, b"xx", length=5), kind) as (found, _):
        with pytest.raises(GatewayError) as caught:
            await found.read()
    assert caught.value.kind is ErrorCode.OBJECT_TRUNCATED


@pytest.mark.parametrize("kind", ["swift", "s3"])
async def test_small_object_is_opened_with_its_stat_and_read_once_with_one_request(kind: str) -> None:
    said = answer(200, b"x" * 9, X_Object_Meta_Colour="blue")
    if kind == "swift":
        said = answer(206, b"x" * 9, Content_Range="bytes 0-8/9", X_Object_Meta_Colour="blue")
    async with opened(said, kind) as (found, store):
        assert (found.stat.etag, found.stat.size, found.stat.native) == (ETAG, 9, {"md5": ETAG})
        assert await found.read() == b"x" * 9
    assert len(store.requests) == 1
    assert store.requests[0].startswith("GET ")
    assert ("Range: bytes=0-8\r\n" in store.requests[0]) is (kind == "swift")
    assert ("X-Auth-Token: secret\r\n" in store.requests[0]) is (kind == "swift")


@pytest.mark.parametrize(("status", "opens"), [(412, False), (200, True)])
async def test_object_in_ceph_is_opened_only_if_a_condition_binds_its_etag(status: int, opens: bool) -> None:
    """Through S3, Ceph shows large objects of its Swift API like plain ones, with an ETag that looks like an MD5."""
    whole = answer(200, b"segments!", x_rgw_object_type="Normal")
    async with opened(whole, "s3", head=answer(status)) as (found, store):
        assert (found is not None) is opens
    assert [request.split(" ")[0] for request in store.requests] == ["GET", "HEAD"]
    assert f'if-match: "{ETAG}"' in store.requests[1].lower()
