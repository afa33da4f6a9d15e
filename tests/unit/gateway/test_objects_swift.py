"""Objects in Swift: what a HEAD says, which capability is offered, and that no key is ever overwritten."""

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.digests import ALGORITHMS
from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import AccessRule, Caller, Endpoint
from gateway.objects.allowlist import StoreAllowlist
from gateway.objects.dialect import RGW, SWIFT, SwiftDialect
from gateway.objects.endpoints import account_of, endpoint_of
from gateway.objects.http import StoreClient, conditions, refused
from gateway.objects.model import ByteStream, Capability, ObjectKind, ObjectRef, ObjectStat, SignedUrl, is_same_etag
from gateway.objects.stored import BINDING, read_foreign, read_stored, write_stored
from gateway.objects.swift import SwiftStore, object_url, stat_from
from gateway.objects.tempurl import sign
from gateway.server.clients import open_clients
from gateway.settings import Settings
from gateway.settings.upstream import StoreSettings
from policies.names import ProjectId

ACCOUNT = "http://swift.test/v1/AUTH_p"
CONTAINER = f"{ACCOUNT}/c"
REF = ObjectRef("c", "o")
MD5 = "0123456789abcdef0123456789abcdef"
CALLER = Caller(
    token="secret-token",
    user_id="u",
    user_name="alice",
    project_id=ProjectId("p"),
    project_name="demo",
    roles=frozenset(["member"]),
    expires_at=0,
    endpoints=(
        Endpoint("object-store", "internal", "R1", "http://internal.test/v1/AUTH_p/"),
        Endpoint("object-store", "public", "R1", ACCOUNT),
        Endpoint("object-store", "public", "R2", "http://r2.test/v1/AUTH_p"),
        Endpoint("s3", "public", "R1", "http://s3.test/"),
    ),
)
PLAIN = {"etag": MD5, "content-length": "9"}
RULES = StoreSettings(
    interface="public",
    region_name=None,
    swift_endpoint=None,
    capabilities=("tempurl", "s3", "stream"),
    capability_seconds=300,
    tempurl_digest="sha256",
    tempurl_set_key=True,
)
NOW = 1_800_000_000.9


