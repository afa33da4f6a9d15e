"""Digests kept in an object's own metadata.

The values lie under the names that the federation's tools read (`X-Object-Meta-Adler32`, …). One more field
binds them: `Checksum-Source: <etag>;<size>;<algorithm>,…`. A value counts only if the binding names it
together with the ETag and size that the object has now, so a value that was carried over to other content,
or that somebody else wrote, is not taken for a fact.
"""

from collections.abc import Mapping

from gateway.checksums.algorithms import ALGORITHMS, is_digest

BINDING = "checksum-source"


def read_stored(metadata: Mapping[str, str], *, etag: str, size: int) -> dict[str, str]:
    """The stored digests that belong to this ETag and size.

    Args:
        metadata: user metadata of the object, names in lower case, without the store's prefix.
        etag: the ETag that the object has now.
        size: its size in bytes.
    """
    bound_etag, _, rest = metadata.get(BINDING, "").partition(";")
    bound_size, _, names = rest.partition(";")
    if bound_etag != etag or bound_size != str(size):
        return {}
    found = {}
    for name in names.split(","):
        value = metadata.get(name, "")
        if name in ALGORITHMS and is_digest(name, value):
            found[name] = value
    return found


def write_stored(kept: Mapping[str, str], new: Mapping[str, str], *, etag: str, size: int) -> dict[str, str]:
    """The metadata that says `kept` and `new` belong to this ETag and size."""
    digests = {**kept, **new}
    return {**digests, BINDING: f"{etag};{size};{','.join(sorted(digests))}"}
