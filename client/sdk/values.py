"""Results that are no resources: digests, limits."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Checksum:
    """Digests of one object.

    Attributes:
        container: of the object.
        object: its name.
        digests: lowercase hex by algorithm.
        etag: of the content that was read.
        size: of that content in bytes.
        stored: whether the digests are in the object's metadata now.
        error: why there is none, in a listing.
    """

    container: str
    object: str
    digests: dict[str, str] = field(default_factory=dict)
    etag: str | None = None
    size: int | None = None
    stored: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Limit:
    """A limit of the project and how much of it is in use; a limit of -1 is none."""

    name: str
    limit: float
    usage: float
