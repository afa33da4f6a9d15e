"""HTTP/2 that is turned into HTTP/1.1 by Envoy: no field, path or length of a frame becomes a second request.

What reaches the gateway is exactly one request in which nothing can be read in two ways, or nothing.
"""

import controls
import edge_proxy
import http2
import pytest
from test_behind_envoy import only_request

POISON = b"GET /v1/poison HTTP/1.1\r\nHost: faas.example\r\n\r\n"


def with_field(name: bytes, value: bytes, *, body: bytes | None = None, method: bytes = b"POST") -> bytes:
    return http2.request(1, [*http2.pseudo(method, b"/v1/x"), (name, value)], body=body)


def with_path(path: bytes) -> bytes:
    return http2.request(1, http2.pseudo(path=path))


REFUSED = {
    # a line end in a value, a name or a pseudo-field would begin another field or request
    "crlf-in-value": with_field(b"x", b"a\r\nX-Project-Id: other"),
    "lf-in-value": with_field(b"x", b"a\nX-Project-Id: other"),
    "cr-in-value": with_field(b"x", b"a\rX-Project-Id: other"),
    "nul-in-value": with_field(b"x", b"a\0b"),
    "request-in-value": with_field(b"x", b"a\r\n\r\n" + POISON),
    "crlf-in-name": with_field(b"x: a\r\ny", b"b"),
    "colon-in-name": with_field(b"transfer-encoding: chunked", b""),
    "blank-in-name": with_field(b"transfer-encoding ", b"chunked"),
    "upper-case-name": with_field(b"X-Test", b"a"),
    "empty-name": with_field(b"", b"a"),
    "underscore-in-name": with_field(b"x_project_id", b"other"),
    "crlf-in-path": with_path(b"/ HTTP/1.1\r\nX-Project-Id: other\r\nx: "),
    "blank-in-path": with_path(b"/v1/x HTTP/1.1"),
    "nul-in-path": with_path(b"/v1/\0"),
    "relative-path": with_path(b"v1/x"),
    "absolute-path": with_path(b"http://other.example/v1/x"),
    "empty-path": with_path(b""),
    "asterisk-path": with_path(b"*"),
    "crlf-in-method": http2.request(1, http2.pseudo(b"GET / HTTP/1.1\r\nX: y\r\n\r\nGET", b"/v1/x")),
    "blank-in-method": http2.request(1, http2.pseudo(b"GET /v1/poison", b"/v1/x")),
    "crlf-in-authority": http2.request(1, http2.pseudo(path=b"/v1/x", authority=b"a\r\nX-Project-Id: other")),
    "user-in-authority": http2.request(1, http2.pseudo(path=b"/v1/x", authority=b"user@faas.example")),
    # a length or coding that is not the one of the frames
    "length-too-short": with_field(b"content-length", b"0", body=POISON),
    "length-twice": http2.request(
        1, [*http2.pseudo(b"POST", b"/v1/x"), (b"content-length", b"1"), (b"content-length", b"2")], body=b"x"
    ),
    "length-with-sign": with_field(b"content-length", b"+1", body=b"x"),
    "length-list": with_field(b"content-length", b"1, 1", body=b"x"),
    "chunked": with_field(b"transfer-encoding", b"chunked", body=b"0\r\n\r\n" + POISON),
    "coding-by-name": with_field(b"transfer-encoding", b"identity", body=b"x"),
    # of HTTP/1.1 connections only (RFC 9113, 8.2.2)
    "connection": with_field(b"connection", b"x-auth-token"),
    "keep-alive": with_field(b"keep-alive", b"timeout=5"),
    "proxy-connection": with_field(b"proxy-connection", b"close"),
    "upgrade": with_field(b"upgrade", b"websocket"),
    "te-other": with_field(b"te", b"chunked"),
    # pseudo-fields that are missing, repeated, unknown or late
    "no-path": http2.request(1, http2.pseudo()[:3]),
    "no-method": http2.request(1, http2.pseudo()[1:]),
    "path-twice": http2.request(1, [*http2.pseudo(), (b":path", b"/v1/poison")]),
    "method-twice": http2.request(1, [*http2.pseudo(), (b":method", b"DELETE")]),
    "unknown-pseudo": http2.request(1, [*http2.pseudo(), (b":project", b"other")]),
    "status-in-request": http2.request(1, [*http2.pseudo(), (b":status", b"200")]),
    "pseudo-behind-fields": http2.request(1, [(b"x", b"y"), *http2.pseudo()]),
    "connect": http2.request(1, [(b":method", b"CONNECT"), (b":authority", b"127.0.0.1:5000")]),
    "extended-connect": http2.request(1, [*http2.pseudo(b"CONNECT", b"/v1/x"), (b":protocol", b"websocket")]),
    "host-of-another": http2.request(1, [*http2.pseudo(), (b"host", b"other.example"), (b"host", b"third.example")]),
    # framing
    "odd-frame-size": http2.frame(http2.WINDOW_UPDATE, 0, 0, b"abc"),
    "data-without-head": http2.frame(http2.DATA, http2.END_STREAM, 1, b"x"),
    "even-stream": http2.request(2, http2.pseudo()),
    "push": http2.frame(http2.PUSH_PROMISE, http2.END_HEADERS, 1, b"\0\0\0\2" + http2.block(http2.pseudo())),
    "headers-too-large": with_field(b"x", b"a" * 100_000),
    "too-many-fields": http2.request(1, [*http2.pseudo(), *((b"x-%d" % number, b"y") for number in range(200))]),
    "broken-compression": http2.frame(
        http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff"
    ),
}


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """Envoy before a server that answers everything with what it understood."""
    with (
        controls.serving(controls.echo) as port,
        edge_proxy.edge(port, tmp_path_factory.mktemp("http2")) as made,
    ):
        yield made


