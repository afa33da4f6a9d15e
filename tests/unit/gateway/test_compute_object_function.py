"""A function's answer counts only if it speaks of the object and the algorithms that were asked about."""

import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from gateway.calls.call import Call
from gateway.checksums.contract import DigestContract
from gateway.checksums.known import Digest, KnownDigests, Source
from gateway.compute.job import CapabilityRefusedError, Job
from gateway.compute.object_function import ObjectFunction, Target
from gateway.compute.reply import MAX_REPLY_BYTES, result_of
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.identity.caller import Caller
from gateway.limits.model import LimitSubject
from gateway.objects.model import ByteStream, ObjectKind, ObjectRef, ObjectStat, SignedUrl
from gateway.policy.names import Rule
from gateway.upstream.function_client import FunctionRequest
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import FunctionAddress, Tenant

MD5 = "0123456789abcdef0123456789abcdef"
ADLER = "11e60398"
STAT = ObjectStat("p", "http://swift.test/v1/AUTH_p", ObjectRef("c", "o"), MD5, 9, ObjectKind.PLAIN, "text/plain")
NATIVE = dataclasses.replace(STAT, native={"md5": MD5})
GOOD: dict[str, Any] = {"etag": MD5, "size": 9, "digests": {"md5": MD5, "adler32": ADLER}}
NAMES = ("adler32", "md5")
CALLER = Caller("secret-token", "u", "alice", ProjectId("p"), "demo", frozenset(), 0)
ADDRESS = FunctionAddress("http://ingress.test", "checksums.faas-p.svc.cluster.local")


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param({**GOOD, "etag": "f" * 32}, id="other-etag"),
        pytest.param({**GOOD, "etag": f'"{MD5}"'}, id="etag-in-quotes"),
        pytest.param({**GOOD, "etag": None}, id="etag-null"),
        pytest.param({k: v for k, v in GOOD.items() if k != "etag"}, id="no-etag"),
        pytest.param({**GOOD, "size": 8}, id="other-size"),
        pytest.param({**GOOD, "size": "9"}, id="size-word"),
        pytest.param({k: v for k, v in GOOD.items() if k != "size"}, id="no-size"),
        pytest.param({**GOOD, "digests": {"md5": MD5}}, id="digest-missing"),
        pytest.param({**GOOD, "digests": {}}, id="no-digests"),
        pytest.param({**GOOD, "digests": None}, id="digests-null"),
        pytest.param({**GOOD, "digests": [MD5, ADLER]}, id="digests-list"),
        pytest.param({**GOOD, "digests": {"md5": MD5, "adler32": "11E60398"}}, id="capitals"),
        pytest.param({**GOOD, "digests": {"md5": MD5, "adler32": "1e60398"}}, id="seven-digits"),
        pytest.param({**GOOD, "digests": {"md5": MD5, "adler32": "0x11e603"}}, id="prefix"),
        pytest.param({**GOOD, "digests": {"md5": MD5, "adler32": ADLER + "\r\nX: 1"}}, id="header-injection"),
        pytest.param({**GOOD, "digests": {"md5": MD5, "adler32": 300287896}}, id="number"),
        pytest.param({**GOOD, "digests": {"md5": MD5, "adler32": None}}, id="null"),
        pytest.param({}, id="empty"),
        pytest.param({"error": {"code": "unheard_of"}}, id="error-unknown"),
        pytest.param({"error": {}}, id="error-without-code"),
        pytest.param({"error": {"code": []}}, id="error-code-list"),
        pytest.param({"error": {"code": ["object_changed"]}}, id="error-code-in-a-list"),
        pytest.param({"error": {"code": {}}}, id="error-code-mapping"),
        pytest.param({"error": {"code": None}}, id="error-code-null"),
        pytest.param({"error": "object_changed"}, id="error-word"),
        pytest.param({"error": False}, id="error-false"),
        pytest.param({"error": {"code": "internal", "message": "x"}, **GOOD}, id="error-beside-digests"),
    ],
)
def test_poisoned_reply_is_the_functions_failure(reply: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        digests_in(reply, STAT, NAMES)
    assert caught.value.kind is ErrorCode.FUNCTION_FAILED


@pytest.mark.parametrize("names", [("md5",), ("adler32",)])
def test_md5_that_contradicts_the_stores_own_discredits_the_whole_reply(names: tuple[str, ...]) -> None:
    reply = {**GOOD, "digests": {"md5": "f" * 32, "adler32": ADLER}}
    with pytest.raises(GatewayError) as caught:
        digests_in(reply, NATIVE, names)
    assert caught.value.kind is ErrorCode.OBJECT_CORRUPT
    assert digests_in(reply, STAT, ("md5",)) == {"md5": "f" * 32}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("object_changed", ErrorCode.OBJECT_CHANGED),
        ("short_read", ErrorCode.OBJECT_TRUNCATED),
        ("source_unreachable", ErrorCode.OBJECT_TRUNCATED),
        ("too_busy", ErrorCode.FUNCTION_BUSY),
    ],
)
def test_errors_that_a_function_may_report(code: str, kind: ErrorCode) -> None:
    with pytest.raises(GatewayError) as caught:
        digests_in({"error": {"code": code, "message": "words of the tenant"}}, STAT, NAMES)
    assert caught.value.kind is kind
    assert "words of the tenant" not in caught.value.message


