"""Family 3, headers: nobody says who they are but with a token, and no line end gets into a field."""

import controls
import edge_proxy
import http2
import pytest
from heads import CHUNKED, get, post
from starlette.responses import Response
from wire import say

FORGED = [
    b"X-User-Id", b"X-User-Name", b"X-User-Domain-Id", b"X-User", b"X-Roles", b"X-Role", b"X-Project-Id",
    b"X-Project-Name", b"X-Project-Domain-Id", b"X-Tenant-Id", b"X-Tenant", b"X-Domain-Id", b"X-Identity-Status",
    b"X-Service-Token", b"X-Service-Roles", b"X-Service-User-Id", b"X-Is-Admin-Project", b"OpenStack-System-Scope",
    b"K-Original-Host", b"K-Network-Probe", b"K-Kubelet-Probe", b"Knative-Serving-Revision",
    b"Knative-Serving-Namespace", b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Forwarded-Proto",
    b"X-Forwarded-Client-Cert", b"Forwarded", b"X-Envoy-Original-Path", b"X-Envoy-Force-Trace", b"X-Original-URL",
    b"X-Rewrite-URL", b"X-HTTP-Method-Override", b"Remote-User", b"X_Project_Id", b"X_User_Id", b"X-Project_Id",
    b"x_auth_token", b"X_Roles", b"Osfaas-Input", b"Osfaas-Output", b"osfaas_input", b"Osfaas-Anything",
]  # fmt: skip

# Fields that Envoy sets or reads, and those about one connection.
OF_THE_WAY = [
    b"X-Request-Id", b"X-Forwarded-Port", b"X-Forwarded-Prefix", b"X-Real-IP", b"Via",
    b"X-Envoy-External-Address", b"X-Envoy-Internal", b"X-Envoy-Attempt-Count", b"X-Envoy-Decorator-Operation",
    b"X-Envoy-Downstream-Service-Cluster", b"X-Envoy-Downstream-Service-Node", b"X-Envoy-Expected-Rq-Timeout-Ms",
    b"X-Envoy-Hedge-On-Per-Try-Timeout", b"X-Envoy-Ip-Tags", b"X-Envoy-Is-Timeout-Retry", b"X-Envoy-Max-Retries",
    b"X-Envoy-Original-Host", b"X-Envoy-Original-Method", b"X-Envoy-Retry-On", b"X-Envoy-Retry-Grpc-On",
    b"X-Envoy-Upstream-Alt-Stat-Name", b"X-Envoy-Upstream-Canary", b"X-Envoy-Upstream-Rq-Timeout-Alt-Response",
    b"X-Envoy-Upstream-Rq-Timeout-Ms", b"X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms",
    b"X-Envoy-Upstream-Stream-Duration-Ms",
    b"X-Envoy-Peer-Metadata", b"X-Envoy-Peer-Metadata-Id", b"X-Envoy-Whatever", b"X-Istio-Attributes", b"X-B3-TraceId",
    b"Keep-Alive", b"Proxy-Connection", b"Proxy-Authorization", b"Trailer", b"Max-Forwards", b"Early-Data", b"Cdn-Loop",
    b"X-Openstack-Request-Id", b"User-Agent", b"Cookie", b"Traceparent", b"Tracestate",
]  # fmt: skip

# Envoy drops a lone CR, puts a blank for a fold, and takes a bare LF for a line end: `test_behind_envoy.py`.
MENDED = {"cr", "lf-and-field", "fold"}
BROKEN = {
    "cr": b"X-Note: a\rb\r\n",
    "lf": b"X-Note: a\nb\r\n",
    "lf-and-field": b"X-Note: a\nX-Project-Id: b\r\n",
    "nul": b"X-Note: a\x00b\r\n",
    "nul-in-name": b"X-No\x00te: a\r\n",
    "escape": b"X-Note: a\x1bb\r\n",
    "fold": b"X-Note: a\r\n X-Project-Id: b\r\n",
    "blank-in-name": b"X Note: a\r\n",
    "blank-before-colon": b"X-Project-Id : a\r\n",
    "umlaut-in-name": "X-Nöte: a\r\n".encode(),
    "dropped-but-broken": b"X_Note: a\x00b\r\n",
}


@pytest.fixture(scope="module")
def strict_port():
    with controls.strict() as port:
        yield port


@pytest.fixture(scope="module")
def open_port():
    with controls.serving(controls.echo) as port:
        yield port


@pytest.mark.parametrize("name", FORGED)
def test_claim_of_an_identity_goes_no_further_and_would_without_the_defence(strict_port, open_port, name):
    request = get(name + b": forged\r\n", b"Accept: */*\r\n")
    kept = [field for field, _ in controls.understood(say(strict_port, request, answers=1).data)["fields"]]
    assert kept == ["host", "accept"]
    assert b"forged" in say(open_port, request, answers=1).data


def test_nominating_a_claim_as_hop_by_hop_changes_nothing(strict_port):
    request = get(b"Connection: X-Project-Id, keep-alive\r\n", b"X-Project-Id: forged\r\n")
    assert b"forged" not in say(strict_port, request, answers=1).data


