"""Digests stored in an object's own metadata, by us and by other tools of a federation.

The values have the names that those tools use (`X-Object-Meta-Adler32`, `x-amz-meta-adler32`, …).
An additional field binds ours: `Checksum-Source: <etag>;<size>;<algorithm>,…;<fingerprint>`. The fingerprint covers the
ETag, the size and the values, so it detects changed content and values that another tool has overwritten. It is not a
signature: a user who may write the metadata may write the object too.

A value without such a binding is foreign. It is unverified, so it counts only if the operator trusts foreign digests,
and even then not if the metadata shows that it is older than the content.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping

from gateway.digests import ALGORITHMS, is_digest
from gateway.objects.model import is_weak

BINDING = "checksum-source"
_FINGERPRINT_CHARS = 16
# Keys of other tools in addition to an algorithm's own name: rclone stores the MD5 of a multipart upload in base64.
_FOREIGN_KEYS = {"md5": ("md5", "md5chksum")}
_SHORT_HEX = re.compile(r"[0-9A-Fa-f]{1,8}")
_MD5_BASE64 = re.compile(r"[A-Za-z0-9+/]{22}==")
_SHORT = frozenset(["adler32", "crc32", "crc32c"])


def is_round_trippable(metadata: Mapping[str, str]) -> bool:
    """Whether these values can be sent back unchanged: bytes that are not UTF-8 would be lost or rejected."""
    try:
        "".join(metadata.values()).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_stored(metadata: Mapping[str, str], *, etag: str, size: int) -> dict[str, str]:
    """The digests that are bound to this ETag and size.

    Args:
        metadata: user metadata of the object, names in lower case, without the store's prefix.
        etag: the object's current ETag.
        size: its size in bytes.
    """
    if is_weak(etag):
        return {}
    source, _, fingerprint = metadata.get(BINDING, "").rpartition(";")
    names = source.removeprefix(_source(etag, size)).split(",")
    found = {name: metadata.get(name, "") for name in names}
    if not source.startswith(_source(etag, size)) or fingerprint != _fingerprint(found, etag=etag, size=size):
        return {}
    return found if all(name in ALGORITHMS and is_digest(name, value) for name, value in found.items()) else {}


def write_stored(kept: Mapping[str, str], new: Mapping[str, str], *, etag: str, size: int) -> dict[str, str]:
    """The metadata that binds `kept` and `new` to this ETag and size."""
    digests = {**kept, **new}
    names = ",".join(sorted(digests))
    return {**digests, BINDING: f"{_source(etag, size)}{names};{_fingerprint(digests, etag=etag, size=size)}"}


def read_foreign(metadata: Mapping[str, str], *, etag: str, size: int, native: Mapping[str, str]) -> dict[str, str]:
    """Digests of other tools in the metadata, unless the metadata shows that they are stale.

    They are stale if a binding is for other content, or if their MD5 differs from the store's own: then the metadata
    was copied from an older content.

    Args:
        metadata: as in `read_stored`.
        etag: the object's current ETag.
        size: its size in bytes.
        native: digests of the store itself.
    """
    if BINDING in metadata and not metadata[BINDING].startswith(_source(etag, size)):
        return {}
    bound = read_stored(metadata, etag=etag, size=size)
    found = {}
    for name in ALGORITHMS.keys() - bound.keys():
        values = (_normal(name, metadata.get(key, "").strip()) for key in _FOREIGN_KEYS.get(name, (name,)))
        value = next((value for value in values if value is not None), None)
        if value is not None:
            found[name] = value
    if any(native.get(name, value) != value for name, value in found.items()):
        return {}
    return found


def _source(etag: str, size: int) -> str:
    return f"{etag};{size};"


def _fingerprint(digests: Mapping[str, str], *, etag: str, size: int) -> str:
    values = ",".join(f"{name}={digests[name]}" for name in sorted(digests))
    return hashlib.sha256(f"{_source(etag, size)}{values}".encode()).hexdigest()[:_FINGERPRINT_CHARS]


def _normal(name: str, text: str) -> str | None:
    """A value in our form; tools leave out leading zeros, and write MD5 in base64. None if it is no digest."""
    if name in _SHORT and _SHORT_HEX.fullmatch(text):
        return text.lower().zfill(8)
    if name == "md5" and _MD5_BASE64.fullmatch(text):
        try:
            return base64.b64decode(text, validate=True).hex()
        except binascii.Error:
            return None
    return text.lower() if is_digest(name, text.lower()) else None
