"""Whatever comes in, a parser answers or refuses with an error of the closed list; and what it lets pass is clean.

What is compared with is code of its own, not the product's. Each test is also a target of `make test-fuzz`, where
Atheris looks for the input that breaks it by the branches that it reaches.
"""

import asyncio
import base64
import hashlib
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlencode

from hypothesis import example, given
from hypothesis import strategies as st

from control.document import parse_change
from gateway.checksums.bulk import parse_bulk_request
from gateway.checksums.bulk_work import named
from gateway.checksums.contract import DigestContract
from gateway.checksums.negotiation import digest_fields, negotiate
from gateway.checksums.routes import NAMING_PARAMETERS, PARAMETERS, ref_from_path, ref_from_query
from gateway.compute.job import CapabilityRefusedError
from gateway.compute.reply import result_of
from gateway.digests import ALGORITHMS, BY_WIRE_NAME, is_digest
from gateway.errors import ErrorCode, GatewayError
from gateway.events.records import read_events
from gateway.http.head import RequestHead, read_head
from gateway.http.query import parse_query
from gateway.identity.access_rules import allows
from gateway.identity.caller import AccessRule, Caller
from gateway.identity.keystone import caller_from
from gateway.identity.tokens import MAX_TOKEN_CHARS, fernet_issued_at, token_of
from gateway.invoke.headers import identity_fields, reply_fields, request_fields
from gateway.invoke.object_query import objects_in
from gateway.invoke.target import target_of
from gateway.objects.allowlist import StoreAllowlist
from gateway.objects.endpoints import account_of
from gateway.objects.model import ObjectKind, ObjectRef, ObjectStat
from gateway.objects.stored import read_foreign, read_stored, write_stored
from gateway.objects.swift import object_url
from gateway.settings.server import RequestSettings
from gateway.telemetry.trace import fields_of, received
from policies.names import ProjectId, namespace_of

Result = TypeVar("Result")

HOST = (b"host", b"gateway")
MALFORMED = {ErrorCode.REQUEST_MALFORMED}


def unless_refused(kinds: Iterable[ErrorCode], work: Callable[[], Result]) -> Result | None:
    """What the work makes; None if it refuses in one of these ways. It may fail in no other."""
    try:
        return work()
    except GatewayError as error:
        if error.kind not in kinds:
            raise
        return None


def head_of(*fields: tuple[bytes, bytes], path: bytes = b"/", query: bytes = b"") -> RequestHead:
    return RequestHead("GET", path, query, fields)


def percent_decoded(raw: bytes) -> bytes:
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), raw)


escapes = st.integers(0, 255).map(lambda byte: b"%%%02X" % byte)
path_bytes = st.lists(
    st.sampled_from([bytes([byte]) for byte in b"abz09-._~!$&'()*+,;=:@/"])
    | escapes
    | st.sampled_from([b"..", b"/", b"%2f", b"%2F", b"%5c", b"%2e", b"%00", b"%C3%A4", b"%EF%BC%8F", b"//", b";x=1"]),
    max_size=30,
).map(b"".join)
base64s = st.binary(max_size=150).map(base64.urlsafe_b64encode)
hostile_text = st.text(max_size=60) | st.text(
    st.characters(codec=None, categories=["Cs", "Cc", "Lu", "Po"]), max_size=9
)


# --- tokens

_carriers = st.sampled_from([b"x-auth-token", b"authorization", b"x-service-token", b"cookie"])
_schemes = st.sampled_from([b"", b"", b"Bearer ", b"bearer  ", b"Basic ", b"Bearer", b" ", b"\t"])