@pytest.mark.parametrize("name", BROKEN)
def test_field_with_a_line_end_or_a_control_character_is_refused(gateway, front, refusal, name):
    if front == "alone" or name not in MENDED:
        refusal(gateway.port, get(BROKEN[name]))
    else:
        assert say(gateway.port, get(BROKEN[name]), answers=1).statuses == [200]


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\x00b"])
def test_line_end_in_an_answer_does_not_get_out(value):
    async def inject(scope, receive, send):
        await Response("x", headers={"X-Note": value})(scope, receive, send)

    with controls.serving(inject) as port:
        heard = say(port, get(), seconds=2)
    assert b"Set-Cookie" not in heard.data
    assert heard.statuses in ([500], [])


def without_underscores(names: list[bytes]) -> list[bytes]:
    return [name for name in names if b"_" not in name]


def what_the_function_got(faulty) -> dict[str, str]:
    (seen,) = faulty.invoked.seen
    return {name.decode().lower(): value.decode("latin-1") for name, value in seen.fields}


# What an invocation has by itself: the identity of its caller, and what the request to the function needs.
OF_THE_GATEWAY = {
    "host", "user-agent", "x-identity-status", "x-user-id", "x-project-id", "x-roles", "x-openstack-request-id",
    "traceparent", "accept", "transfer-encoding", "content-length",
}  # fmt: skip


@pytest.mark.parametrize("number", range(3))
def test_no_field_of_the_way_reaches_a_function(faulty, number):
    """As many of them at once as a head may have, with a body that has a trailer, and each of them nominated."""
    faulty.invoked.seen.clear()
    names = without_underscores([*FORGED, *OF_THE_WAY])[number::3]
    names = [name for name in names if name.lower() != b"x-service-token"]
    fields = b"".join(b"%b: forged\r\n" % name for name in names)
    token = f"X-Auth-Token: {faulty.fresh()}\r\nAccept: */*\r\n".encode()
    body = b"5\r\nhello\r\n0\r\nX-Project-Id: forged\r\nX-Forwarded-For: forged\r\n\r\n"
    heard = say(
        faulty.gateway.port,
        post(token + CHUNKED + fields, body, line=b"POST /v1/invoke/echo/x HTTP/1.1\r\n"),
        answers=1,
        seconds=30,
    )
    assert heard.statuses == [200], heard
    got = what_the_function_got(faulty)
    assert got.keys() <= OF_THE_GATEWAY
    assert "forged" not in str(got)
    assert got["x-project-id"] == faulty.cloud.users["alice"].project_id


@pytest.mark.parametrize("name", [b"X-Auth-Token", b"X-Project-Id", b"X-Forwarded-For", b"Host", b"Content-Length"])
def test_nominated_field_is_no_way_around_anything(faulty, name):
    """RFC 9110, 7.6.1: a hop drops what Connection names. The identity, which is not the caller's, stays."""
    faulty.invoked.seen.clear()
    token = f"X-Auth-Token: {faulty.fresh()}\r\n".encode()
    nominated = b"Connection: keep-alive, %b\r\n" % name
    request = get(token, nominated, b"X-Project-Id: forged\r\n", line=b"GET /v1/invoke/echo/x HTTP/1.1\r\n")
    heard = say(faulty.gateway.port, request, answers=1, seconds=30)
    assert heard.statuses in ([200], [400], [401]), heard
    if faulty.invoked.seen:
        got = what_the_function_got(faulty)
        assert got.keys() <= OF_THE_GATEWAY
        assert got["x-project-id"] == faulty.cloud.users["alice"].project_id


@pytest.mark.parametrize("name", [name for name in FORGED if b"_" in name])
def test_name_with_an_underscore_passes_for_nothing(faulty, front, name):
    """Envoy refuses it; without Envoy it is dropped."""
    faulty.invoked.seen.clear()
    token = f"X-Auth-Token: {faulty.fresh()}\r\n".encode()
    request = get(token, name + b": forged\r\n", line=b"GET /v1/invoke/echo/x HTTP/1.1\r\n")
    heard = say(faulty.gateway.port, request, answers=1, seconds=30)
    assert heard.statuses == ([400] if front == "envoy" else [200]), heard
    assert "forged" not in str([what_the_function_got(faulty)] if faulty.invoked.seen else [])


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_envoy_adds_no_field_and_passes_on_none_that_it_would_trust(tmp_path, version):
    """Behind it a server without our defences: these are Envoy's part; the rest is the gateway's, as above."""
    trusted = [
        b"X-Request-Id", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Forwarded-Port",
        b"X-Forwarded-Client-Cert", b"X-Envoy-External-Address", b"X-Envoy-Internal", b"X-Envoy-Retry-On",
        b"X-Envoy-Upstream-Rq-Timeout-Ms", b"X-Envoy-Original-Path", b"X-Envoy-Force-Trace", b"X-Envoy-Ip-Tags",
        b"X-Envoy-Decorator-Operation", b"X-Envoy-Expected-Rq-Timeout-Ms",
    ]  # fmt: skip
    with controls.serving(controls.echo) as port, edge_proxy.untapped(port, tmp_path) as envoy:
        if version == "1.1":
            heard = say(envoy.port, get(*(name + b": forged\r\n" for name in trusted)), answers=1)
            said = controls.understood(heard.data)
        else:
            fields = [*http2.pseudo(), *((name.lower(), b"forged") for name in trusted)]
            frames = http2.say(envoy.port, http2.request(1, fields), answers=1)
            said = controls.understood(b"\r\n\r\n" + b"".join(payload for _, payload in frames.of(http2.DATA)))
    assert said["fields"] == [["host", "faas.example"]]
