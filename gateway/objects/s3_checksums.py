"""Native digests of an S3 store.

`x-amz-checksum-*` values count if they are of the whole object: multipart uploads also have COMPOSITE ones,
which are checksums of checksums and look like `base64-N` (AWS, "Checking object integrity"). An ETag is the
MD5 of the content only for objects that were uploaded in one request, and not under SSE-C or SSE-KMS; in Swift's S3 API
nothing tells these objects from others.
"""

import base64
import binascii
import re
from collections.abc import Mapping

from gateway.digests import is_digest

# Field → our name. Ceph's gateway has three that AWS does not have.
_FIELDS = {
    "x-amz-checksum-crc32": "crc32",
    "x-amz-checksum-crc32c": "crc32c",
    "x-amz-checksum-crc64nvme": "crc64nvme",
    "x-amz-checksum-sha1": "sha1",
    "x-amz-checksum-sha256": "sha256",
    "x-rgw-checksum-sha512": "sha512",
    "x-rgw-checksum-blake3": "blake3",
    "x-rgw-checksum-xxh3": "xxh3_64",
}
_MD5 = re.compile(r"[0-9a-f]{32}")
# Swift's S3 API sends it, and shows a dynamic large object like a plain one, with an ETag of 32 hexadecimal digits.
_SWIFT = "x-trans-id"
_FULL, _TYPE = "FULL_OBJECT", "x-amz-checksum-type"


def native_digests(headers: Mapping[str, str], etag: str) -> dict[str, str]:
    """The full-object digests in the header fields (names in lower case) of a HEAD, lowercase hex by algorithm."""
    found = {}
    if headers.get(_TYPE, "").upper() == _FULL:
        for field, name in _FIELDS.items():
            value = _hex(headers.get(field, ""))
            if is_digest(name, value):
                found[name] = value
    encrypted = headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
    own_key = "x-amz-server-side-encryption-customer-algorithm" in headers
    if _MD5.fullmatch(etag) and not encrypted and not own_key and _SWIFT not in headers:
        found["md5"] = etag
    return found


def _hex(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).hex()
    except (binascii.Error, ValueError):
        return ""