@given(st.lists(st.tuples(_carriers, st.builds(bytes.__add__, _schemes, st.binary(max_size=40) | base64s)), max_size=4))
def test_token_is_one_printable_word_or_none(fields: list[tuple[bytes, bytes]]) -> None:
    kinds = {ErrorCode.TOKEN_MISSING, ErrorCode.TOKEN_AMBIGUOUS, ErrorCode.TOKEN_INVALID}
    token = unless_refused(kinds, lambda: token_of(head_of(*fields)))
    if token is None:
        return
    assert re.fullmatch(r"[\x21-\x7e]+", token)
    assert len(token) <= MAX_TOKEN_CHARS
    assert sum(name in {b"x-auth-token", b"authorization"} for name, _ in fields) == 1
    assert any(token.encode() in value for _, value in fields)
    for again in ((b"x-auth-token", token.encode()), (b"authorization", b"Bearer " + token.encode())):
        assert token_of(head_of(again)) == token


@given(
    st.text(max_size=200)
    | base64s.map(bytes.decode)
    | st.binary(min_size=72, max_size=160).map(lambda raw: base64.urlsafe_b64encode(b"\x80" + raw).decode().rstrip("="))
)
def test_what_passes_for_a_fernet_token_has_its_form(token: str) -> None:
    try:
        issued_at = fernet_issued_at(token)
    except ValueError:
        return
    standard = token.replace("-", "+").replace("_", "/").rstrip("=")
    raw = base64.b64decode(standard + "==")
    assert raw[0] == 0x80
    assert (len(raw) - 57) % 16 == 0
    assert len(raw) >= 73
    assert struct.unpack(">Q", raw[1:9]) == (issued_at,)


# --- heads, paths and queries

_FORBIDDEN_NAME = re.compile(
    rb".*_.*|x-(user|project|tenant|domain|service|identity|envoy|forwarded)-.*|k-.*|knative-.*|x-roles?|x-user|x-tenant|"
    rb"openstack-system-scope.*|forwarded|remote-user|x-original-url|x-rewrite-url|x-http-method-override|x-auth-key|"
    rb"x-is-admin-project|x-key-manager-reference|.*[A-Z\x00-\x20\x7f-\xff:].*"
)
_names = st.sampled_from(
    [
        *(b"Host", b"Content-Length", b"Transfer-Encoding", b"Expect", b"Connection", b"X-Project-Id", b"x_project_id"),
        *(b"X-Roles", b"K-Network-Probe", b"Knative-Serving-Revision", b"X-Forwarded-For", b"Forwarded", b"Accept"),
        *(b"X-Auth-Token", b"Want-Digest", b"X-Envoy-Original-Path", b"X-Original-URL", b"TE", b"Cookie", b"Location"),
    ]
)
_any_names = _names | st.from_regex(rb"[A-Za-z0-9_.-]{1,12}", fullmatch=True) | st.binary(max_size=8)
_any_values = st.binary(max_size=30) | st.sampled_from(
    [b"0", b"5", b"chunked", b"100-continue", b"gateway", b"", b"+1"]
)


@given(
    st.sampled_from(["GET", "POST", "DELETE", "BREW"]),
    path_bytes.map(lambda path: b"/" + path) | st.binary(max_size=20),
    path_bytes | st.binary(max_size=20),
    st.sampled_from(["1.0", "1.1"]),
    st.lists(st.tuples(_any_names, _any_values), max_size=6),
)
def test_head_that_passes_is_clean_and_passes_again(
    method: str, path: bytes, query: bytes, version: str, fields: list[tuple[bytes, bytes]]
) -> None:
    def read(kept: Iterable[tuple[bytes, bytes]]) -> RequestHead:
        scope = {"method": method, "raw_path": path, "query_string": query, "http_version": version}
        return read_head({**scope, "headers": list(kept)}, RequestSettings(head_max_bytes=1_024, head_max_fields=8))

    kinds = {
        ErrorCode.REQUEST_MALFORMED,
        ErrorCode.REQUEST_HEAD_TOO_LARGE,
        ErrorCode.EXPECTATION_FAILED,
        ErrorCode.REQUEST_TRANSFER_CODING,
    }
    head = unless_refused(kinds, lambda: read([HOST, *fields]))
    if head is None:
        return
    assert (head.method, head.path, head.query) == (method, path, query)
    assert re.fullmatch(rb"/[!-~]*", path)
    assert b"\0" not in percent_decoded(path + b"?" + query)
    assert not [name for name, _ in head.fields if _FORBIDDEN_NAME.fullmatch(name)]
    assert not [value for _, value in head.fields if re.search(rb"[\r\n\0]", value)]
    assert set(head.fields) <= {(name.lower(), value) for name, value in [HOST, *fields]}
    assert read(head.fields) == head


