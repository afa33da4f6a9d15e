"""Swift TempURLs: a signature over method, expiry and path (Swift documentation, "TempURL")."""

import hashlib
import hmac
from urllib.parse import unquote_to_bytes, urlsplit


def sign(url: str, *, method: str, key: str, expires_at: int, digest: str) -> str:
    """A URL that lets its holder use this method, and HEAD, on the object until `expires_at` (seconds since the epoch).

    Args:
        url: the object's URL, percent-encoded.
        method: GET or PUT.
        key: a TempURL key of the container or the account.
        expires_at: when it ends.
        digest: sha1, sha256 or sha512; Swift distinguishes them by length.
    """
    path = unquote_to_bytes(urlsplit(url).path)
    message = b"%s\n%d\n%s" % (method.encode("ascii"), expires_at, path)
    signature = hmac.new(key.encode(), message, getattr(hashlib, digest)).hexdigest()
    return f"{url}?temp_url_sig={signature}&temp_url_expires={expires_at}"
