"""What dCache's pool sends to a remote HTTP server, and how it reads the reply.

Written from these files of the repository dCache/dcache, in the state since the changes 5539 to 5542 and 5566 to 5569
of autumn 2020 (in 5.2, 6.0, 6.1, 6.2, and so in 7.0 and later):

- `modules/dcache/src/main/java/org/dcache/pool/movers/RemoteHttpDataTransferProtocol.java`
- `modules/common/src/main/java/org/dcache/util/Checksums.java` and `Checksum.java`

None of them has `Want-Repr-Digest`; it is requested in the open issue 7908.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raw import Head, request

MIB = 1 << 20

# `PREFERRED_CHECKSUM_TYPE_ORDERING`, without MD4, which has no name in RFC 3230.
NAMES = ("sha-512", "sha-256", "sha", "md5", "adler32")
_HEX_DIGITS = {"sha-512": 128, "sha-256": 64, "sha": 40, "md5": 32, "adler32": 8}

# `WANT_DIGEST_VALUE` up to 6.2.
OLD_WANT_DIGEST = "adler32;q=1, md5;q=0.8"

SOCKET_TIMEOUT_SECONDS = 60


class TransferFailedError(Exception):
    """dCache reports the transfer as failed. After its own PUT it then deletes the remote file."""


@dataclass(frozen=True)
class Verified:
    """A verification that did not fail: with a checksum, or accepted without one."""

    by: frozenset[str]


def want_digest(names: Sequence[str]) -> str:
    """`Checksums.wantDigest`: the first name has no q, and q falls in equal steps."""
    if len(names) == 1:
        return names[0]
    step = 1 / len(names)
    return ",".join(
        [names[0], *(f"{name};q={1 - position * step:.1f}" for position, name in enumerate(names[1:], start=1))]
    )


def head(target: str, port: int, token: str, wanted: str) -> bytes:
    """The request of `buildHeadRequest`, as Apache HttpClient 4 writes it without content compression.

    The token is from the header `TransferHeaderAuthorization` of the COPY request.
    """
    fields = (
        ("Authorization", f"Bearer {token}"),
        ("Want-Digest", wanted),
        ("Host", "127.0.0.1:{port}"),
        ("Connection", "Keep-Alive"),
        ("User-Agent", "dCache/9.2.6"),
    )
    return request("HEAD", target, port, fields)


def retry_seconds(size: int) -> float:
    """`maxRetryDuration`: how long a HEAD is repeated, and how long the first one waits."""
    return 60 + size / (10 * MIB)


def socket_timeout_seconds(size: int) -> float:
    """How long `buildHeadRequest` lets the socket be silent at the first request."""
    return max(SOCKET_TIMEOUT_SECONDS, retry_seconds(size))


def decode_rfc3230(value: str | None) -> dict[str, str]:
    """`Checksums.decodeRfc3230`: hex by name; nothing at all if an entry has no `=`, or a name occurs twice."""
    found: dict[str, str] = {}
    names: set[str] = set()
    for entry in (value or "").split(","):
        if not entry.strip():
            continue
        name, equals, text = entry.strip().partition("=")
        if not equals or name in names:
            return {}
        names.add(name)
        decoded = _decoded(name.lower(), text)
        if decoded is not None:
            found[name.lower()] = decoded
    return found


def _decoded(name: str, text: str) -> str | None:
    """`RFC3230_TO_CHECKSUM` and `Checksum.normalise`: adler32 is hex, the others are base64."""
    if name not in _HEX_DIGITS:
        return None
    try:
        value = text.strip().lower().rjust(8, "0") if name == "adler32" else base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return None
    right = len(value) == _HEX_DIGITS[name] and set(value) <= set("0123456789abcdef")
    return value if right else None


def verify(reply: Head, size: int, known: Mapping[str, str], *, required: bool) -> Verified | None:
    """One turn of `verifyRemoteFile`: None if dCache repeats the request after five seconds.

    Raises:
        TransferFailedError: with dCache's message.
    """
    if reply.status >= 300:
        if required:
            raise TransferFailedError(f"rejected HEAD: {reply.status}")
        return Verified(frozenset())
    if reply.status == 202:
        return None
    # `getLastHeader`, and `getFirstHeader` for the digests.
    for length in reply.values("Content-Length")[-1:]:
        if not length.isdigit() or int(length) != size:
            raise TransferFailedError(f"HEAD Content-Length ({length}) does not match file size ({size})")
    remote = decode_rfc3230(next(iter(reply.values("Digest")), None))
    compared = known.keys() & remote.keys()
    for name in compared:
        if known[name] != remote[name]:
            raise TransferFailedError(f"{name} {remote[name]} != {known[name]}")
    if required and not compared:
        raise TransferFailedError("no useful checksum in HEAD response")
    return Verified(frozenset(compared))
