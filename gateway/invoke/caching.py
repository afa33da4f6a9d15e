"""Cache directives of a function's reply: private caches may store it, shared ones may not.

Two projects' invocations have one URL and differ by the token only, and a function chooses its own fields. A shared
cache (a CDN, a proxy of the site's) that believed them would answer one project with the reply of another's function,
before anybody has looked at a token. Each of the two fields set here prevents that alone, for caches that know only one
of them.
"""

import re
from functools import lru_cache

from gateway.errors import CREDENTIAL_FIELDS

# Directives for particular caches, which take precedence over Cache-Control (RFC 9213, and its predecessors in CDNs,
# nginx and proxies), and the age in a cache: every reply of the gateway comes from the function itself.
_NOT_OUT = re.compile(rb"age|x-accel-expires|(?:edge|surrogate|.+-cache)-control")
# Every directive that can be combined with `private` (RFC 9111, 5.2.2; RFC 5861; RFC 8246). One that names fields
# (`no-cache="x"`) may be read as if it named none.
_KEPT = re.compile(
    rb"(no-store|no-cache|no-transform|must-revalidate|must-understand|immutable"
    rb"|(?:max-age|stale-while-revalidate|stale-if-error)=[0-9]{1,18})"
)
_FIELD_LIST = re.compile(rb'no-cache="[^"]*"')


def is_for_shared_caches(name: bytes) -> bool:
    """Whether a field (in lower case) of a reply is for shared caches, and is therefore dropped."""
    return _NOT_OUT.fullmatch(name) is not None


@lru_cache(maxsize=1_024)
def cache_control(said: bytes) -> bytes:
    """`Cache-Control` for the caller, from all of the function's values.

    Without a word of the function's, `Expires` still says how long the caller's own cache may keep the reply.
    """
    words = [word.strip().lower() for word in _FIELD_LIST.sub(b"no-cache", said).split(b",")]
    return b", ".join(dict.fromkeys([b"private", *(word for word in words if _KEPT.fullmatch(word))]))


@lru_cache(maxsize=1_024)
def vary(said: bytes) -> bytes:
    """`Vary` for the caller, from all of the function's values, in one field: some caches read only one."""
    unique: dict[str, str] = {}
    for name in [*CREDENTIAL_FIELDS.split(", "), *said.decode("latin-1").split(",")]:
        unique.setdefault(name.strip().lower(), name.strip())
    return ", ".join(filter(None, unique.values())).encode("latin-1")
