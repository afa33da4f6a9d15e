"""Which object a request names, and how the answer looks to storage clients and to API clients."""

import dataclasses
import json
from types import MappingProxyType
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.checksums.known import Digest, Source
from gateway.checksums.negotiation import NegotiatedDigests
from gateway.checksums.routes import (
    _as_body,
    _as_object,
    _flag,
    algorithms_in,
    check_default_algorithms,
    ref_from_path,
    ref_from_query,
)
from gateway.checksums.service import Answer
from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.objects.model import ObjectKind, ObjectRef, ObjectStat

MD5 = "0123456789abcdef0123456789abcdef"


def from_path(path: bytes, query: bytes = b"") -> ObjectRef:
    return ref_from_path(RequestHead("GET", path, query, ()))[0]


def from_query(query: bytes) -> ObjectRef:
    return ref_from_query(RequestHead("GET", b"/checksums/", query, ()))[0]


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"c", id="container-alone"),
        pytest.param(b"c/", id="object-empty"),
        pytest.param(b"/o", id="container-empty"),
        pytest.param(b"./o", id="container-dot"),
        pytest.param(b"../o", id="container-dots"),
        pytest.param(b"%2e%2E/o", id="container-escaped-dots"),
        pytest.param(b"a%2Fb/o", id="container-with-slash"),
        pytest.param(b"c/%FF", id="not-utf8"),
        pytest.param(b"%C3/o", id="half-a-character"),
        pytest.param(b"c/%ED%A0%80", id="surrogate"),
        pytest.param(b"c/%C0%AF", id="overlong"),
        pytest.param(b"c/a%00", id="nul"),
        pytest.param(b"c" * 257 + b"/o", id="container-too-long"),
        pytest.param(b"c/" + b"o" * 1025, id="object-too-long"),
        pytest.param(b"c/" + b"%C3%A4" * 513, id="object-too-long-in-bytes"),
    ],
)
def test_path_that_names_no_object_is_refused(rest: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        from_path(b"/v1/checksums/" + rest)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


def test_path_that_is_another_path_once_decoded_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        from_path(b"/v1/%63hecksums/c/o")
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


@pytest.mark.parametrize(
    ("rest", "container", "name"),
    [
        (b"c/o", "c", "o"),
        (b"c/a/b//c/", "c", "a/b//c/"),
        (b"c//o", "c", "/o"),
        (b"c/a%2Fb", "c", "a/b"),
        (b"c/%2525", "c", "%25"),
        (b"c/a+b%2B", "c", "a+b+"),
        (b"%C3%A4/%E2%82%AC", "ä", "€"),
        (b"c/a;x=1", "c", "a;x=1"),
    ],
)
def test_path_is_decoded_once_and_not_normalised(rest: bytes, container: str, name: str) -> None:
    assert from_path(b"/v1/checksums/" + rest) == ObjectRef(container, name)


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=50)


