"""Family 5: nothing that a caller, a catalog or a redirect says makes the product fetch a URL of its choice."""

import json
import socket
from urllib.parse import quote

import aiohttp
import pytest
from checksums_function.errors import ChecksumsError, Code
from checksums_function.orders import parse_url
from checksums_function.settings import Settings
from checksums_function.source import refuse_unlisted
from echo import echo
from faulty import VALIDATION, code
from fronts import only, status

from gateway.errors import ErrorCode, GatewayError
from gateway.objects.allowlist import StoreAllowlist
from gateway.objects.http import StoreClient
from gateway.server.clients import open_clients
from gateway.settings import Settings as GatewaySettings
from gateway.upstream.function_client import FunctionRequest
from tenancy.directory.protocol import FunctionAddress

INSIDE = [
    "http://127.0.0.1:{port}/",
    "http://[::1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0x7f000001:{port}/",
    "http://2130706433:{port}/",
    "http://127.1:{port}/",
    "http://localhost:{port}/",
    "http://user@127.0.0.1:{port}/",
    "http://store.test@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@store.test/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/",
    "http://kubernetes.default.svc/",
    "http://keystone.local/",
    "//127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
]


@pytest.fixture(scope="module")
def canary():
    """A server inside, which nobody may ask."""
    with echo() as made:
        yield made


@pytest.mark.parametrize("url", INSIDE)
def test_names_of_objects_that_are_urls_stay_names(faulty, canary, url):
    """In the path and in both forms of the query, and in fields that other services read as one."""
    token, target = faulty.fresh(), url.format(port=canary.port)
    asked = len(canary.seen)
    for path in (
        f"/v1/checksums/data/{quote(target, safe='')}",
        f"/v1/checksums/?bucket=data&file={quote(target, safe='')}",
        f"/v1/checksums/?bucket={quote(target, safe='')}&file=x",
    ):
        before = len(faulty.store.seen)
        response = faulty.get(
            path, token, **{"X-Storage-Url": target, "X-Forwarded-Host": target, "X-Original-Url": target}
        )
        assert response.status_code in {400, 403, 404}, response.text
        project = faulty.cloud.users["alice"].project_id.encode()
        for request in faulty.store.seen[before:]:
            assert request.line.split(b" ")[1].startswith(b"/v1/AUTH_" + project)
    assert len(canary.seen) == asked


@pytest.mark.parametrize("url", INSIDE)
async def test_catalog_that_leads_inside_is_not_followed(canary, url):
    """The gateway's own client for stores, over real sockets."""
    asked = len(canary.seen)
    origins = StoreAllowlist()
    async with open_clients(GatewaySettings(), _identity(), origins) as (_, stores, _keystone):
        client = StoreClient(stores, timeout_seconds=1, allowlist=origins)
        with pytest.raises(GatewayError) as caught:
            async with client.exchange("HEAD", url.format(port=canary.port) + "v1/AUTH_p/c/o", {}):
                pass
    assert caught.value.kind is ErrorCode.OBJECT_UNSUPPORTED
    assert len(canary.seen) == asked


async def test_name_that_is_looked_up_to_the_inside_is_not_connected_to(canary, monkeypatch):
    """DNS rebinding: a public name with an address of loopback."""
    monkeypatch.setattr(socket, "getaddrinfo", _always("127.0.0.1", canary.port))
    asked, origins = len(canary.seen), StoreAllowlist()
    async with open_clients(GatewaySettings(), _identity(), origins) as (functions, stores, _):
        client = StoreClient(stores, timeout_seconds=1, allowlist=origins)
        with pytest.raises(GatewayError) as caught:
            async with client.exchange("HEAD", f"http://rebound.test:{canary.port}/v1/AUTH_p/c/o", {}):
                pass
        assert caught.value.kind is ErrorCode.STORE_UNAVAILABLE
        assert len(canary.seen) == asked
        # The positive control: the client without the look at addresses gets there.
        address = FunctionAddress(f"http://rebound.test:{canary.port}")
        async with functions.exchange(address, FunctionRequest("f", method="GET")) as reply:
            assert reply.status == 200
    assert len(canary.seen) == asked + 1


async def test_without_the_guard_the_inside_answers(canary):
    """The positive control."""
    async with aiohttp.ClientSession() as session:
        client = StoreClient(session, timeout_seconds=2)
        async with client.exchange("GET", f"{canary.url}/v1/AUTH_p/c/o", {}) as response:
            assert response.status == 200


@pytest.mark.parametrize("status_code", [301, 302, 303, 307, 308])
def test_redirect_of_the_store_is_not_followed(faulty, canary, status_code):
    asked = len(canary.seen)
    faulty.store.fault = status(status_code, b"", f"Location: {canary.url}/v1/AUTH_p/c/o")
    response = faulty.get(faulty.path, faulty.fresh())
    assert (response.status_code, code(response)) == (503, "store.unavailable")
    assert len(canary.seen) == asked


@pytest.mark.parametrize("status_code", [301, 307, 308])
def test_redirect_of_keystone_is_not_followed(faulty, canary, status_code):
    asked = len(canary.seen)
    faulty.keystone.fault = only(VALIDATION, status(status_code, b"", f"Location: {canary.url}/v3/auth/tokens"))
    assert faulty.get(faulty.path, faulty.fresh()).status_code == 503
    assert len(canary.seen) == asked


def test_redirect_of_the_source_is_not_followed_by_the_function(faulty, canary):
    """The signed URL is answered with a redirect: the function refuses, and the gateway streams what it may read."""
    asked = len(canary.seen)
    faulty.store.fault = lambda connection, request: (
        b"temp_url_sig" in request.line
        and status(302, b"", f"Location: {canary.url}/v1/AUTH_p/c/o")(connection, request)
    )
    response = faulty.get(faulty.path + "?algorithm=sha1&force=true", faulty.fresh())
    assert response.status_code == 200
    assert len(canary.seen) == asked


@pytest.mark.parametrize(
    "url", [each for each in INSIDE if each.startswith("http://") and "@" not in each and "#" not in each]
)
def test_function_reads_from_listed_sources_only(url):
    settings = Settings(allowed_sources=frozenset([("store.test", 8080)]))
    with pytest.raises(ChecksumsError) as caught:
        refuse_unlisted(parse_url(url.format(port=80)), settings)
    assert caught.value.code is Code.SOURCE_REFUSED


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/x", "http://169.254.169.254/x", "file:///etc/passwd"])
def test_hints_in_events_lead_nowhere(faulty, canary, url):
    """Whatever an event names, the object is asked for in the account of the token."""
    asked, before, target = len(canary.seen), len(faulty.store.seen), url.format(port=canary.port)
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": target,
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "responseElements": {"x-amz-id-2": target},
        "s3": {"bucket": {"name": "data", "arn": target}, "object": {"key": quote(target), "size": 1, "eTag": "x"}},
    }
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": target,
        "type": "x",
        "dataschema": target,
        "data": {"Records": [record]},
    }
    faulty.gateway.call(
        "POST",
        "/v1/events",
        faulty.fresh(),
        headers={"Content-Type": "application/cloudevents+json"},
        content=json.dumps(event),
    )
    project = faulty.cloud.users["alice"].project_id.encode()
    assert len(canary.seen) == asked
    for request in faulty.store.seen[before:]:
        assert request.line.split(b" ")[1].startswith(b"/v1/AUTH_" + project)


class _Identity:
    verify = True


def _identity():
    return _Identity()


def _always(address: str, port: int):
    def getaddrinfo(host, wanted=None, *args, **kwargs):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    return getaddrinfo
