"""Header hygiene in both directions, for any fields that anybody may think of."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead, read_head
from gateway.identity.caller import Caller
from gateway.invoke import headers
from gateway.invoke.headers import location_for_caller
from gateway.settings.server import RequestSettings
from policies.names import ProjectId

TOKEN = "gAAAAA-secret"
CALLER = Caller(TOKEN, "user-1", "alice", ProjectId("p1"), "demo", frozenset(["member", "reader"]), 0)
FORBIDDEN_IN = re.compile(
    r"connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|host|content-length|expect|authorization|"
    r"x-(auth|subject|service|storage)-.*|cookie2?|forwarded|x-forwarded-.*|k-.*|knative-.*|x-envoy-.*|x-istio-.*|via|"
    r"x-original-.*|x-rewrite-url|x-(http-)?method(-override)?|x-real-ip|remote-user|x-tenant.*|x-domain-.*|x-b3-.*|"
    r"osfaas-.*"
)
OURS = {"user-agent", "x-identity-status", "x-user-id", "x-project-id", "x-roles", "x-openstack-request-id"}

_interesting = st.sampled_from(
    [
        *("Connection", "TE", "Upgrade", "Keep-Alive", "Proxy-Authorization", "Transfer-Encoding", "Content-Length"),
        *("Authorization", "X-Auth-Token", "X-Service-Token", "X-Subject-Token", "Cookie", "Forwarded", "User-Agent"),
        *("X-Forwarded-For", "X-Forwarded-Host", "X-User-Id", "X-User-Name", "X-Project-Id", "X-Roles", "X-Role"),
        *("K-Network-Probe", "K-Original-Host", "Knative-Serving-Namespace", "Knative-Serving-Revision", "Host"),
        *("Knative-Activator-Probe", "X-Envoy-Original-Dst-Host", "X-Original-Url", "X-HTTP-Method-Override"),
        *("X_Project_Id", "X-Identity-Status", "Expect", "Trailer", "Via", "Content-Type", "X-Custom", "Accept"),
        *("Osfaas-Input", "Osfaas-Output", "Osfaas-X"),
    ]
)
_case = st.sampled_from([str.lower, str.upper, str.title, str])
_names = st.builds(
    lambda name, case: case(name).encode(), _interesting | st.from_regex(r"[A-Za-z-]{1,20}", fullmatch=True), _case
)
_values = st.one_of(
    st.just(b"gAAAAA-forged"),
    st.builds(b", ".join, st.lists(_names, max_size=4)),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20).map(str.encode),
)
_fields = st.lists(st.tuples(_names, _values), max_size=20)


def request_fields(head: RequestHead, caller: Caller, request_id: str) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in headers.request_fields(head, caller, request_id)]


def reply_fields(
    status: int, fields: list[tuple[bytes, bytes]], *, function: str, host: str | None
) -> list[tuple[bytes, bytes]]:
    lowered = [(name.lower(), value) for name, value in fields]
    return headers.reply_fields(status, lowered, function=function, host=host)


def request_head(fields: list[tuple[bytes, bytes]]) -> RequestHead:
    return RequestHead("GET", b"/v1/invoke/f/", b"", tuple((name.lower(), value) for name, value in fields))


@given(_fields)
def test_no_field_of_a_caller_forges_an_identity_or_steers_the_machinery(fields: list[tuple[bytes, bytes]]) -> None:
    sent = request_fields(request_head(fields), CALLER, "req-1")
    names = [name for name, _ in sent]
    assert not [name for name in names if name not in OURS and FORBIDDEN_IN.fullmatch(name)]
    ours = {name: value for name, value in sent if name in OURS}
    assert [names.count(name) for name in OURS] == [1] * len(OURS)
    assert ours == {
        "user-agent": "osfaas-gateway",
        "x-identity-status": "Confirmed",
        "x-user-id": "user-1",
        "x-project-id": "p1",
        "x-roles": "member,reader",
        "x-openstack-request-id": "req-1",
    }


@given(_fields)
def test_fields_that_connection_names_go_no_further(fields: list[tuple[bytes, bytes]]) -> None:
    nominated = {
        word.strip().lower().decode("latin-1")
        for name, value in fields
        if name.lower() == b"connection"
        for word in value.split(b",")
    }
    sent = {name for name, _ in request_fields(request_head(fields), CALLER, "req-1")}
    assert not nominated & (sent - OURS)


@given(_fields)
def test_strict_head_and_hygiene_together_leave_no_name_with_an_underscore(fields: list[tuple[bytes, bytes]]) -> None:
    scope = {
        "method": "GET",
        "raw_path": b"/v1/invoke/f/",
        "query_string": b"",
        "http_version": "1.1",
        "headers": [
            (b"host", b"g"),
            *[
                (name, value)
                for name, value in fields
                if name.lower() not in {b"host", b"content-length", b"transfer-encoding", b"expect"}
            ],
        ],
    }
    sent = request_fields(
        read_head(scope, RequestSettings(head_max_bytes=1 << 16, head_max_fields=100)), CALLER, "req-1"
    )
    assert not [name for name, _ in sent if "_" in name]


@pytest.mark.parametrize("word", ["a,b", "a b", "é", "a\r\nX: 1", ""])
def test_ids_and_roles_cannot_break_out_of_their_field(word: str) -> None:
    caller = Caller(TOKEN, f"u{word}", "n", ProjectId(f"p{word}"), "n", frozenset(["member", f"r{word},"]), 0)
    sent = dict(request_fields(request_head([]), caller, "req-1"))
    assert sent["x-roles"] == "member"
    for name in ("x-user-id", "x-project-id"):
        assert sent[name].isascii()
        assert "," not in sent[name]
        assert sent[name].isprintable()
    assert unquote(sent["x-user-id"]) == f"u{word}"


FORBIDDEN_OUT = re.compile(
    r"connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|set-cookie2?|server|x-auth-token|date|"
    r"x-openstack-.*|www-authenticate|k-.*|knative-.*|x-envoy-.*|alt-svc|refresh|clear-site-data|server-timing|"
    r"strict-transport-security|x-subject-token|osfaas-.*|access-control-.*|timing-allow-origin"
)
_reply_names = st.sampled_from(
    [
        *(b"Set-Cookie", b"Server", b"Connection", b"X-Auth-Token", b"X-Openstack-Request-Id", b"WWW-Authenticate"),
        *(b"K-Revision", b"X-Envoy-Decorator-Operation", b"Alt-Svc", b"Refresh", b"Clear-Site-Data", b"Server-Timing"),
        *(b"Strict-Transport-Security", b"Keep-Alive", b"Location", b"Content-Location", b"Content-Type", b"X-Own"),
        *(b"Date", b"Osfaas-Input", b"Osfaas-Output", b"Access-Control-Allow-Origin", b"Timing-Allow-Origin"),
        *(b"Access-Control-Allow-Credentials", b"Access-Control-Expose-Headers", b"Access-Control-Allow-Headers"),
    ]
)


def passed_on(status: int, fields: list[tuple[bytes, bytes]], host: str | None = None) -> list[tuple[bytes, bytes]]:
    """What goes on of a reply, without the two fields for caches that every reply gets."""
    *others, caching, varying = reply_fields(status, fields, function="f", host=host)
    assert (caching[0], varying[0]) == (b"cache-control", b"vary")
    return others


@given(st.lists(st.tuples(_reply_names, _values), max_size=20))
def test_no_field_of_a_function_acts_on_the_callers_side(fields: list[tuple[bytes, bytes]]) -> None:
    kept = reply_fields(200, fields, function="f", host="f.faas-p1.svc.cluster.local")
    assert not [name for name, _ in kept if FORBIDDEN_OUT.fullmatch(name.decode())]
    for name, value in kept:
        if name in {b"location", b"content-location"}:
            assert value.startswith(b"/v1/invoke/f/")


@pytest.mark.parametrize(
    "place",
    [
        *(
            "http://evil.test/",
            "//evil.test/",
            "https://evil.test",
            "/../../checksums/x",
            "/%2e%2e/x",
            "/..;/x",
            "/./x",
            "x/y",
        ),
        *("http://f.faas-p1.svc.cluster.local.evil.test/", "http://f.faas-p1.svc.cluster.local@evil.test/", "\\\\evil"),
        *("javascript:alert(1)", "/\\evil.test", "/a b", "/é", "", "http://169.254.169.254/", "/%2E%2e%2Fx", "?x=1"),
        *("http://f.faas-p1.svc.cluster.local:99/", "http://f.faas-p1.svc.cluster.local\\@evil.test/"),
    ],
)
def test_place_that_is_not_the_functions_own_is_not_passed_on(place: str) -> None:
    """Clients follow redirects with their token."""
    assert location_for_caller(place, "f", "f.faas-p1.svc.cluster.local") is None


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("/", "/v1/invoke/f/"),
        ("/a/b?c=/../d#e", "/v1/invoke/f/a/b?c=/../d#e"),
        ("http://f.faas-p1.svc.cluster.local/a", "/v1/invoke/f/a"),
        ("https://f.faas-p1.svc.cluster.local", "/v1/invoke/f/"),
    ],
)
def test_place_of_the_functions_own_is_a_path_of_the_gateway(place: str, path: str) -> None:
    assert location_for_caller(place, "f", "f.faas-p1.svc.cluster.local") == path


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (101, []),
        (100, []),
        (600, []),
        (204, [(b"Content-Length", b"5")]),
        (204, [(b"Transfer-Encoding", b"chunked")]),
    ],
)
def test_status_that_cannot_be_passed_on_is_the_functions_failure(
    status: int, fields: list[tuple[bytes, bytes]]
) -> None:
    with pytest.raises(GatewayError) as caught:
        reply_fields(status, fields, function="f", host=None)
    assert caught.value.kind is ErrorCode.FUNCTION_FAILED


@pytest.mark.parametrize("value", [b"X-Secret", b"close, x-secret", b"close,X-SECRET , te"])
def test_field_that_connection_names_goes_no_further(value: bytes) -> None:
    fields = [(b"Connection", value), (b"X-Secret", b"1"), (b"X-Kept", b"1")]
    names = {name for name, _ in request_fields(request_head(fields), CALLER, "req-1")}
    assert "x-secret" not in names
    assert "x-kept" in names
    assert passed_on(200, fields) == [(b"x-kept", b"1")]


@pytest.mark.parametrize(
    ("status", "fields", "why"),
    [
        (199, [], "it answered with the status 199"),
        (600, [], "it answered with the status 600"),
        (204, [(b"Content-Length", b"1")], "it answered 204 with a body"),
        (205, [(b"Transfer-Encoding", b"chunked")], "it answered 205 with a body"),
    ],
)
def test_caller_is_told_what_is_wrong_with_the_reply(status: int, fields: list[tuple[bytes, bytes]], why: str) -> None:
    with pytest.raises(GatewayError) as caught:
        reply_fields(status, fields, function="f", host=None)
    assert caught.value.message == f"The function 'f' failed: {why}."


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (200, [(b"content-length", b"1" * 18)]),
        (599, []),
        (204, [(b"content-length", b"0")]),
        (201, [(b"content-length", b"5")]),
    ],
)
def test_reply_with_one_meaning_goes_on_as_it_is(status: int, fields: list[tuple[bytes, bytes]]) -> None:
    assert passed_on(status, fields) == fields


def test_length_that_the_content_would_have_does_not_go_on_with_a_304() -> None:
    """Servers take it for the length of a body that then does not come."""
    etag = (b"etag", b'"e"')
    assert passed_on(304, [(b"content-length", b"5"), etag]) == [etag]


def test_chunks_are_the_connections_own_however_they_are_spelled() -> None:
    assert passed_on(200, [(b"Transfer-Encoding", b" Chunked ")]) == []


@pytest.mark.parametrize("name", [b"Location", b"Content-Location"])
def test_place_goes_on_as_a_path_of_the_gateway_if_there_is_one_of_it(name: bytes) -> None:
    def places(*values: bytes, host: str | None = None) -> list[tuple[bytes, bytes]]:
        return passed_on(201, [(name, value) for value in values], host)

    assert places(b"/a") == [(name.lower(), b"/v1/invoke/f/a")]
    assert places(b"http://h/a", host="h") == [(name.lower(), b"/v1/invoke/f/a")]
    assert places(b"http://h?a", host="h") == []
    assert places(b"http://h/a") == []
    assert places(b"http://None/a") == []
    assert places(b"/a", b"/b") == []
    assert places(b"/\xe4") == []


def test_places_do_not_leave_the_function_by_its_host_in_front_of_another() -> None:
    host = "f.faas-p1.svc.cluster.local"
    assert location_for_caller(f"http://{host}http://{host}/", "f", host) is None
    assert location_for_caller(f"http://{host}//evil.test/", "f", host) is None
    assert location_for_caller("/a?%2e%2e/#/../", "f", host) == "/v1/invoke/f/a?%2e%2e/#/../"
    assert location_for_caller("/a#/../?x", "f", host) == "/v1/invoke/f/a#/../?x"
    assert location_for_caller("/%2E%2E%5Cx", "f", host) is None
    assert location_for_caller("/a%2F%2e%2e", "f", host) is None
    assert location_for_caller("/a/..;b;c", "f", host) is None


def test_value_is_passed_on_byte_for_byte() -> None:
    sent = dict(headers.request_fields(request_head([(b"X-Note", b"\xff\xe4")]), CALLER, "req-1"))
    assert sent[b"x-note"] == b"\xff\xe4"


def test_roles_are_sorted_and_ids_with_a_slash_are_escaped_whole() -> None:
    caller = Caller(TOKEN, "u,/1", "n", ProjectId("p/1"), "n", frozenset(["b", "a", "c"]), 0)
    sent = dict(request_fields(request_head([]), caller, "req-1"))
    assert (sent["x-roles"], sent["x-user-id"], sent["x-project-id"]) == ("a,b,c", "u%2C%2F1", "p/1")


@pytest.mark.parametrize("name", [b"x-custom", b"accept", b"content-type", b"range", b"if-match", b"kind", b"x-userid"])
def test_other_fields_go_on_in_both_directions(name: bytes) -> None:
    assert (name.decode(), "1") in request_fields(request_head([(name, b"1")]), CALLER, "req-1")
    assert passed_on(200, [(name.upper(), b"1")]) == [(name, b"1")]


def test_field_of_a_reply_with_a_control_character_is_left_out() -> None:
    assert passed_on(200, [(b"x-a", b"1\r\nx: 2"), (b"x-b", b"\x00"), (b"x-c", b"\t")]) == [(b"x-c", b"\t")]


def test_function_says_nothing_about_the_limits_of_its_project() -> None:
    raw = [(b"RateLimit", b'"requests_per_second";r=1000000;t=1'), (b"RateLimit-Policy", b'"x";q=1')]
    fields = reply_fields(200, raw, function="f", host=None)
    assert not [name for name, _ in fields if name.startswith(b"ratelimit")]


HANDSHAKE = [
    (b"Connection", b"Upgrade, X-Hop"),
    (b"Upgrade", b"websocket"),
    (b"X-Hop", b"1"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Protocol", b"chat"),
    (b"X-Auth-Token", TOKEN.encode()),
]
ACCEPT = [
    (b"connection", b"Upgrade, X-Hop"),
    (b"upgrade", b"WebSocket"),
    (b"x-hop", b"1"),
    (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    (b"sec-websocket-protocol", b"chat"),
]
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def test_handshake_is_made_anew_for_the_function() -> None:
    sent = headers.request_fields(request_head(HANDSHAKE), CALLER, "req-1", websocket=True)
    named = {name: [value for key, value in sent if key == name] for name, _ in sent}
    assert (named[b"connection"], named[b"upgrade"]) == ([b"Upgrade"], [b"websocket"])
    assert named[b"sec-websocket-key"] == [KEY]
    assert (named[b"sec-websocket-version"], named[b"sec-websocket-protocol"]) == ([b"13"], [b"chat"])
    assert not {b"x-hop", b"x-auth-token"} & named.keys()


@given(_fields)
def test_handshake_forges_no_identity_either(fields: list[tuple[bytes, bytes]]) -> None:
    head = request_head([*HANDSHAKE, *fields])
    ordinary = headers.request_fields(head, CALLER, "req-1")
    handshake = headers.request_fields(head, CALLER, "req-1", websocket=True)
    added = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    assert sorted(handshake) == sorted([*ordinary, *added])


def test_accepted_handshake_is_passed_on_without_what_acts_beyond_it() -> None:
    evil = [(b"set-cookie", b"a=b"), (b"location", b"http://evil.test/"), (b"k-revision", b"x"), (b"server", b"x")]
    fields = headers.switch_fields(KEY, [*ACCEPT, *evil], function="f")
    assert sorted(fields) == [
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (b"sec-websocket-protocol", b"chat"),
        (b"upgrade", b"websocket"),
    ]


REFUSING = {
    "no accept": ACCEPT[:3],
    "another accept": [*ACCEPT[:3], (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOO=")],
    "the key itself": [*ACCEPT[:3], (b"sec-websocket-accept", KEY)],
    "two accepts": [*ACCEPT, ACCEPT[3]],
    "another protocol": [(b"upgrade", b"h2c"), *ACCEPT[3:]],
    "a list of protocols": [(b"upgrade", b"websocket, h2c"), *ACCEPT[3:]],
    "two protocols": [(b"upgrade", b"websocket"), *ACCEPT],
    "no protocol": ACCEPT[3:],
}


@pytest.mark.parametrize("fields", REFUSING.values(), ids=REFUSING)
def test_101_that_does_not_accept_the_handshake_is_the_functions_failure(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(GatewayError) as caught:
        headers.switch_fields(KEY, fields, function="f")
    assert caught.value.kind is ErrorCode.FUNCTION_FAILED


@pytest.mark.parametrize(
    "name", [b"access-control-allow-origin", b"access-control-allow-credentials", b"access-control-x"]
)
def test_function_does_not_decide_which_pages_read_the_gateways_answers(name: bytes) -> None:
    """The origin is shared by all tenants, and is the operator's."""
    assert name not in dict(reply_fields(200, [(name, b"https://evil.example")], function="f", host=None))