class Response:
    def __init__(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = CIMultiDict(headers or {})


class Swift:
    """A `StoreClient` with accounts and containers as they are described; a POST of metadata changes them."""

    def __init__(self, *, answers: Mapping[tuple[str, str], Response] | None = None, **keys: Mapping[str, str]) -> None:
        self.answers = {
            ("HEAD", ACCOUNT): Response(204, keys.get("account")),
            ("HEAD", CONTAINER): Response(204, keys.get("container")),
            **(answers or {}),
        }
        self.sent: list[tuple[str, str, dict[str, str]]] = []

    @contextlib.asynccontextmanager
    async def exchange(self, method: str, url: str, headers: Mapping[str, str]) -> AsyncIterator[Response]:
        self.sent.append((method, url, dict(headers)))
        if method == "POST" and (method, url) not in self.answers:
            self.answers["HEAD", url].headers.update({n: v for n, v in headers.items() if n != "X-Auth-Token"})
            yield Response(204)
        else:
            yield self.answers[method, url]

    def posts(self) -> list[tuple[str, dict[str, str]]]:
        return [(url, headers) for method, url, headers in self.sent if method == "POST"]


def store(swift: Swift, presigned: str | None = None, *, dialect: SwiftDialect = SWIFT, **rules: Any) -> SwiftStore:
    async def presign(_caller: Caller, _ref: ObjectRef, _method: str, _headers: Mapping[str, str]) -> str | None:
        return presigned

    settings = RULES.model_copy(update=rules)
    return SwiftStore(swift, settings, presign, dialect=dialect, clock=lambda: NOW)  # type: ignore[arg-type]


def stat(ref: ObjectRef = REF, **headers: str) -> ObjectStat:
    return stat_from("p", ACCOUNT, ref, {**PLAIN, **{name.replace("_", "-"): value for name, value in headers.items()}})


SLO = stat(x_static_large_object="True", x_manifest_etag=MD5)
DLO = stat(x_object_manifest="segments/o/")


async def offers(driver: SwiftStore, of: ObjectStat | None = None) -> list[Capability]:
    return [capability async for capability in driver.capabilities(CALLER, of or stat())]


def signed_with(capability: Capability) -> str:
    """Which of the keys of the tests a TempURL is signed with."""
    assert isinstance(capability, SignedUrl)
    parts = urlsplit(capability.url)
    query = parse_qs(parts.query)
    message = f"GET\n{query['temp_url_expires'][0]}\n{unquote(parts.path)}".encode()
    for key in ("container-1", "container-2", "account-1", "account-2"):
        if hmac.new(key.encode(), message, "sha256").hexdigest() == query["temp_url_sig"][0]:
            return key
    return "other"


# --- stores that have Swift's API and deviate from it


@pytest.mark.parametrize("headers", [{}, {"x-object-version-id": "v2"}])
async def test_answer_about_another_version_is_not_taken_for_the_one_that_was_asked_for(
    headers: dict[str, str],
) -> None:
    """Ceph ignores the parameter, and answers with the current version."""
    ref = ObjectRef("c", "o", "v1")
    swift = Swift(answers={("HEAD", object_url(ACCOUNT, ref)): Response(200, {**PLAIN, **headers})})
    with pytest.raises(GatewayError) as caught:
        await store(swift).stat(CALLER, ref)
    assert caught.value.kind is ErrorCode.OBJECT_UNSUPPORTED


async def test_answer_about_the_version_that_was_asked_for_is_taken() -> None:
    ref = ObjectRef("c", "o", "v1")
    swift = Swift(answers={("HEAD", object_url(ACCOUNT, ref)): Response(200, {**PLAIN, "X-Object-Version-Id": "v1"})})
    assert (await store(swift).stat(CALLER, ref)).etag == MD5


def test_nothing_is_bound_to_a_static_large_object_whose_store_does_not_compare_the_segments() -> None:
    """In Ceph a segment that is written again changes the content, and not the ETag."""
    bound = write_stored({}, {"sha1": "0" * 40}, etag=MD5, size=9)
    meta = {"x_object_meta_" + name: value for name, value in bound.items()}
    assert SLO.etag == MD5
    assert stat(x_static_large_object="True", x_manifest_etag=MD5, **meta).stored == {"sha1": "0" * 40}
    unproven = stat(x_static_large_object="True", **meta)
    assert (unproven.etag, unproven.stored, unproven.native, unproven.rewritable) == (f'W/"{MD5}"', {}, {}, False)


@pytest.mark.parametrize(
    ("seen", "expected", "same"),
    [
        (MD5, MD5, True),
        (f'W/"{MD5}"', MD5, False),
        ("other", MD5, False),
        (MD5, f'W/"{MD5}"', True),
        (f'W/"{MD5}"', f'W/"{MD5}"', True),
        ("other", f'W/"{MD5}"', False),
        ("", f'W/"{MD5}"', False),
    ],
)
def test_answer_is_of_the_same_etag_by_weak_comparison_only_if_the_expected_one_is_weak(
    seen: str, expected: str, *, same: bool
) -> None:
    assert is_same_etag(seen, expected) is same


async def test_key_of_a_container_is_neither_used_nor_set_in_a_store_that_does_not_honour_it() -> None:
    swift = Swift(
        container={"X-Container-Meta-Temp-Url-Key": "container-1"}, account={"X-Account-Meta-Temp-Url-Key": "account-1"}
    )
    assert signed_with((await offers(store(swift, dialect=RGW)))[0]) == "account-1"
    swift = Swift()
    assert await offers(store(swift, dialect=RGW)) == [ByteStream()]
    assert swift.posts() == []


async def test_dynamic_large_object_is_read_without_a_condition_where_the_store_compares_another_etag() -> None:
    swift = Swift(account={"X-Account-Meta-Temp-Url-Key": "account-1"})
    assert [each.name for each in await offers(store(swift), DLO)] == ["tempurl", "stream"]
    assert await offers(store(swift, dialect=RGW), DLO) == [ByteStream()]
    sent = []

    class Reader(Swift):
        @contextlib.asynccontextmanager
        async def reading(self, _url: str, headers: Mapping[str, str], **expected: Any) -> AsyncIterator[None]:
            sent.append((headers.get("If-Match"), expected["etag"]))
            yield None

    for dialect in (SWIFT, RGW):
        async with store(Reader(), dialect=dialect).reading(CALLER, DLO):
            pass
    # The ETag of the answer is compared in any case.
    assert sent == [(f'"{MD5}"', MD5), (None, MD5)]


# --- what a HEAD says


@pytest.mark.parametrize("large", [SLO, DLO, stat(x_static_large_object="true"), stat(x_object_manifest="")])
def test_etag_of_a_large_object_is_never_taken_for_its_md5(large: ObjectStat) -> None:
    assert large.kind is not ObjectKind.PLAIN
    assert large.native == {}


@pytest.mark.parametrize("etag", [MD5 + "-2", MD5.upper(), MD5[1:], MD5 + "0", "g" * 32, "opaque"])
def test_etag_of_another_form_is_no_md5(etag: str) -> None:
    assert stat(etag=etag).native == {}
    assert stat(etag=etag).etag == etag


def test_etag_of_a_plain_object_is_its_md5() -> None:
    assert stat().native == {"md5": MD5}
    assert stat(etag=f'"{MD5}"').native == {"md5": MD5}
    assert stat(x_static_large_object="False").native == {"md5": MD5}


@pytest.mark.parametrize(
    "headers", [{"etag": ""}, {"etag": '""'}, {"content_length": ""}, {"content_length": "-1"}, {"content_length": "x"}]
)
def test_object_without_etag_or_size_is_unsupported(headers: dict[str, str]) -> None:
    with pytest.raises(GatewayError) as caught:
        stat(**headers)
    assert caught.value.kind is ErrorCode.OBJECT_UNSUPPORTED


def test_stat_keeps_what_a_post_would_delete_and_nothing_else() -> None:
    found = stat(
        x_object_manifest="s/o", x_object_meta_colour="blue", x_robots_tag="no", x_timestamp="1", content_type="a/b"
    )
    assert found.metadata == {"x-object-manifest": "s/o", "x-object-meta-colour": "blue", "x-robots-tag": "no"}
    assert (found.size, found.content_type) == (9, "a/b")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ErrorCode.TOKEN_INVALID),
        (403, ErrorCode.OBJECT_FORBIDDEN),
        (404, ErrorCode.OBJECT_NOT_FOUND),
        (412, ErrorCode.OBJECT_CHANGED),
        (301, ErrorCode.STORE_UNAVAILABLE),
        (429, ErrorCode.STORE_UNAVAILABLE),
        (500, ErrorCode.STORE_UNAVAILABLE),
        (503, ErrorCode.STORE_UNAVAILABLE),
    ],
)
async def test_refusal_of_the_store_is_told_as_its_own(status: int, kind: ErrorCode) -> None:
    assert refused(status).kind is kind
    swift = Swift(answers={("HEAD", f"{CONTAINER}/o"): Response(status, PLAIN)})
    with pytest.raises(GatewayError) as caught:
        await store(swift).stat(CALLER, REF)
    assert caught.value.kind is kind