@given(path_bytes | st.binary(max_size=40), st.none() | hostile_text)
def test_object_that_a_path_names_is_asked_for_under_the_same_bytes(raw: bytes, version: str | None) -> None:
    asked_for = {} if version is None else {"version-id": version}
    head = head_of(path=b"/v1/checksums/" + raw, query=urlencode(asked_for, errors="surrogatepass").encode())
    found = unless_refused(MALFORMED, lambda: ref_from_path(head))
    if found is None:
        return
    ref = found[0]
    url = object_url("http://store/v1/AUTH_p", ref)
    assert re.fullmatch(r"[!-~]+", url)
    assert ref.container not in {"", ".", ".."}
    path, _, query = url.removeprefix("http://store/v1/AUTH_p/").encode().partition(b"?")
    asked, sent = path.partition(b"/"), raw.partition(b"/")
    assert b"#" not in path
    assert (percent_decoded(asked[0]), percent_decoded(asked[2])) == (
        percent_decoded(sent[0]),
        percent_decoded(sent[2]),
    )
    assert b"\0" not in percent_decoded(path + query)
    assert percent_decoded(query).decode() == (f"version-id={version}" if version else "")


_pairs = st.lists(
    st.tuples(st.sampled_from(["bucket", "container", "file", "object", "version-id", "force", "x"]), hostile_text),
    max_size=34,
)


@given(
    _pairs.map(lambda pairs: urlencode(pairs, errors="surrogatepass").encode()) | path_bytes | st.binary(max_size=40)
)
def test_query_is_read_as_it_would_be_written(query: bytes) -> None:
    known = PARAMETERS + NAMING_PARAMETERS
    parameters = unless_refused(MALFORMED, lambda: parse_query(query, known))
    if parameters is None:
        return
    assert parameters.keys() <= set(known)
    assert parse_query(urlencode(parameters, doseq=True).encode(), known) == parameters
    found = unless_refused(MALFORMED, lambda: ref_from_query(head_of(query=query)))
    if found is not None:
        ref, same = found
        assert same == parameters
        assert [ref.container] in (parameters.get("bucket"), parameters.get("container"))
        assert [ref.name] in (parameters.get("file"), parameters.get("object"))


@given(path_bytes | st.binary(max_size=30), path_bytes)
def test_target_of_an_invocation_is_a_suffix_of_the_path_that_stays_below_it(rest: bytes, query: bytes) -> None:
    head = head_of(path=b"/v1/invoke/" + rest, query=query)
    target = unless_refused({ErrorCode.ROUTE_NOT_FOUND, ErrorCode.REQUEST_MALFORMED}, lambda: target_of(head))
    if target is None:
        return
    path = target.path_and_query[: len(target.path_and_query) - len(query) - bool(query)]
    assert (b"/v1/invoke/" + target.function.encode() + path).rstrip(b"/") == head.path.rstrip(b"/")
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,62}", target.function)
    segments = percent_decoded(path).replace(b"\\", b"/").split(b"/")
    assert not {b".", b".."} & {segment.partition(b";")[0] for segment in segments}


_object_pairs = st.lists(
    st.tuples(
        st.sampled_from([b"input", b"output", b"overwrite", b"in%70ut", b"Input", b"a", b""]) | path_bytes,
        st.builds(b"%s%s/%s".__mod__, st.tuples(st.sampled_from([b"", b"a:", b":"]), path_bytes, path_bytes))
        | path_bytes,
    ),
    max_size=6,
).map(lambda pairs: b"&".join(b"%s=%s" % pair for pair in pairs))


