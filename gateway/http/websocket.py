"""The opening handshake of a WebSocket (RFC 6455, 4). Pure; frames are never read.

A WebSocket is passed on to a function as a tunnel, so only the handshake concerns the gateway. It is checked on both
sides: a function that did not accept it must not get the bytes that the caller believes to send into a WebSocket.
"""

import base64
import hashlib
import re
from collections.abc import Iterable

from gateway.errors import ErrorCode, GatewayError

# In a scope: the request is a valid handshake, so the answer may be a switch of protocols.
WEBSOCKET = "osfaas.websocket"
# In the head of an answer with the status 101: the end of the tunnel that the caller's connection becomes.
TUNNEL_END = "osfaas.tunnel_end"
SWITCHING_PROTOCOLS = 101

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FIELD = re.compile(rb"\r\n(sec-websocket-(?:key|version)):[ \t]*+([^\r]*)", re.IGNORECASE)
# Base64 of 16 bytes: the last digit before the padding has two bits.
_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")


def check_handshake(head: bytes, *, method: str, version: str, connection: Iterable[bytes]) -> None:
    """Checks a request with `Upgrade: websocket` (RFC 6455, 4.2.1).

    Args:
        head: as received.
        method: of the request.
        version: of HTTP.
        connection: the values of every Connection field.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    options = {option.strip(b" \t").lower() for value in connection for option in value.split(b",")}
    if method != "GET" or version != "1.1" or b"upgrade" not in options:
        raise _malformed("a WebSocket begins with GET, HTTP/1.1 and 'Connection: Upgrade'")
    fields = [(name.lower(), value.rstrip(b" \t")) for name, value in _FIELD.findall(head)]
    keys = [value for name, value in fields if name == b"sec-websocket-key"]
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise _malformed("a WebSocket begins with one Sec-WebSocket-Key, which is 16 bytes in base64")
    if [value for name, value in fields if name == b"sec-websocket-version"] != [b"13"]:
        raise _malformed("a WebSocket begins with 'Sec-WebSocket-Version: 13'")


def accept_of(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