async def test_stat_is_made_with_the_callers_token_in_the_account_of_its_catalog() -> None:
    swift = Swift(answers={("HEAD", f"{CONTAINER}/o"): Response(200, PLAIN)})
    assert (await store(swift).stat(CALLER, REF)).account == ACCOUNT
    assert swift.sent == [("HEAD", f"{CONTAINER}/o", {"X-Auth-Token": "secret-token", "Accept-Encoding": "identity"})]


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        (ObjectRef("a b", "x/y"), "a%20b/x/y"),
        (ObjectRef("c", "ä"), "c/%C3%A4"),
        (ObjectRef("c", "a?b#c%2F"), "c/a%3Fb%23c%252F"),
        (ObjectRef("c", "//a//"), "c///a//"),
        (ObjectRef("c", "o", "1/2&x=y"), "c/o?version-id=1%2F2%26x%3Dy"),
    ],
)
def test_name_is_encoded_so_that_it_stays_one_object(ref: ObjectRef, path: str) -> None:
    assert object_url(ACCOUNT, ref) == f"{ACCOUNT}/{path}"


# --- capabilities


@pytest.mark.parametrize(
    ("slots", "key"),
    [
        ({"X-Container-Meta-Temp-Url-Key": "container-1"}, "container-1"),
        ({"X-Container-Meta-Temp-Url-Key-2": "container-2"}, "container-2"),
        (
            {"X-Container-Meta-Temp-Url-Key": "container-1", "X-Container-Meta-Temp-Url-Key-2": "container-2"},
            "container-1",
        ),
    ],
)
async def test_key_of_the_container_is_used_and_none_is_set(slots: dict[str, str], key: str) -> None:
    swift = Swift(container=slots, account={"X-Account-Meta-Temp-Url-Key": "account-1"})
    assert signed_with((await offers(store(swift)))[0]) == key
    assert swift.posts() == []


