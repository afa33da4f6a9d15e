"""The handshake of a WebSocket: exactly what RFC 6455 asks for, or nothing."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ErrorCode, GatewayError
from gateway.http.websocket import accept_of
from gateway.http.wire import Framed, frame_head
from gateway.settings.server import RequestSettings

HANDSHAKE = (
    b"GET /v1/invoke/f/chat HTTP/1.1\r\nHost: faas.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"


def framed(head: bytes) -> Framed | None:
    return frame_head(head, 0, RequestSettings())


def test_accept_of_the_rfc() -> None:
    """The example of RFC 6455, 1.3."""
    assert accept_of(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@given(st.binary(min_size=16, max_size=16))
def test_handshake_with_any_nonce_is_one(nonce: bytes) -> None:
    key = base64.b64encode(nonce)
    assert (found := framed(HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", key))) is not None
    assert found.websocket
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    assert base64.b64decode(accept_of(key)) == digest


ACCEPTED = {
    "as the RFC writes it": HANDSHAKE,
    "by case": HANDSHAKE.replace(b"websocket\r", b"WebSocket\r").replace(b": Upgrade", b": uPGRADE"),
    "names by case": HANDSHAKE.replace(b"Sec-WebSocket", b"SEC-WEBSOCKET").replace(b"Upgrade:", b"uPGRADE:"),
    "among other options": HANDSHAKE.replace(b": Upgrade", b": keep-alive , Upgrade"),
    "options in two fields": HANDSHAKE.replace(KEY, KEY + b"Connection: keep-alive\r\n"),
    "blanks around values": HANDSHAKE.replace(b": websocket", b":  websocket \t").replace(b"==", b"== "),
    "an empty body": HANDSHAKE.replace(KEY, KEY + b"Content-Length: 0\r\n"),
}


@pytest.mark.parametrize("head", ACCEPTED.values(), ids=ACCEPTED)
def test_handshake_is_known_and_its_upgrade_stays_behind(head: bytes) -> None:
    """The parser must not see Upgrade: it would take the bytes that follow for another protocol."""
    found = framed(head)
    assert found is not None
    assert found.websocket
    assert (found.consumed, found.length) == (len(head), 0)
    assert b"\r\nupgrade:" not in found.head.lower()
    assert found.head.lower().count(b"\r\nsec-websocket-") == 2


REFUSED = {
    "another method": HANDSHAKE.replace(b"GET", b"POST"),
    "HEAD": HANDSHAKE.replace(b"GET", b"HEAD"),
    "HTTP/1.0": HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a body": HANDSHAKE.replace(KEY, KEY + b"Content-Length: 5\r\n") + b"hello",
    "a chunked body": HANDSHAKE.replace(KEY, KEY + b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
    "no Connection": HANDSHAKE.replace(b"Connection: Upgrade\r\n", b""),
    "another Connection": HANDSHAKE.replace(b": Upgrade", b": close"),
    "Connection with a prefix": HANDSHAKE.replace(b": Upgrade", b": xUpgrade"),
    "Connection in quotes": HANDSHAKE.replace(b": Upgrade", b': "Upgrade"'),
    "two Upgrades": HANDSHAKE.replace(KEY, KEY + b"Upgrade: websocket\r\n"),
    "h2c before": HANDSHAKE.replace(KEY, KEY + b"Upgrade: h2c\r\n"),
    "a list with h2c": HANDSHAKE.replace(b"websocket\r", b"websocket, h2c\r"),
    "a list with nothing": HANDSHAKE.replace(b"websocket\r", b"websocket,\r"),
    "another protocol": HANDSHAKE.replace(b"websocket\r", b"foo/2\r"),
    "a version of the protocol": HANDSHAKE.replace(b"websocket\r", b"websocket/13\r"),
    "an empty Upgrade": HANDSHAKE.replace(b"websocket\r", b"\r"),
    "no key": HANDSHAKE.replace(KEY, b""),
    "two keys": HANDSHAKE.replace(KEY, KEY + KEY),
    "an empty key": HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b""),
    "a short key": HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25j"),
    "a long key": HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25jZQAA"),
    "a key that is no base64": HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25_ZQ=="),
    "a key with spare bits": HANDSHAKE.replace(b"ZQ==", b"ZR=="),
    "two keys in one": HANDSHAKE.replace(b"ZQ==", b"ZQ==, dGhlIHNhbXBsZSBub25jZQ=="),
    "no version": HANDSHAKE.replace(VERSION, b""),
    "an old version": HANDSHAKE.replace(b": 13", b": 8"),
    "two versions": HANDSHAKE.replace(VERSION, VERSION + VERSION),
    "versions in one": HANDSHAKE.replace(b": 13", b": 13, 8"),
    "a version with a zero": HANDSHAKE.replace(b": 13", b": 013"),
}


@pytest.mark.parametrize("head", REFUSED.values(), ids=REFUSED)
def test_what_is_no_handshake_is_refused(head: bytes) -> None:
    assert head != HANDSHAKE
    with pytest.raises(GatewayError) as caught:
        framed(head)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


def test_request_without_upgrade_is_none() -> None:
    found = framed(HANDSHAKE.replace(b"Upgrade: websocket\r\n", b""))
    assert found is not None
    assert not found.websocket


def test_offer_of_http_2_is_none() -> None:
    found = framed(HANDSHAKE.replace(b"websocket\r", b"h2c\r"))
    assert found is not None
    assert not found.websocket
