"""Swift TempURLs: a signature over method, expiry and path (Swift documentation, "TempURL")."""

import hashlib
import hmac
from urllib.parse import unquote_to_bytes, urlsplit


def sign_get(url: str, *, key: str, expires_at: int, digest: str) -> str:
    """A URL that lets its holder GET and HEAD the object until `expires_at` (seconds since the epoch).

    Args:
        url: the object's URL, percent-encoded.
        key: a TempURL key of the container or the account.
        expires_at: when it ends.
        digest: sha1, sha256 or sha512; Swift distinguishes them by length.
    """
    path = unquote_to_bytes(urlsplit(url).path)
    message = b"GET\n%d\n%s" % (expires_at, path)
    signature = hmac.new(key.encode(), message, getattr(hashlib, digest)).hexdigest()
    return f"{url}?temp_url_sig={signature}&temp_url_expires={expires_at}"
