"""Family 2, upgrades: nothing but HTTP/1.1 is spoken (and HTTP/2 by Envoy), and nobody is connected through."""

import controls
import http2
import pytest
from heads import get, post
from wire import say

HEALTH = b"GET /healthcheck HTTP/1.1\r\n"
WEBSOCKET = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
H2C = b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"

REFUSED = {
    "websocket": get(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", WEBSOCKET, line=HEALTH),
    "websocket-by-case": get(b"Connection: uPGRADE\r\nUpgrade: WebSocket\r\n", WEBSOCKET, line=HEALTH),
    "websocket-unasked": get(b"Upgrade: websocket\r\n", WEBSOCKET, line=HEALTH),
    "websocket-old": get(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n", line=HEALTH),
    "websocket-by-post": post(b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n", b""),
    "tls": get(b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n", line=HEALTH),
    "unknown": get(b"Connection: Upgrade\r\nUpgrade: foo/2\r\n", line=HEALTH),
    "h2c-and-websocket": get(b"Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n", line=HEALTH),
    "two-upgrades": get(b"Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n", line=HEALTH),
    "h2-prior-knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0",
    "connect": get(line=b"CONNECT 127.0.0.1:5000 HTTP/1.1\r\n"),
    "connect-with-path": get(line=b"CONNECT /v1 HTTP/2\r\n"),
    "connect-udp": get(b"Upgrade: connect-udp\r\nConnection: Upgrade\r\nCapsule-Protocol: ?1\r\n", line=HEALTH),
    "absolute-form-proxying": get(line=b"GET http://127.0.0.1:5000/v3 HTTP/1.1\r\n"),
    "crlf-in-the-target": get(line=b"GET /v1 HTTP/1.1\r\nX: y\r\n /healthcheck HTTP/1.1\r\n"),
    "crlf-in-the-authority": get(host=b"Host: faas.example\r\n\r\nX: y\r\n\n"),
}


# What Envoy turns into an unambiguous request: no Connection nominates the upgrade, a line is folded.
MENDED = {"websocket-unasked", "crlf-in-the-target"}


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "crlf-in-the-authority"])
def test_other_protocol_is_refused(gateway, front, refusal, name):
    if front == "envoy" and name == "h2-prior-knowledge":
        assert http2.say(gateway.port, http2.request(1, http2.pseudo()), answers=1).statuses == {1: 200}
    elif front == "envoy" and name in MENDED:
        heard = say(gateway.port, REFUSED[name], answers=1)
        assert heard.statuses == [200]
        assert b"upgrade" not in heard.data.lower()
    else:
        refusal(gateway.port, REFUSED[name])


def test_what_an_authority_with_line_ends_smuggles_is_refused(gateway):
    """The first request ends where its empty line is; the rest is none."""
    heard = say(gateway.port, REFUSED["crlf-in-the-authority"])
    assert heard.statuses in ([200], [200, 400])
    assert heard.closed


@pytest.mark.parametrize("name", ["websocket", "tls", "unknown", "h2c-and-websocket", "absolute-form-proxying"])
def test_without_the_gate_it_is_answered(name):
    with controls.serving(controls.echo) as port:
        assert say(port, REFUSED[name], answers=1, seconds=1).statuses == [200]


@pytest.mark.parametrize("upgrade", [b"h2c", b"H2C"])
def test_offer_of_http_2_is_passed_over_and_the_connection_goes_on(gateway, upgrade):
    """Java's client makes it; what follows is HTTP/1.1 and strictly read."""
    offer = get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\n" % upgrade, H2C, line=HEALTH)
    heard = say(gateway.port, offer + offer, answers=2)
    assert heard.statuses == [200, 200]
    assert b"101" not in heard.data.split(b"\r\n")[0]
    assert say(gateway.port, offer + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", answers=2).statuses == [200, 400]


def test_without_the_gate_what_follows_an_offer_is_not_read_as_a_request():
    offer = get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", H2C)
    with controls.serving(controls.echo) as port:
        assert say(port, offer + get(), seconds=1).statuses == [200]