def test_large_object_that_its_source_does_not_have_whole_is_not_tried_in_another_way() -> None:
    large = dataclasses.replace(STAT, kind=ObjectKind.STATIC_LARGE)
    with pytest.raises(GatewayError) as caught:
        digests_in({"error": {"code": "source_incomplete"}}, large, NAMES)
    assert (caught.value.kind, caught.value.retry_after_seconds) == (ErrorCode.OBJECT_UNSUPPORTED, None)


@pytest.mark.parametrize("code", ["source_refused", "source_missing", "source_incomplete"])
def test_capability_that_the_store_refused_may_be_followed_by_another(code: str) -> None:
    with pytest.raises(CapabilityRefusedError):
        digests_in({"error": {"code": code}}, STAT, NAMES)


def test_only_what_was_asked_for_is_taken() -> None:
    assert digests_in({**GOOD, "error": None, "more": 1}, NATIVE, ("adler32",)) == {"adler32": ADLER}


class Response:
    """The part of a `Reply` that is read."""

    def __init__(self, status: int, *pieces: bytes) -> None:
        self.status = status
        self._pieces = pieces

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


class Client:
    """A `FunctionClient` that answers with what it is given, and keeps what it was sent."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.headers: Mapping[str, str] = {}
        self.length: int | None = None
        self.body = b""

    @contextlib.asynccontextmanager
    async def exchange(self, address: FunctionAddress, request: FunctionRequest) -> AsyncIterator[Response]:
        self.headers = {name.decode(): value.decode() for name, value in request.fields}
        self.length, body = request.length, request.body
        assert body is not None
        self.body = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
        yield self.response


class Store:
    """The reading half of an `ObjectStore`."""

    def __init__(self, *pieces: bytes, failure: GatewayError | None = None) -> None:
        self._pieces = pieces
        self._failure = failure

    @contextlib.asynccontextmanager
    async def reading(self, caller: Caller, stat: ObjectStat) -> AsyncIterator[AsyncIterator[bytes]]:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in self._pieces:
                yield piece
            if self._failure is not None:
                raise self._failure

        yield pieces()


def function(response: Response, store: Store | None = None) -> tuple[ObjectFunction, Client]:
    client = Client(response)
    return ObjectFunction(client, store or Store()), client  # type: ignore[arg-type]


async def compute(
    functions: ObjectFunction, capability: SignedUrl | ByteStream, stat: ObjectStat = STAT
) -> dict[str, str]:
    subject = LimitSubject(CALLER.project_id, CALLER.user_id)
    tenant = Tenant(CALLER.project_id, NamespaceName("faas-p"), {})
    call = Call(caller=CALLER, tenant=tenant, subject=subject, context=RequestContext("req-1"), rule=Rule.CHECKSUMS_GET)
    job = Job(call=call, stat=stat, contract=DigestContract(NAMES))
    return await functions.compute(job, Target(address=ADDRESS), capability)


def digests_in(reply: dict[str, Any], stat: ObjectStat, names: tuple[str, ...]) -> dict[str, str]:
    return result_of(DigestContract(names), reply, stat)


URL = SignedUrl("tempurl", "http://swift.test/v1/AUTH_p/c/o?temp_url_sig=s")
BODY = json.dumps(GOOD).encode()


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_ingress_with_nobody_behind_it_is_unreachable(status: int) -> None:
    with pytest.raises(GatewayError) as caught:
        await compute(function(Response(status, b"no healthy upstream"))[0], URL)
    assert caught.value.kind is ErrorCode.FUNCTION_UNREACHABLE


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(Response(200, b""), id="empty"),
        pytest.param(Response(200, b"   \n  "), id="only-signs-of-life"),
        pytest.param(Response(200, b"<html>"), id="html"),
        pytest.param(Response(200, b"[]"), id="list"),
        pytest.param(Response(200, b"null"), id="null"),
        pytest.param(Response(200, BODY[:-1]), id="cut"),
        pytest.param(Response(200, BODY, BODY), id="twice"),
        pytest.param(Response(200, b"\xff\xfe"), id="not-utf8"),
        pytest.param(Response(200, b"[" * 60_000), id="nested-too-deep"),
        pytest.param(Response(200, b'{"error":' * 6_000), id="objects-nested-too-deep"),
        pytest.param(Response(404, b"not found"), id="404"),
        pytest.param(Response(500, BODY), id="500-with-digests"),
        pytest.param(Response(302, BODY), id="redirect"),
        pytest.param(Response(200, b'{"a": "' + b"x" * MAX_REPLY_BYTES, b'"}'), id="too-long"),
    ],
)
async def test_answer_that_is_no_reply_is_the_functions_failure(response: Response) -> None:
    with pytest.raises(GatewayError) as caught:
        await compute(function(response)[0], URL)
    assert caught.value.kind is ErrorCode.FUNCTION_FAILED


async def test_error_document_counts_whatever_the_status() -> None:
    for status in (200, 409, 503):
        with pytest.raises(GatewayError) as caught:
            await compute(function(Response(status, b'{"error": {"code": "too_busy"}}'))[0], URL)
        assert caught.value.kind is ErrorCode.FUNCTION_BUSY


async def test_signs_of_life_without_end_do_not_fill_the_memory() -> None:
    pieces = [b" " * 1_024] * 200
    assert await compute(function(Response(200, *pieces, b"\n" + BODY[:5], BODY[5:]))[0], URL) == GOOD["digests"]


@pytest.mark.parametrize("capability", [URL, ByteStream()])
async def test_function_never_gets_the_token(capability: SignedUrl | ByteStream) -> None:
    functions, client = function(Response(200, BODY), Store(b"Wikipedia"))
    await compute(functions, capability)
    assert "secret-token" not in repr(client.headers) + repr(client.body)
    assert client.headers["X-Openstack-Request-Id"] == "req-1"


async def test_order_names_the_url_and_what_the_object_has_to_be() -> None:
    functions, client = function(Response(200, BODY))
    assert await compute(functions, URL) == GOOD["digests"]
    assert json.loads(client.body) == {
        "source": {"url": URL.url, "etag": MD5, "size": 9},
        "algorithms": ["adler32", "md5"],
    }


async def test_bytes_go_along_with_what_the_object_has_to_be() -> None:
    functions, client = function(Response(200, BODY), Store(b"Wiki", b"pedia"))
    assert await compute(functions, ByteStream()) == GOOD["digests"]
    assert client.body == b"Wikipedia"
    assert client.headers["X-Object-Etag"] == MD5
    assert (client.headers["X-Object-Size"], client.length) == ("9", 9)
    assert client.headers["X-Checksum-Algorithms"] == "adler32,md5"


async def test_what_the_store_said_while_reading_is_not_lost() -> None:
    functions, _ = function(Response(200, BODY), Store(b"Wiki", failure=GatewayError(ErrorCode.OBJECT_TRUNCATED)))
    with pytest.raises(GatewayError) as caught:
        await compute(functions, ByteStream())
    assert caught.value.kind is ErrorCode.OBJECT_TRUNCATED


@pytest.mark.parametrize("change", [{"etag": "f" * 32}, {"size": 8}, {"account": "http://swift.test/v1/AUTH_q"}])
def test_memory_is_of_these_very_bytes(change: dict[str, Any]) -> None:
    known = KnownDigests(10)
    known.remember(STAT, {"adler32": ADLER})
    assert known.of(dataclasses.replace(STAT, **change)) == {}
    assert known.of(dataclasses.replace(STAT, ref=ObjectRef("c", "o", "v1"))) == {}
    assert known.of(STAT) == {"adler32": Digest(ADLER, Source.REMEMBERED)}


def test_what_the_store_vouches_for_comes_before_what_lies_with_the_object_and_that_before_memory() -> None:
    known = KnownDigests(10)
    known.remember(STAT, {"md5": "a" * 32, "adler32": "a" * 8, "crc32": "a" * 8})
    found = known.of(dataclasses.replace(NATIVE, stored={"md5": "b" * 32, "adler32": "b" * 8}))
    assert found == {
        "md5": Digest(MD5, Source.NATIVE),
        "adler32": Digest("b" * 8, Source.STORED),
        "crc32": Digest("a" * 8, Source.REMEMBERED),
    }


def test_memory_grows_by_algorithm_and_is_bounded_by_object() -> None:
    known = KnownDigests(2)
    known.remember(STAT, {"adler32": ADLER})
    known.remember(STAT, {"crc32": "a" * 8})
    assert set(known.of(STAT)) == {"adler32", "crc32"}
    for name in ("x", "y"):
        known.remember(dataclasses.replace(STAT, ref=ObjectRef("c", name)), {"adler32": ADLER})
    assert known.of(STAT) == {}


def test_memory_of_no_entries_keeps_nothing() -> None:
    known = KnownDigests(0)
    known.remember(STAT, {"adler32": ADLER})
    assert known.of(STAT) == {}


WEAK = dataclasses.replace(STAT, etag=f'W/"{MD5}"')


@pytest.mark.parametrize("etag", ["f" * 32, 'W/"other"', "", [WEAK.etag], {}])
def test_reply_about_a_weak_etag_names_it_by_weak_comparison_or_none(etag: Any) -> None:
    for good in (WEAK.etag, MD5, None):
        assert digests_in({**GOOD, "etag": good}, WEAK, NAMES) == GOOD["digests"]
    with pytest.raises(GatewayError):
        digests_in({**GOOD, "etag": etag}, WEAK, NAMES)


async def test_no_condition_is_made_of_a_weak_etag() -> None:
    reply = json.dumps({**GOOD, "etag": None}).encode()
    for capability in (URL, ByteStream()):
        functions, client = function(Response(200, reply), Store(b"Wikipedia"))
        await compute(functions, capability, WEAK)
        assert "X-Object-Etag" not in client.headers
        assert capability is not URL or json.loads(client.body)["source"]["etag"] is None


def test_nothing_is_remembered_of_an_object_with_a_weak_etag() -> None:
    known = KnownDigests(10)
    known.remember(WEAK, {"adler32": ADLER})
    assert known.of(WEAK) == {}