@pytest.mark.parametrize("name", REFUSED)
def test_request_that_could_become_another_reaches_no_gateway(front, name):
    front.tap.forget()
    heard = http2.say(front.port, REFUSED[name], answers=1)
    assert front.tap.heard == [], heard
    assert all(400 <= status < 500 for status in heard.statuses.values()), heard
    assert heard.statuses or heard.closed or heard.of(http2.RST_STREAM), heard


def test_well_formed_request_reaches_it_as_one(front):
    """The positive control, with what HTTP/2 allows: many cookies, trailers, a body without a length."""
    front.tap.forget()
    fields = [*http2.pseudo(b"POST", b"/v1/x?y=%2F"), (b"te", b"trailers"), (b"x", b"\xe4")]
    trailers = http2.frame(
        http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, http2.block([(b"x-project-id", b"other")])
    )
    head = http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.block(fields))
    heard = http2.say(front.port, head + http2.frame(http2.DATA, 0, 1, POISON) + trailers, answers=1)
    assert heard.statuses == {1: 200}
    found, body = only_request(front.tap.heard)
    assert front.tap.heard[0].startswith(b"POST /v1/x?y=%2F HTTP/1.1\r\nhost: faas.example\r\n")
    assert body == POISON
    assert "x-project-id" not in found


def test_body_that_is_shorter_than_its_length_ends_the_request(front):
    """Its head is on its way before that is known; what follows on the connection is not taken for the rest."""
    front.tap.forget()
    with http2.connection(front.port) as sock:
        sock.sendall(with_field(b"content-length", b"1000", body=b"x"))
        assert http2.hear(sock, answers=1).of(http2.RST_STREAM)
    assert http2.say(front.port, http2.request(1, http2.pseudo()), answers=1).statuses == {1: 200}
    cut_off, whole = front.tap.heard
    assert cut_off.startswith(b"POST /v1/x HTTP/1.1\r\n")
    assert cut_off.count(b"HTTP/1.1") == 1
    assert only_request([whole])[1] == b""


def test_host_beside_an_authority_does_not_arrive(front):
    """RFC 9113, 8.3.1: the authority counts."""
    front.tap.forget()
    heard = http2.say(front.port, http2.request(1, [*http2.pseudo(), (b"host", b"other.example")]), answers=1)
    if heard.statuses == {1: 200}:
        assert only_request(front.tap.heard)[0]["host"] == "faas.example"
    else:
        assert front.tap.heard == []


def test_streams_of_one_connection_are_requests_of_their_own(front):
    """Bodies whose frames alternate are not mixed up."""
    front.tap.forget()
    streams = range(1, 21, 2)
    heads = b"".join(
        http2.frame(http2.HEADERS, http2.END_HEADERS, each, http2.block(http2.pseudo(b"POST", b"/v1/%d" % each)))
        for each in streams
    )
    pieces = b"".join(http2.frame(http2.DATA, 0, each, b"<%d>" % each) for _ in range(5) for each in streams)
    ends = b"".join(http2.frame(http2.DATA, http2.END_STREAM, each) for each in streams)
    heard = http2.say(front.port, heads + pieces + ends, answers=10)
    assert heard.statuses == dict.fromkeys(streams, 200)
    bodies = dict.fromkeys(streams, b"")
    for stream, payload in heard.of(http2.DATA):
        bodies[stream] += payload
    for stream in streams:
        said = controls.understood(b"\r\n\r\n" + bodies[stream])
        assert (said["path"], said["body"]) == (f"/v1/{stream}", f"<{stream}>" * 5)