@given(_object_pairs | st.binary(max_size=60))
def test_objects_in_a_query_are_distinct_and_what_is_left_names_none(query: bytes) -> None:
    head = RequestHead("POST", b"/v1/invoke/f", query, ())
    kinds = {ErrorCode.REQUEST_MALFORMED, ErrorCode.REQUEST_HEAD_TOO_LARGE}
    found = unless_refused(kinds, lambda: objects_in(head, most=4))
    if found is None:
        return
    bindings, rest = found
    assert 0 < len(bindings) <= 4
    assert objects_in(RequestHead("GET", b"/v1/invoke/f", rest, ()), most=0) is None
    left = iter(query.split(b"&"))
    assert all(part in left for part in rest.split(b"&") if rest), "in the order in which they were sent"
    written = {each.ref for each in bindings.outputs}
    assert len(written) == len(bindings.outputs)
    assert not written & {each.ref for each in bindings.inputs}
    for group in (bindings.inputs, bindings.outputs):
        assert len({each.name for each in group}) == len(group)
        assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", each.name) for each in group)


# --- fields that cross the gateway

CALLER = Caller("gAAAAA-secret", "u1", "alice", ProjectId("p1"), "demo", frozenset(["member"]), 0)
_NOT_IN = re.compile(
    rb"connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|host|content-length|expect|authorization|cookie2?|"
    rb"x-(auth|subject|service|storage)-.*|forwarded|x-forwarded-.*|k-.*|knative-.*|x-envoy-.*|x-istio-.*|via|x-b3-.*|"
    rb"osfaas-.*"
)
_NOT_OUT = re.compile(
    rb"connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|set-cookie2?|x-auth-token|x-openstack-.*|k-.*|"
    rb"www-authenticate|knative-.*|x-envoy-.*|alt-svc|clear-site-data|strict-transport-security|server|date|refresh|"
    rb"osfaas-.*"
)
_crossing = st.lists(st.tuples(_names | _any_names, _any_values | st.builds(b", ".join, st.lists(_names))), max_size=8)


@given(_crossing)
def test_fields_for_a_function_are_clean_and_stay_the_same_when_cleaned_again(
    fields: list[tuple[bytes, bytes]],
) -> None:
    scope = {"method": "GET", "raw_path": b"/v1/invoke/f/", "query_string": b"", "http_version": "1.1"}
    kinds = {ErrorCode.REQUEST_MALFORMED, ErrorCode.EXPECTATION_FAILED, ErrorCode.REQUEST_TRANSFER_CODING}
    head = unless_refused(
        kinds,
        lambda: read_head(
            {**scope, "headers": [HOST, *fields]}, RequestSettings(head_max_bytes=4_096, head_max_fields=20)
        ),
    )
    sent = unless_refused(MALFORMED, lambda: request_fields(head, CALLER, "req-1")) if head else None
    if sent is None:
        return
    ours = identity_fields(CALLER, "req-1")
    others = sent[: -len(ours)]
    assert sent[-len(ours) :] == ours
    assert not {name for name, _ in others} & {name for name, _ in ours}
    assert not [name for name, _ in others if _NOT_IN.fullmatch(name) or b"_" in name]
    assert not [value for _, value in others if re.search(rb"[\r\n\0]", value)]
    assert request_fields(head_of(*others), CALLER, "req-1") == sent