@pytest.mark.parametrize("slot", ["X-Account-Meta-Temp-Url-Key", "X-Account-Meta-Temp-Url-Key-2"])
async def test_key_of_the_account_is_used_where_the_container_has_none_and_none_is_set(slot: str) -> None:
    swift = Swift(account={slot: "account-1"})
    assert signed_with((await offers(store(swift)))[0]) == "account-1"
    assert swift.posts() == []


@pytest.mark.parametrize("large", [SLO, DLO])
async def test_key_of_the_container_is_not_used_for_a_large_object_nor_is_one_set(large: ObjectStat) -> None:
    swift = Swift(container={"X-Container-Meta-Temp-Url-Key": "container-1"})
    assert await offers(store(swift), large) == [ByteStream()]
    assert swift.posts() == []
    swift = Swift(
        container={"X-Container-Meta-Temp-Url-Key": "container-1"}, account={"X-Account-Meta-Temp-Url-Key": "account-1"}
    )
    assert signed_with((await offers(store(swift), large))[0]) == "account-1"


async def test_key_is_set_only_in_the_second_slot_of_a_container_where_there_is_none_anywhere() -> None:
    swift = Swift()
    capability = (await offers(store(swift)))[0]
    ((url, headers),) = swift.posts()
    assert url == CONTAINER
    assert set(headers) == {"X-Auth-Token", "X-Container-Meta-Temp-Url-Key-2"}
    key = headers["X-Container-Meta-Temp-Url-Key-2"]
    assert len(key) >= 32
    assert isinstance(capability, SignedUrl)
    expected = sign(f"{CONTAINER}/o", method="GET", key=key, expires_at=1_800_000_300, digest="sha256")
    assert capability.url == expected


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
async def test_no_key_is_set_while_the_containers_keys_cannot_be_seen(status: int) -> None:
    swift = Swift(answers={("HEAD", CONTAINER): Response(status)})
    assert await offers(store(swift)) == [ByteStream()]
    assert swift.posts() == []


async def test_no_key_is_set_twice() -> None:
    swift = Swift()
    for _ in range(3):
        await offers(store(swift))
    assert len(swift.posts()) == 1


async def test_key_that_another_replica_put_there_at_the_same_moment_counts() -> None:
    swift = Swift(answers={("POST", CONTAINER): Response(204)})
    driver = store(swift)
    capabilities = driver.capabilities(CALLER, stat())
    original = swift.exchange

    @contextlib.asynccontextmanager
    async def raced(method: str, url: str, headers: Mapping[str, str]) -> AsyncIterator[Response]:
        async with original(method, url, headers) as response:
            if method == "POST":
                swift.answers["HEAD", CONTAINER].headers["X-Container-Meta-Temp-Url-Key-2"] = "container-2"
            yield response

    swift.exchange = raced  # type: ignore[method-assign]
    assert signed_with(await anext(capabilities)) == "container-2"


@pytest.mark.parametrize("slot", ["X-Container-Meta-Temp-Url-Key", "X-Container-Meta-Temp-Url-Key-2"])
async def test_key_that_only_some_of_swifts_servers_know_yet_is_used_and_not_replaced(slot: str) -> None:
    swift = Swift()
    original = swift.exchange

    @contextlib.asynccontextmanager
    async def lagging(method: str, url: str, headers: Mapping[str, str]) -> AsyncIterator[Response]:
        async with original(method, url, headers) as response:
            newest = method == "HEAD" and url == CONTAINER and headers.get("X-Newest") == "true"
            yield Response(204, {slot: "container-1"}) if newest else response

    swift.exchange = lagging  # type: ignore[method-assign]
    assert signed_with((await offers(store(swift)))[0]) == "container-1"
    assert swift.posts() == []


