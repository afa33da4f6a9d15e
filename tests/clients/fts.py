"""What FTS requests of a storage by gfal2 and davix, how they read the reply, and when FTS repeats a transfer.

Written from these files:

- cern-fts/fts3, commit 6d3d5d0c6029 (`src/url-copy/UrlCopyProcess.cpp`) and 37cd2e2fa8d8 (`Gfal2.h`), and
  `src/url-copy/heuristics.cpp`
- cern-fts/gfal2, commit bdded47ddc13 (`src/plugins/http/gfal_http_copy.cpp`), d622b7fcd63e
  (`gfal_http_plugin_metadata.cpp`), 2ec806bc4365 (`gfal_http_plugin.cpp`) and 35c263104a39
  (`dist/etc/gfal2.d/gfal2_core.conf`)
- cern-fts/davix, commit 9b7d09d66f6b (`src/fileops/davmeta.cpp`), 1bf2f02d9268 (`src/utils/checksum_extractor.cpp`)
  and 2a5d105e5565 (`src/request/httprequest.cpp`)

davix and gfal2 themselves run in `test_values.py`, in the versions of Debian. Here are the parts of newer versions, and
what FTS makes of them.
"""

import base64
import errno

from raw import Head, request

# `CHECKSUM_TIMEOUT` of gfal2_core.conf. davix has no shorter one for the reply, and FTS sets none for checksums.
CHECKSUM_TIMEOUT_SECONDS = 1_800
_HEX = ("unixcksum", "crc32c", "unixsum")


class NotSupportedError(Exception):
    """There is no checksum of the type: gfal2 skips the check of a source, and fails that of a destination."""


class RequestFailedError(Exception):
    """davix reports the status as an error, and gfal2 does not repeat the request."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.errno = _ERRNOS.get(status, errno.EIO)


# `httpcodeToDavixError` and `davix2errno`. A checksum has the scope of MKCOL there, so a 409 is a missing file.
_ERRNOS = {
    **dict.fromkeys((401, 402, 407), errno.EACCES),
    **dict.fromkeys((404, 409, 410), errno.ENOENT),
    **dict.fromkeys((408, 504), errno.ETIMEDOUT),
    **dict.fromkeys((403, 423), errno.EPERM),
    405: errno.EEXIST,
    **dict.fromkeys((400, 411, 412, 413, 414, 415, 424, 501), errno.EHOSTDOWN),
}
# `retryTransfer`, for a failure at the source.
_FINAL = (errno.ENOENT, errno.EPERM, errno.EACCES)


def repeats_transfer(error: RequestFailedError) -> bool:
    """Whether FTS starts the transfer again after a failed checksum of the source."""
    return error.errno not in _FINAL


def head(target: str, port: int, token: str, algorithm: str) -> bytes:
    """The request of `internal_checksum`, sent by libneon. FTS names the type as the user did: `ADLER32`, `MD5`."""
    fields = (
        ("User-Agent", "fts_url_copy/3.13.1 gfal2/2.23.0 neon/0.0.29"),
        ("Keep-Alive", ""),
        ("Connection", "Keep-Alive"),
        ("TE", "trailers"),
        ("Host", "127.0.0.1:{port}"),
        ("Want-Digest", algorithm),
        ("Authorization", f"Bearer {token}"),
        ("ClientInfo", "job-id=4c1b5e60-8f0c-11ef-b864-0242ac120002;file-id=1;retry=0"),
    )
    return request("HEAD", target, port, fields)


def checksum(reply: Head, algorithm: str) -> str:
    """The value that `gfal2_checksum` returns.

    A 202 is a success for davix, which repeats only a GET after one: there is no checksum in it.

    Raises:
        RequestFailedError: of the status.
        NotSupportedError: there is no value of the type.
    """
    if not 200 <= reply.status < 300:
        raise RequestFailedError(reply.status)
    if algorithm.lower() == "md5" and reply.values("Content-MD5"):
        return base64.b64decode(reply.values("Content-MD5")[0]).decode("latin-1")  # davix does not encode it in hex
    for value in reply.values("Digest"):
        for entry in value.split(","):
            if entry.lower().startswith(f"{algorithm.lower()}="):
                return _decoded(algorithm.lower(), entry[len(algorithm) + 1 :])
    if algorithm.lower() == "md5":
        for word in "".join(reply.values("ETag")).translate(str.maketrans("&;\\/\"'", " " * 6)).split():
            if len(word) == 32 and set(word.lower()) <= set("0123456789abcdef"):
                return word
    raise NotSupportedError(algorithm)


def _decoded(algorithm: str, text: str) -> str:
    if algorithm in _HEX or (algorithm == "md5" and len(text) == 32):
        return text
    if algorithm == "adler32":
        return text.rjust(8, "0")
    return base64.b64decode(text).hex()


def same(one: str, other: str) -> bool:
    """`gfal_compare_checksums`: without leading zeros, in any case."""
    return one.lstrip("0").lower() == other.lstrip("0").lower()
