"""The order in a call, validated before anything is opened or read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .algorithms import select_algorithms
from .errors import ChecksumsError, Code
from .settings import DEFAULT_PORTS, MOST_PORT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .algorithms import Algorithm

MOST_BYTES = 1 << 53  # the largest integer that every JSON parser in the chain represents exactly
_ETAG = re.compile(r"[!#-~]{1,512}")  # RFC 9110 8.8.3 without obs-text: nothing that ends a header or its quotes
# Absolute http(s) URL. No userinfo (a host name before an @ is misleading), no fragment, only visible ASCII: all other
# characters of an object's name must be percent-encoded already, because the path is sent unchanged.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?P<target>[/?][!\"$-~]*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SourceUrl:
    """A parsed URL. `target` contains a signature and must appear in no message, hence the short repr."""

    scheme: str
    host: str  # lower case, IPv6 without brackets
    port: int
    authority: str  # value of the Host header
    target: bytes

    def __repr__(self) -> str:
        return f"SourceUrl({self.scheme}://{self.authority}/…)"


@dataclass(frozen=True, slots=True)
class SourceOrder:
    """An object to read from a URL. `etag` is unquoted; None allows any version, but only one."""

    url: SourceUrl
    etag: str | None
    size: int
    algorithms: tuple[Algorithm, ...]


@dataclass(frozen=True, slots=True)
class BodyOrder:
    """An object in the body of the call; `etag` is only repeated in the answer."""

    etag: str | None
    size: int
    algorithms: tuple[Algorithm, ...]


def parse_url(text: str) -> SourceUrl:
    """Parses a source URL without changing a byte of its path.

    Raises:
        ChecksumsError: bad_request.
    """
    match = _URL.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or port == 0 or (port or 0) > MOST_PORT:
        raise ChecksumsError(
            Code.BAD_REQUEST,
            "source.url must be an absolute http or https URL, percent-encoded, without user name and fragment.",
        )
    scheme, host, target = match["scheme"].lower(), match["host"].lower(), match["target"] or "/"
    return SourceUrl(
        scheme=scheme,
        host=host.strip("[]"),
        port=port or DEFAULT_PORTS[scheme],
        authority=match["host"] + (f":{port}" if port else ""),
        target=(target if target[0] == "/" else f"/{target}").encode("ascii"),
    )


def parse_source_order(body: bytes) -> SourceOrder:
    """Parses the JSON of a call in source mode.

    Raises:
        ChecksumsError: bad_request, unknown_algorithm.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ChecksumsError(Code.BAD_REQUEST, "The body is not JSON.") from None
    source = document.get("source") if isinstance(document, dict) else None
    if not isinstance(source, dict):
        raise ChecksumsError(Code.BAD_REQUEST, 'The body must be an object with "source" and "algorithms".')
    url, etag, size, names = (
        source.get("url"),
        source.get("etag"),
        source.get("size"),
        document.get("algorithms"),
    )
    if not isinstance(url, str):
        raise ChecksumsError(Code.BAD_REQUEST, "source.url must be a string.")
    if etag is not None and not isinstance(etag, str):
        raise ChecksumsError(Code.BAD_REQUEST, "source.etag must be a string or null.")
    if type(size) is not int:  # a bool is an int in Python
        raise ChecksumsError(Code.BAD_REQUEST, "source.size must be a whole number of bytes.")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ChecksumsError(Code.BAD_REQUEST, "algorithms must be a list of names.")
    return SourceOrder(parse_url(url), checked_etag(etag), checked_size(size), select_algorithms(names))


def parse_body_order(headers: Mapping[str, str]) -> BodyOrder:
    """Parses the headers of a call in stream mode.

    Raises:
        ChecksumsError: bad_request, unknown_algorithm.
    """
    size = headers.get("X-Object-Size", "")
    if not re.fullmatch(r"[0-9]{1,16}", size):
        raise ChecksumsError(Code.BAD_REQUEST, "X-Object-Size must be a whole number of bytes.")
    names = [name.strip() for name in headers.get("X-Checksum-Algorithms", "").split(",")]
    return BodyOrder(
        checked_etag(headers.get("X-Object-Etag")),
        checked_size(int(size)),
        select_algorithms(filter(None, names)),
    )


def checked_etag(etag: str | None) -> str | None:
    """The ETag. Raises bad_request if it could end a header field or its quotes."""
    if etag is not None and not _ETAG.fullmatch(etag):
        raise ChecksumsError(Code.BAD_REQUEST, "The ETag must be visible ASCII without its quotes.")
    return etag


def checked_size(size: int) -> int:
    """The size in bytes. Raises bad_request if it is out of range."""
    if not 0 <= size <= MOST_BYTES:
        raise ChecksumsError(Code.BAD_REQUEST, f"The size must be from 0 to {MOST_BYTES} bytes.")
    return size