async def test_no_key_is_set_where_the_site_does_not_want_it() -> None:
    swift = Swift()
    assert await offers(store(swift, tempurl_set_key=False)) == [ByteStream()]
    assert swift.posts() == []


@pytest.mark.parametrize("status", [401, 403, 404, 503])
async def test_caller_who_may_not_set_a_key_gets_the_next_capability(status: int) -> None:
    swift = Swift(answers={("POST", CONTAINER): Response(status)})
    assert await offers(store(swift)) == [ByteStream()]


async def test_version_is_not_signed_because_the_signature_does_not_cover_it() -> None:
    swift = Swift(container={"X-Container-Meta-Temp-Url-Key": "container-1"})
    assert await offers(store(swift), stat(ObjectRef("c", "o", "v1"))) == [ByteStream()]
    assert swift.sent == []


async def test_capabilities_come_in_the_order_of_the_settings_and_are_made_when_asked_for() -> None:
    swift = Swift(container={"X-Container-Meta-Temp-Url-Key": "container-1"})
    driver = store(swift, "http://s3.test/c/o?X-Amz-Signature=s", capabilities=("stream", "s3", "tempurl"))
    capabilities = driver.capabilities(CALLER, stat())
    assert await anext(capabilities) == ByteStream()
    assert swift.sent == []
    assert [capability.name async for capability in capabilities] == ["s3", "tempurl"]


def test_signed_url_is_not_shown_in_a_repr() -> None:
    assert "sig" not in repr(SignedUrl("tempurl", "http://x?temp_url_sig=s"))


# --- keeping digests


async def test_version_is_not_posted_to() -> None:
    swift = Swift()
    assert not await store(swift).keep(CALLER, stat(ObjectRef("c", "o", "v1")), {"adler32": "11e60398"})
    assert swift.sent == []


async def test_metadata_that_would_not_go_back_as_it_came_is_left_alone() -> None:
    """A POST replaces all of it, and bytes that are no UTF-8 cannot be sent."""
    swift = Swift()
    latin = stat(content_disposition="caf\udce9")
    assert not await store(swift).keep(CALLER, latin, {"adler32": "11e60398"})
    assert swift.sent == []


@pytest.mark.parametrize(
    "fields",
    [
        {"x_delete_at": "1800000000"},
        {"content_location": "/v1/AUTH_p/c/other"},
        {"content_location": "/v1/AUTH_q/c/o"},
        {"content_location": "/v1/AUTH_p/d/o?version-id=1"},
        {"content_location": "http://swift.test/v1/AUTH_p/c/oo"},
    ],
)
async def test_object_that_expires_and_one_behind_a_link_are_not_posted_to(fields: dict[str, str]) -> None:
    swift = Swift()
    assert not await store(swift).keep(CALLER, stat(**fields), {"adler32": "11e60398"})
    assert swift.sent == []


@pytest.mark.parametrize("place", ["/v1/AUTH_p/c/%C3%BC%20b?version-id=1", "/v1/AUTH_p/c/%c3%bc%20b"])
async def test_object_that_is_where_it_was_asked_for_is_posted_to(place: str) -> None:
    ref = ObjectRef("c", "ü b")
    swift = Swift(answers={("POST", object_url(ACCOUNT, ref)): Response(202)})
    assert await store(swift).keep(CALLER, stat(ref, content_location=place), {"adler32": "11e60398"})


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, ErrorCode.TOKEN_INVALID), (500, ErrorCode.STORE_UNAVAILABLE), (503, ErrorCode.STORE_UNAVAILABLE)],
)
async def test_post_that_another_token_or_time_may_mend_is_an_error(status: int, kind: ErrorCode) -> None:
    swift = Swift(answers={("POST", f"{CONTAINER}/o"): Response(status)})
    with pytest.raises(GatewayError) as caught:
        await store(swift).keep(CALLER, stat(), {"adler32": "11e60398"})
    assert caught.value.kind is kind


@pytest.mark.parametrize("status", [403, 404, 307])
async def test_post_that_is_not_accepted_stores_nothing(status: int) -> None:
    swift = Swift(answers={("POST", f"{CONTAINER}/o"): Response(status)})
    assert not await store(swift).keep(CALLER, stat(), {"adler32": "11e60398"})