@given(container=names.filter(lambda c: "/" not in c and c not in {".", ".."}), name=names)
def test_every_name_can_be_named_in_the_path_and_in_the_query(container: str, name: str) -> None:
    path = f"/v1/checksums/{quote(container, safe='')}/{quote(name)}".encode()
    assert from_path(path) == ObjectRef(container, name)
    query = f"bucket={quote(container, safe='')}&file={quote(name, safe='')}".encode()
    assert from_query(query) == ObjectRef(container, name)


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"bucket=c", id="no-file"),
        pytest.param(b"file=o", id="no-bucket"),
        pytest.param(b"bucket=&file=o", id="bucket-empty"),
        pytest.param(b"bucket=c&file=", id="file-empty"),
        pytest.param(b"bucket=c&bucket=d&file=o", id="two-buckets"),
        pytest.param(b"bucket=c&container=d&file=o", id="bucket-and-container"),
        pytest.param(b"bucket=c&container=c&file=o", id="bucket-and-container-alike"),
        pytest.param(b"bucket=c&file=o&file=o", id="one-file-twice"),
        pytest.param(b"bucket=c&file=o&version-id=1&version-id=2", id="two-versions"),
        pytest.param(b"bucket=a%2Fb&file=o", id="bucket-with-slash"),
        pytest.param(b"bucket=..&file=o", id="bucket-dots"),
        pytest.param(b"bucket=c&file=%FF", id="not-utf8"),
        pytest.param(b"Bucket=c&File=o", id="case"),
        pytest.param(b"bucket=c;file=o", id="semicolon"),
    ],
)
def test_query_that_names_no_object_or_two_is_refused(query: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        from_query(query)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


@pytest.mark.parametrize(
    "query",
    [b"bucket=c&file=a%2Fb", b"bucket=c&file=a/b", b"container=c&object=a/b", b"file=a/b&bucket=c"],
)
def test_query_names_an_object_in_its_two_dialects(query: bytes) -> None:
    assert from_query(query) == ObjectRef("c", "a/b")


@pytest.mark.parametrize("query", [b"version-id=v1", b"versionId=v1"])
def test_version_comes_from_the_query_in_either_spelling(query: bytes) -> None:
    assert from_path(b"/v1/checksums/c/o", query) == ObjectRef("c", "o", "v1")
    assert from_query(b"bucket=c&file=o&" + query) == ObjectRef("c", "o", "v1")


@pytest.mark.parametrize("query", [b"cks.type=adler32", b"algorithm=adler32", b"algorithm=&cks.type=adler32"])
def test_algorithms_come_from_the_query_also_as_xrootd_spells_it(query: bytes) -> None:
    assert algorithms_in(ref_from_path(RequestHead("HEAD", b"/v1/checksums/c/o", query, ()))[1]) == ["adler32"]
    assert algorithms_in(ref_from_query(RequestHead("GET", b"/checksums/", b"bucket=c&file=o&" + query, ()))[1])


def test_what_xrootd_tells_its_own_servers_changes_nothing() -> None:
    reference, parameters = ref_from_path(
        RequestHead("HEAD", b"/v1/checksums/c/o", b"xrdclhttp.timeout=9s500ms&cks.type=md5", ())
    )
    assert (reference, algorithms_in(parameters)) == (ObjectRef("c", "o"), ["md5"])


@pytest.mark.parametrize("value", ["", "2", "on", "wahr", "true ", "truetrue"])
def test_flag_that_is_neither_true_nor_false_is_refused(value: str) -> None:
    with pytest.raises(GatewayError) as caught:
        _flag({"force": [value]}, "force")
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


def test_flag_given_twice_is_refused() -> None:
    with pytest.raises(GatewayError):
        _flag({"force": ["true", "true"]}, "force")


@pytest.mark.parametrize(
    ("values", "flag"),
    [([], False), (["true"], True), (["True"], True), (["1"], True), (["no"], False), (["0"], False)],
)
def test_flag(values: list[str], flag: bool) -> None:
    assert _flag({"force": values} if values else {}, "force") is flag


def test_default_algorithm_that_we_do_not_have_is_named() -> None:
    check_default_algorithms(("adler32", "md5"))
    with pytest.raises(ValueError, match="sha3, adler;"):
        check_default_algorithms(("md5", "sha3", "adler"))


def answer(*, kind: ObjectKind = ObjectKind.PLAIN, native: bool = True, stored: bool | None = None) -> Answer:
    stat = ObjectStat(
        "p",
        "http://swift.test/v1/AUTH_p",
        ObjectRef("c", "a/ö"),
        MD5,
        5_000_000_000,
        kind,
        "text/x-thing",
        last_modified="Fri, 15 Jan 2027 08:00:00 GMT",
        native={"md5": MD5} if native else {},
    )
    digests = {"md5": Digest(MD5, Source.NATIVE), "adler32": Digest("11e60398", Source.COMPUTED)}
    return Answer(stat, MappingProxyType(digests), stored)


def test_head_says_what_the_object_itself_would_say() -> None:
    headers = _as_object(answer(), {"Digest": "adler32=11e60398"}).headers
    assert headers["content-length"] == "5000000000"
    assert headers["content-type"] == "text/x-thing"
    assert headers["last-modified"] == "Fri, 15 Jan 2027 08:00:00 GMT"
    assert headers["etag"] == f'"{MD5}"'
    assert headers["digest"] == "adler32=11e60398"
    assert "content-md5" not in headers


@pytest.mark.parametrize("name", ["\u65e5", "\udcff", "\xe4"])
def test_head_of_an_object_whose_content_type_is_not_ascii_is_answered(name: str) -> None:
    found = answer()
    odd = dataclasses.replace(found.stat, content_type=f"text/plain; name={name}")
    headers = _as_object(dataclasses.replace(found, stat=odd), {"Digest": "adler32=11e60398"}).headers
    assert headers["digest"] == "adler32=11e60398"
    assert "\r" not in headers["content-type"]
    assert "\n" not in headers["content-type"]


def test_head_shows_no_etag_that_is_not_the_true_md5() -> None:
    assert "etag" not in _as_object(answer(kind=ObjectKind.STATIC_LARGE, native=False), {}).headers


def test_text_is_the_bare_hex_for_one_and_named_for_several() -> None:
    one = _as_body(answer(), NegotiatedDigests(("adler32",)), {}, text=True)
    assert bytes(one.body) == b"11e60398\n"
    assert one.headers["content-type"].startswith("text/plain")
    both = _as_body(answer(), NegotiatedDigests(("adler32", "md5")), {}, text=True)
    assert bytes(both.body) == f"adler32=11e60398\nmd5={MD5}\n".encode()


@pytest.mark.parametrize("stored", [None, True, False])
def test_json_says_which_bytes_the_digests_belong_to_and_whether_they_are_kept(stored: bool | None) -> None:
    body = json.loads(_as_body(answer(stored=stored), NegotiatedDigests(("adler32", "md5")), {}, text=False).body)
    assert body == {
        "container": "c",
        "object": "a/ö",
        "version_id": None,
        "etag": MD5,
        "size": 5_000_000_000,
        "digests": {"adler32": "11e60398", "md5": MD5},
        "sources": {"adler32": "computed", "md5": "native"},
        **({} if stored is None else {"stored": stored}),
    }