@given(st.integers(-1, 700), _crossing, st.sampled_from([None, "f.faas-p1.svc.cluster.local"]))
def test_fields_of_a_reply_are_clean_and_stay_the_same_when_cleaned_again(
    status: int, fields: list[tuple[bytes, bytes]], host: str | None
) -> None:
    def clean(raw: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        return reply_fields(status, [(name.lower(), value) for name, value in raw], function="f", host=host)

    kept = unless_refused({ErrorCode.FUNCTION_FAILED}, lambda: clean(fields))
    if kept is None:
        return
    assert 200 <= status < 600
    assert not [name for name, _ in kept if _NOT_OUT.fullmatch(name)]
    assert not [value for _, value in kept if re.search(rb"[\r\n\0]", value)]
    places = [(name, value) for name, value in kept if name.endswith(b"location")]
    assert all(value.startswith(b"/v1/invoke/f/") for _, value in places)
    others = [field for field in kept if field not in places]
    assert clean(others) == others


@given(
    st.lists(st.text(max_size=70) | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.{0,3}")),
    st.lists(st.text("ab@=,- \t9", max_size=40)),
)
def test_trace_context_that_passes_has_the_form_of_the_recommendation(parents: list[str], states: list[str]) -> None:
    trace = received(parents, states)
    if trace is None:
        return
    fields = fields_of(trace)
    assert re.fullmatch(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]", fields["traceparent"])
    assert re.fullmatch(r"[!-~ ]{0,512}", fields.get("tracestate", ""))
    assert received([fields["traceparent"]], [fields.get("tracestate", "")]) == trace


# --- digests

CONTENTS = st.binary(max_size=40)
_wish_text = st.text(max_size=40) | st.lists(
    st.sampled_from(
        [*BY_WIRE_NAME, "SHA-256", "MD5", "sha3", ",", ", ", ";q=0.5", ";q=1", "=1", "=10", "=3", "q", "=:"]
    ),
    max_size=8,
).map("".join)


def digests_of(content: bytes) -> dict[str, bytes]:
    """Digests by the standard library; those that it has none of are of the right length."""
    known = {name: hashlib.new(name, content).digest() for name in ("md5", "sha1", "sha256", "sha512")}
    known |= {"adler32": zlib.adler32(content).to_bytes(4, "big"), "crc32": zlib.crc32(content).to_bytes(4, "big")}
    return {name: known.get(name, content.ljust(64)[: algorithm.size]) for name, algorithm in ALGORITHMS.items()}


@given(st.lists(_wish_text, max_size=2), st.none() | _wish_text, st.none() | _wish_text, CONTENTS)
def test_digest_fields_carry_the_digests_that_were_asked_for(
    ordered: list[str], want: str | None, want_repr: str | None, content: bytes
) -> None:
    wanted = unless_refused(
        {ErrorCode.ALGORITHM_UNKNOWN, ErrorCode.REQUEST_MALFORMED},
        lambda: negotiate(ordered=ordered, want_digest=want, want_repr_digest=want_repr, default=("adler32", "md5")),
    )
    if wanted is None:
        assert ordered
        return
    digests = digests_of(content)
    fields = digest_fields(wanted, {name: digests[name].hex() for name in wanted.algorithms})
    for entry in filter(None, fields.get("Digest", "").split(",")):
        name, _, text = entry.partition("=")
        raw = bytes.fromhex(text) if name in {"adler32", "adler", "crc32c"} else base64.b64decode(text, validate=True)
        assert raw == digests[BY_WIRE_NAME[name].name]
        assert want is None or name in want.lower()
    entries = re.findall(r"(?:^|, )([a-z][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*=*):", fields.get("Repr-Digest", ""))
    assert ", ".join(f"{name}=:{text}:" for name, text in entries) == fields.get("Repr-Digest", "")
    for name, text in entries:
        assert base64.b64decode(text, validate=True) == digests[BY_WIRE_NAME[name].name]
        assert want is None
        assert name in str(want_repr)


_etags = st.text("0123456789abcdef;,-", max_size=12)
_some_algorithms = st.sets(st.sampled_from(sorted(ALGORITHMS)))


@given(CONTENTS, _some_algorithms, _some_algorithms, _etags, _etags, st.integers(0, 20), st.integers(0, 20))
def test_digests_in_metadata_are_read_as_written_and_only_for_their_content(
    content: bytes, kept: set[str], new: set[str], etag: str, other: str, size: int, other_size: int
) -> None:
    digests = {name: raw.hex() for name, raw in digests_of(content).items()}
    first, more = ({name: digests[name] for name in names} for names in (kept, new))
    metadata = {**write_stored({}, first, etag=etag, size=size), **write_stored(first, more, etag=etag, size=size)}
    assert read_stored(metadata, etag=etag, size=size) == {**first, **more}
    if (other, other_size) != (etag, size):
        assert read_stored(metadata, etag=other, size=other_size) == {}
        assert not read_foreign(metadata, etag=other, size=other_size, native={}) or ";" in etag + other
    assert not set(read_foreign(metadata, etag=etag, size=size, native={})) & {*first, *more}


_meta_keys = st.sampled_from([*ALGORITHMS, "md5chksum", "checksum-source", "mtime"])
_meta_values = (
    st.text(max_size=30) | st.text("0123456789abcdefABCDEF", max_size=34) | st.just("e;1;md5;0123456789abcdef")
)


@given(
    st.dictionaries(_meta_keys, _meta_values | st.binary(max_size=16).map(lambda raw: base64.b64encode(raw).decode()))
)
def test_metadata_of_anybody_yields_only_what_has_the_form_of_a_digest(metadata: dict[str, str]) -> None:
    for found in (
        read_stored(metadata, etag="e", size=1),
        read_foreign(metadata, etag="e", size=1, native={"md5": "0" * 32}),
    ):
        for name, value in found.items():
            assert re.fullmatch(r"[0-9a-f]+", value)
            assert len(value) == 2 * ALGORITHMS[name].size


# --- JSON of callers, of functions and of Keystone

_words = st.sampled_from(
    ["a", "", "md5", "data", "ObjectCreated:Put", "ObjectCreated:Copy", "L2", "/v1/**", "%C3%28", "\udc80"]
)
_leaves = st.none() | st.booleans() | st.integers() | st.floats() | _words | hostile_text


def documents(*keys: str) -> st.SearchStrategy[Any]:
    """JSON that has these keys more often than chance would."""

    def wider(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(keys) | _words, children, max_size=5)

    return st.recursive(_leaves, wider, max_leaves=12)


def record_of(name: Any, bucket: Any, key: Any, version: Any, etag: Any, sequencer: Any) -> dict[str, Any]:
    entry = {"key": key, "versionId": version, "eTag": etag, "sequencer": sequencer}
    return {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": entry}}


_any = documents("key", "name")
_records = st.builds(record_of, *[_words | _any] * 6)
_events = documents("Records", "s3", "bucket", "name", "object", "key", "eventName", "Event") | _records
_wrapped = st.builds(
    lambda data, more: {"specversion": "1.0", "type": "t", "id": "1", "source": "s", "data": data, **more},
    _events | st.lists(_records, max_size=2).map(lambda records: {"Records": records}) | _events.map(json.dumps),
    st.dictionaries(
        st.sampled_from(["specversion", "type", "time", "datacontenttype", "data_base64", "x"]), _any, max_size=2
    ),
)
_media_types = st.sampled_from(
    ["application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "", "text/xml"]
)
_bodies = (_events | _wrapped | st.lists(_wrapped, max_size=3)).map(lambda each: json.dumps(each).encode())


@given(
    _media_types,
    st.dictionaries(
        st.sampled_from(["ce-specversion", "ce-type", "ce-id", "ce-source", "ce-time"]), _words | hostile_text
    ),
    _bodies | st.binary(max_size=40),
)
def test_events_that_pass_name_objects_and_can_be_remembered(
    media_type: str, headers: dict[str, str], body: bytes
) -> None:
    fields = {"content-type": media_type, **headers}
    events = unless_refused(
        {ErrorCode.REQUEST_MALFORMED, ErrorCode.REQUEST_MEDIA_TYPE},
        lambda: asyncio.run(read_events(fields, body, most=3)),
    )
    assert len(events or []) <= 3
    for event in events or []:
        assert event.identity is None or len(event.identity) == 32
        assert len(event.etag) <= 1_024
        for ref in event.refs:
            assert re.fullmatch(r"[!-~]+", object_url("http://store/v1/AUTH_p", ref))


def twice_in(body: bytes) -> list[str]:
    """Names that an object of the document has more than once."""
    found: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        found.extend(name for name in set(names) if names.count(name) > 1)

    json.loads(body, object_pairs_hook=note)
    return found


_odd_names = st.text(max_size=20) | st.text('":,{}\\ \n', max_size=8)
_entries = st.lists(
    st.tuples(st.sampled_from(["container", "object", "version_id"]), _odd_names | st.none()), min_size=1, max_size=4
).map(
    lambda pairs: (
        "{" + ", ".join(f"{json.dumps(name)}{' ' * len(name)}: {json.dumps(value)}" for name, value in pairs) + "}"
    )
)
_orders = st.lists(_entries, min_size=1, max_size=3).map(lambda entries: '{"objects": [' + ",".join(entries) + "]}")


@given(
    documents("objects", "algorithms", "force", "store", "container", "object", "version_id").map(json.dumps)
    | _orders
    | st.text()
)
def test_order_for_many_objects_names_objects_or_fails_line_by_line(text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    order = unless_refused(
        {ErrorCode.REQUEST_MALFORMED, ErrorCode.ALGORITHM_UNKNOWN},
        lambda: asyncio.run(parse_bulk_request(body, default_algorithms=("md5",), max_objects=3)),
    )
    if order:
        assert len(twice_in(body)) == 0
    for number in range(len(order.objects) if order else 0):
        # What goes into the answer has to be JSON by the letter, whatever stood in the request.
        json.dumps(named(order, number), allow_nan=False)
        one = unless_refused(MALFORMED, lambda number=number: order.request_for(number))  # type: ignore[misc]
        if one is not None:
            assert re.fullmatch(r"[!-~]+", object_url("http://store/v1/AUTH_p", one.ref))


@given(
    documents("project", "display_name", "isolation", "functions", "limits", "suspended", "offboarding", "pods"),
    st.booleans(),
)
def test_what_an_administrator_asks_is_understood_or_refused(document: Any, states: bool) -> None:
    for body in (document, {"project": document}, {"project": {"isolation": document, "limits": document}}):
        asked = unless_refused(MALFORMED, lambda body=body: parse_change(body, states=states))  # type: ignore[misc]
        assert asked is None or hash(asked.patch)


STAT = ObjectStat(
    "p", "http://store", ObjectRef("c", "o"), "e" * 32, 1, ObjectKind.PLAIN, "text/plain", native={"md5": "e" * 32}
)


@given(documents("error", "code", "etag", "size", "digests", "md5", "sha1"), st.booleans())
def test_reply_of_a_function_is_digests_of_the_object_or_its_failure(document: Any, genuine: bool) -> None:
    reply = document if isinstance(document, dict) else {"digests": document}
    if genuine:
        reply = {**reply, "etag": STAT.etag, "size": STAT.size}
    kinds = {kind for kind in ErrorCode if kind.name.startswith("FUNCTION_")} | {
        *(
            ErrorCode.OBJECT_CHANGED,
            ErrorCode.OBJECT_TRUNCATED,
            ErrorCode.OBJECT_UNSUPPORTED,
            ErrorCode.REQUEST_MALFORMED,
            ErrorCode.STORE_UNAVAILABLE,
        )
    }
    try:
        digests = unless_refused(kinds, lambda: result_of(DigestContract(("md5", "sha1")), reply, STAT))
    except CapabilityRefusedError:
        return
    if digests is not None:
        assert digests["md5"] == STAT.etag
        assert is_digest("sha1", digests["sha1"])


def token_body(**fields: Any) -> dict[str, Any]:
    endpoint = {"interface": "public", "region_id": "r", "url": "http://store/v1/AUTH_p"}
    return {
        "user": {"id": "u", "name": "alice"},
        "project": {"id": "p", "name": "demo"},
        "roles": [{"name": "member"}],
        "expires_at": "2027-01-15T09:00:00.000000Z",
        "catalog": [{"type": "object-store", "endpoints": [endpoint]}, {"type": "function", "endpoints": []}],
        **fields,
    }


_catalogs = st.builds(
    lambda kind, url, interface: [
        {"type": kind, "endpoints": [{"interface": interface, "region_id": None, "url": url}]},
        {"type": "function", "endpoints": []},
    ],
    st.just("object-store") | _any,
    _any,
    st.just("public") | _any,
)
_rules = st.lists(
    st.fixed_dictionaries({"service": st.just("function") | _any, "method": st.just("GET") | _any, "path": _any})
)


@given(
    st.sampled_from(["user", "project", "roles", "expires_at", "application_credential", "catalog", "methods"]),
    documents("id", "name", "access_rules", "service", "method", "path", "type", "endpoints", "url", "interface"),
    st.none() | _catalogs,
    st.none() | _rules,
)
def test_caller_that_keystone_describes_can_be_used_for_all_that_a_caller_is_used_for(
    field: str, value: Any, catalog: Any, rules: Any
) -> None:
    body = token_body(**{field: value})
    if catalog is not None:
        body["catalog"] = catalog
    if rules is not None:
        body["application_credential"] = {"id": "ac", "access_rules": rules}
    try:
        caller = unless_refused({ErrorCode.TOKEN_WRONG_SCOPE}, lambda: caller_from("t", body))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return  # what `Keystone.validate_as` turns into 503
    if caller is None:
        return
    assert allows(caller, service_type="function", method="GET", path="/v1/checksums/c/o") in {True, False}
    identity_fields(caller, "req-1")
    assert re.fullmatch(r"faas-[a-z0-9-]{1,50}", namespace_of(caller.project_id))
    account = unless_refused(
        {ErrorCode.OBJECT_UNSUPPORTED}, lambda: account_of(caller, interface="public", region=None, configured=None)
    )
    if account is not None:
        assert StoreAllowlist().may_be_asked(account) in {True, False}


# --- names and access rules

_ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=70) | st.from_regex(r"[a-z0-9]{1,60}", fullmatch=True)


@given(_ids, _ids)
def test_namespace_is_a_label_of_one_project_alone(one: str, other: str) -> None:
    name = namespace_of(ProjectId(one))
    assert re.fullmatch(r"faas-[a-z0-9]([a-z0-9-]{0,56}[a-z0-9])?", name)
    assert (name == namespace_of(ProjectId(other))) == (one == other)


_templates = st.lists(
    st.sampled_from(["**", "*", "{x}", "a", "b", "/", ".", "\n", "ä", "{", "}", "%2F"]), max_size=9
).map("".join)


@given(_templates | st.text(max_size=30), st.text("ab/.\nä{}*%2F", max_size=14))
@example("/", "%2F")
@example("a%2f*", "a/b")
def test_template_of_an_access_rule_fits_what_its_regular_expression_fits(template: str, path: str) -> None:
    # A name is decoded after its path was matched, so an encoded slash is a slash here, in the rule as in the path.
    pattern, rest, decoded = "", *(re.sub("%2[fF]", "/", text) for text in (template, path))
    while rest:
        wildcard = re.match(r"\*\*|\*|\{[^{}/]*\}", rest)
        taken = wildcard[0] if wildcard else rest[0]
        pattern += re.escape(taken) if not wildcard else ".*" if taken == "**" else "[^/]+"
        rest = rest[len(taken) :]
    caller = Caller(
        *("t", "u", "alice", ProjectId("p"), "demo", frozenset(["member"]), 0.0, frozenset(["function"])),
        access_rules=(AccessRule("function", "GET", template),),
    )
    fits = allows(caller, service_type="function", method="GET", path=path)
    assert fits == (re.fullmatch(pattern, decoded, re.DOTALL) is not None)