async def test_post_repeats_all_other_metadata_and_binds_the_digests() -> None:
    found = stat(
        x_object_manifest="s/o",
        x_object_meta_colour="blue",
        x_object_meta_crc32="00000001",
        x_object_meta_checksum_source=write_stored({}, {"crc32": "00000001"}, etag=MD5, size=9)[BINDING],
        content_encoding="gzip",
    )
    swift = Swift(answers={("POST", f"{CONTAINER}/o"): Response(202)})
    assert await store(swift).keep(CALLER, found, {"adler32": "11e60398"})
    ((_, headers),) = swift.posts()
    assert {name.lower(): value for name, value in headers.items()} == {
        "x-auth-token": "secret-token",
        "x-object-manifest": "s/o",
        "x-object-meta-colour": "blue",
        "x-object-meta-crc32": "00000001",
        "x-object-meta-adler32": "11e60398",
        "x-object-meta-checksum-source": write_stored({"crc32": "00000001"}, {"adler32": "11e60398"}, etag=MD5, size=9)[
            BINDING
        ],
        "content-encoding": "gzip",
    }


async def test_keeping_digests_leaves_the_content_type_to_the_object() -> None:
    heads: list[bytes] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    identity: Any = SimpleNamespace(verify=True)
    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server, open_clients(Settings(), identity, StoreAllowlist()) as (_, session, _):
        driver = SwiftStore(StoreClient(session, timeout_seconds=5), RULES, None)  # type: ignore[arg-type]
        port = server.sockets[0].getsockname()[1]
        found = dataclasses.replace(stat(content_type="text/plain"), account=f"http://127.0.0.1:{port}/v1/AUTH_p")
        assert await driver.keep(CALLER, found, {"adler32": "11e60398"})
    assert b"\r\nx-object-meta-adler32: 11e60398\r\n" in heads[0].lower()
    assert b"content-type" not in heads[0].lower()


digests = st.dictionaries(st.sampled_from(sorted(ALGORITHMS)), st.integers(0, 2**32 - 1)).map(
    lambda values: {name: f"{value:0{2 * ALGORITHMS[name].size}x}" for name, value in values.items()}
)
etags = st.text("0123456789abcdef-", min_size=1, max_size=40)
sizes = st.integers(0, 2**63)


@given(kept=digests, new=digests, etag=etags, size=sizes)
def test_what_is_written_is_read_again(kept: dict[str, str], new: dict[str, str], etag: str, size: int) -> None:
    written = write_stored(kept, new, etag=etag, size=size)
    assert read_stored({**written, "colour": "blue"}, etag=etag, size=size) == {**kept, **new}


@given(new=digests, etag=etags, size=sizes, other_etag=etags, other_size=sizes)
def test_stored_digests_count_for_their_own_etag_and_size_only(
    new: dict[str, str], etag: str, size: int, other_etag: str, other_size: int
) -> None:
    written = write_stored({}, new, etag=etag, size=size)
    if other_etag != etag:
        assert read_stored(written, etag=other_etag, size=size) == {}
    if other_size != size:
        assert read_stored(written, etag=etag, size=other_size) == {}


BOUND = write_stored({}, {"adler32": "11e60398"}, etag=MD5, size=9)[BINDING]


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"adler32": "11e60398"}, id="no-binding"),
        pytest.param({"adler32": "11e60398", BINDING: ""}, id="empty"),
        pytest.param({"adler32": "11e60398", BINDING: f"{MD5};9"}, id="no-names"),
        pytest.param({"adler32": "11e60398", BINDING: f"{MD5};9;adler32"}, id="no-seal"),
        pytest.param({"adler32": "11e60398", BINDING: f"{MD5};9;adler32;0123456789abcdef"}, id="other-seal"),
        pytest.param({"adler32": "11E60398", BINDING: BOUND}, id="capitals"),
        pytest.param({"adler32": "1e60398", BINDING: BOUND}, id="too-short"),
        pytest.param({"adler32": "0badc0de", BINDING: BOUND}, id="overwritten"),
        pytest.param({BINDING: BOUND}, id="no-value"),
        pytest.param(write_stored({}, {"colour": "11e60398"}, etag=MD5, size=9), id="no-algorithm"),
        pytest.param(write_stored({}, {"adler32": "short"}, etag=MD5, size=9), id="no-digest"),
    ],
)
def test_value_that_somebody_else_wrote_is_no_fact(metadata: dict[str, str]) -> None:
    assert read_stored(metadata, etag=MD5, size=9) == {}


