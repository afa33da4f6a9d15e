"""Framing of request heads, before the parser. Pure: bytes in, a decision out.

Parsers repair some of their input: bare line feeds, folded lines, misplaced blanks. Two parsers in a chain repair
differently, which allows request smuggling. So only bytes that match the grammar of RFC 9112 exactly reach the parser,
and the end of each request is decided here, once.
"""

import re
from dataclasses import dataclass

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import check_framing, check_host
from gateway.http.websocket import check_handshake
from gateway.settings.server import RequestSettings

_TOKEN = rb"[A-Za-z0-9!#$%&'*+\-.^_`|~]++"
_FIELD_LINE = rb"%b:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n" % _TOKEN
# Origin form only: the gateway is not a forward proxy, and an authority in the target could contradict Host.
_TARGET = rb"/[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*+"
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (%b) HTTP/1\.([01])\r\n" % _TARGET)
_UNFINISHED_LINE = re.compile(rb"[A-Z]{0,16}(?:(?<=[A-Z]) (?:%b(?: [HTP/1.0]{0,8}\r?)?)?)?" % _TARGET)
_FIELDS = re.compile(rb"(?:%b)*+\r\n" % _FIELD_LINE)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FRAMING = re.compile(
    rb"\r\n(host|content-length|transfer-encoding|connection|upgrade|http2-settings):[ \t]*+([^\r]*)", re.IGNORECASE
)
_UPGRADE = re.compile(rb"\r\n(?:upgrade|http2-settings):[^\r]*", re.IGNORECASE)

_END = b"\r\n\r\n"
_LINE_OVERHEAD = len(b"OPTIONS  HTTP/1.1\r\n") + 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Framed:
    """A head that matches the grammar.

    Attributes:
        head: its bytes for the parser, including the empty line.
        consumed: its length in the received bytes.
        length: of the body in bytes; None if it is chunked.
        websocket: whether it is the handshake of a WebSocket.
    """

    head: bytes
    consumed: int
    length: int | None
    websocket: bool = False


def frame_head(data: bytes, searched: int, limits: RequestSettings) -> Framed | None:
    """The head at the beginning of `data`, or None if it is not complete.

    Args:
        data: what has been received since the last request ended.
        searched: how many bytes were already checked as the beginning of a valid head.
        limits: of the head.

    Raises:
        GatewayError: REQUEST_MALFORMED, REQUEST_TARGET_TOO_LONG, REQUEST_HEAD_TOO_LARGE or REQUEST_TRANSFER_CODING; as
            soon as it is detected, not only when the head is complete.
    """
    end = data.find(_END, max(0, searched - len(_END)))
    if end < 0:
        _check_unfinished(data, searched, limits)
        return None
    end += len(_END)
    if end > limits.head_max_bytes:
        raise _too_large(f"more than {limits.head_max_bytes} bytes")
    method, version, fields_at = _request_line(data, limits)
    if not _FIELDS.fullmatch(data, fields_at, end):
        raise _malformed("a header line is not a name, a colon and a value, and a line end of CR LF")
    head = data[:end]
    _check_fields(head, limits)
    return _framed(head, method, version)


def _framed(head: bytes, method: str, version: str) -> Framed:
    values: dict[bytes, list[bytes]] = {}
    for name, value in _FRAMING.findall(head):
        values.setdefault(name.lower(), []).append(value.rstrip(b" \t"))
    lengths, codings = values.get(b"content-length", []), values.get(b"transfer-encoding", [])
    check_host(values.get(b"host", []), version)
    check_framing(method, version, lengths, codings)
    consumed = len(head)
    websocket = False
    if b"upgrade" in values:
        # The field stays behind: with it, the parser would take what follows for another protocol.
        websocket, head = _is_websocket(head, method, version, values), _UPGRADE.sub(b"", head)
    if b" \r\n" in head or b"\t\r\n" in head:
        # RFC 9112, 5.1: blanks around a value are no part of it. Parsers differ about those behind it.
        head = b"\r\n".join(line.rstrip(b" \t") for line in head.split(b"\r\n"))
    length = None if codings else int(lengths[0]) if lengths else 0
    return Framed(head=head, consumed=consumed, length=length, websocket=websocket)


def _is_websocket(head: bytes, method: str, version: str, values: dict[bytes, list[bytes]]) -> bool:
    """Whether a request with Upgrade is the handshake of a WebSocket (RFC 6455, 4.2.1), and not an offer of HTTP/2.

    Raises:
        GatewayError: REQUEST_MALFORMED: it is neither.
    """
    # Java's client offers HTTP/2 this way and accepts HTTP/1.1. A client that asks for another protocol does not.
    if all(value.lower() == b"h2c" for value in values[b"upgrade"]):
        return False
    if [value.lower() for value in values[b"upgrade"]] != [b"websocket"]:
        raise _malformed("WebSocket is the only other protocol that is spoken here")
    check_handshake(head, method=method, version=version, connection=values.get(b"connection", []))
    return True


def _request_line(data: bytes, limits: RequestSettings) -> tuple[str, str, int]:
    line = _REQUEST_LINE.match(data)
    if line is None:
        raise _malformed("its first line is not a method, a path and HTTP/1.1, with one blank between them")
    if len(line[2]) > limits.target_max_bytes:
        raise GatewayError(ErrorCode.REQUEST_TARGET_TOO_LONG, limit=limits.target_max_bytes)
    return line[1].decode("ascii"), f"1.{line[3].decode('ascii')}", line.end()


def _check_fields(head: bytes, limits: RequestSettings) -> None:
    if head.count(b"\r\n") - 2 > limits.head_max_fields:
        raise _too_large(f"more than {limits.head_max_fields} fields")
    if len(head) > limits.field_max_bytes:
        lines = head.split(b"\r\n")[1:]
        if max(map(len, lines)) > limits.field_max_bytes:
            raise _too_large(f"a field of more than {limits.field_max_bytes} bytes")


def _check_unfinished(data: bytes, searched: int, limits: RequestSettings) -> None:
    if b"\r\n" in data:
        _request_line(data, limits)
    elif not _UNFINISHED_LINE.fullmatch(data):
        raise _malformed("its first line is not a method, a path and HTTP/1.1, with one blank between them")
    elif len(data) > limits.target_max_bytes + _LINE_OVERHEAD:
        raise GatewayError(ErrorCode.REQUEST_TARGET_TOO_LONG, limit=limits.target_max_bytes)
    if len(data) > limits.head_max_bytes:
        raise _too_large(f"more than {limits.head_max_bytes} bytes")
    if data.count(b"\r\n") - 1 > limits.head_max_fields:
        raise _too_large(f"more than {limits.head_max_fields} fields")
    ends = data.count(b"\r\n")
    lone = data.count(b"\n") > ends or data.count(b"\r") - data.endswith(b"\r") > ends
    if lone or _CONTROL.search(data, searched):
        raise _malformed("a line end that is not CR LF, or a control character")


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)


def _too_large(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_HEAD_TOO_LARGE, why=why)