def test_binding_fits_into_a_metadata_value_with_all_algorithms() -> None:
    digests = {name: "0" * 2 * algorithm.size for name, algorithm in ALGORITHMS.items()}
    assert len(write_stored({}, digests, etag=MD5, size=2**63)[BINDING]) <= 256


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"adler32": "xyz"}, id="no-digest"),
        pytest.param({"adler32": "123456789"}, id="too-long"),
        pytest.param({"adler32": "12345678", "md5": "0" * 32}, id="md5-of-other-content"),
        pytest.param(
            {"adler32": "12345678", "md5chksum": "AAAAAAAAAAAAAAAAAAAAAA=="}, id="rclone-md5-of-other-content"
        ),
        pytest.param({"adler32": "12345678", BINDING: f"{'0' * 32};9;adler32;x"}, id="binding-of-other-content"),
        pytest.param({"adler32": "12345678", BINDING: f"{MD5};8;adler32;x"}, id="binding-of-other-size"),
    ],
)
def test_foreign_digest_that_is_seen_to_be_stale_or_none_is_passed_over(metadata: dict[str, str]) -> None:
    assert read_foreign(metadata, etag=MD5, size=9, native={"md5": MD5}) == {}


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"adler32": "14F0A1"}, {"adler32": "0014f0a1"}),
        ({"md5": MD5.upper()}, {"md5": MD5}),
        ({"md5chksum": base64.b64encode(bytes.fromhex(MD5)).decode()}, {"md5": MD5}),
        ({"adler32": "0badc0de", BINDING: BOUND}, {"adler32": "0badc0de"}),
        ({"adler32": "11e60398", "md5": MD5, BINDING: BOUND}, {"md5": MD5}),
    ],
)
def test_foreign_digest_comes_in_our_form_and_beside_what_is_bound(
    metadata: dict[str, str], found: dict[str, str]
) -> None:
    assert read_foreign(metadata, etag=MD5, size=9, native={"md5": MD5}) == found


def test_foreign_digest_of_a_dynamic_large_object_is_not_even_looked_at() -> None:
    ref = ObjectRef("c", "o")
    headers = {"etag": MD5, "content-length": "9", "x-object-meta-adler32": "12345678"}
    assert stat_from("p", "http://swift.test/v1/AUTH_p", ref, headers).foreign == {"adler32": "12345678"}
    large = {**headers, "x-object-manifest": "c/s"}
    assert stat_from("p", "http://swift.test/v1/AUTH_p", ref, large).foreign == {}


# --- TempURLs and endpoints


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize(
    ("url", "signed_path"),
    [
        ("http://swift.test/v1/AUTH_p/c/o", "/v1/AUTH_p/c/o"),
        ("https://swift.test:8080/prefix/v1/AUTH_p/c/a//b/", "/prefix/v1/AUTH_p/c/a//b/"),
        ("http://swift.test/v1/AUTH_p/c/%C3%A4%20%2525", "/v1/AUTH_p/c/ä %25"),
    ],
)
def test_temp_url_signs_the_decoded_path_as_swift_computes_it(url: str, signed_path: str, digest: str) -> None:
    signature = hmac.new(b"key", f"GET\n1800000000\n{signed_path}".encode(), getattr(hashlib, digest)).hexdigest()
    signed = sign(url, method="GET", key="key", expires_at=1_800_000_000, digest=digest)
    assert signed == f"{url}?temp_url_sig={signature}&temp_url_expires=1800000000"


def endpoint(**kwargs: Any) -> str | None:
    return endpoint_of(
        CALLER, **{"service_type": "object-store", "interface": "public", "region": None, "configured": None, **kwargs}
    )


def test_endpoint_that_the_catalog_does_not_have_is_none() -> None:
    assert endpoint(interface="admin") is None
    assert endpoint(region="R3") is None
    assert endpoint(service_type="compute") is None
    with pytest.raises(GatewayError) as caught:
        account_of(CALLER, interface="public", region="R3", configured=None)
    assert caught.value.kind is ErrorCode.OBJECT_UNSUPPORTED


def test_endpoint_is_that_of_service_interface_and_region() -> None:
    assert endpoint() == ACCOUNT
    assert endpoint(region="R2") == "http://r2.test/v1/AUTH_p"
    assert endpoint(interface="internal") == "http://internal.test/v1/AUTH_p"
    assert endpoint(service_type="s3") == "http://s3.test"


def test_configured_endpoint_beats_the_catalog_and_names_the_project_of_the_token() -> None:
    assert endpoint(configured="http://swift/v1/AUTH_{project_id}") == "http://swift/v1/AUTH_p"


def test_weak_etag_is_kept_apart_from_the_strong_one_and_binds_nothing() -> None:
    written = write_stored({}, {"adler32": "11e60398"}, etag=f'W/"{MD5}"', size=9)
    fields = {f"x_object_meta_{name}": value for name, value in written.items()}
    weak = stat(etag=f'W/"{MD5}"', **fields)
    assert (weak.etag, weak.native, weak.stored, weak.rewritable) == (f'W/"{MD5}"', {}, {}, False)
    assert conditions(weak.etag) == {"Accept-Encoding": "identity"}
    assert conditions(MD5)["If-Match"] == f'"{MD5}"'


# --- writing

KEYED = {"X-Container-Meta-Temp-Url-Key": "container-1"}
RULED = [AccessRule("object-store", method, "/v1/AUTH_p/c/*") for method in ("HEAD", "GET", "PUT")]


@pytest.mark.parametrize(("lacking", "method"), [("GET", "GET"), ("PUT", "PUT")])
async def test_no_url_is_signed_for_what_the_access_rules_of_the_token_forbid(lacking: str, method: str) -> None:
    """Swift does not apply them to a URL."""
    rules = tuple(rule for rule in RULED if rule.method != lacking)
    caller = dataclasses.replace(CALLER, access_rules=rules, service_types=frozenset(["object-store"]))
    swift = Swift(container=KEYED)
    driver = store(swift, capabilities=("tempurl",))
    read = [each async for each in driver.capabilities(caller, stat())]
    write = await driver.write_url(caller, REF, new=True)
    assert (read == []) is (method == "GET")
    assert (write is None) is (method == "PUT")
    other = await driver.write_url(caller, ObjectRef("c", "a/b"), new=True)
    assert other is None


async def test_write_prefers_the_url_whose_signature_covers_the_condition() -> None:
    asked = []

    async def presign(_caller: Caller, _ref: ObjectRef, method: str, headers: Mapping[str, str]) -> str | None:
        asked.append((method, dict(headers)))
        return "http://signed"

    driver = SwiftStore(Swift(container=KEYED), RULES, presign, clock=lambda: NOW)  # type: ignore[arg-type]
    assert await driver.write_url(CALLER, REF, new=True) == SignedUrl(
        "s3", "http://signed", 300, {"If-None-Match": "*"}
    )
    assert await driver.write_url(CALLER, REF, new=False) == SignedUrl("s3", "http://signed", 300, {})
    assert asked == [("PUT", {"If-None-Match": "*"}), ("PUT", {})]
    (first, second) = [each async for each in driver.capabilities(CALLER, stat(), bound=True)][:2]
    assert isinstance(first, SignedUrl)
    assert isinstance(second, SignedUrl)
    assert [first.headers, second.headers, asked[-1]] == [{"If-Match": f'"{MD5}"'}] * 2 + [
        ("GET", {"If-Match": f'"{MD5}"'})
    ]


async def test_write_url_of_a_key_is_for_put_and_this_object() -> None:
    url = await store(Swift(container=KEYED)).write_url(CALLER, REF, new=True)
    assert url is not None
    signed = sign(f"{CONTAINER}/o", method="PUT", key="container-1", expires_at=1_800_000_300, digest="sha256")
    assert (url.name, url.url, url.headers) == ("tempurl", signed, {"If-None-Match": "*"})
    assert await store(Swift(), tempurl_set_key=False).write_url(CALLER, REF, new=True) is None
    assert await store(Swift(container=KEYED), capabilities=("stream",)).write_url(CALLER, REF, new=True) is None
