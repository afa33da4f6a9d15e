"""How far a sweep has come: what the store keeps of it."""

from typing import Literal

import msgspec
from msgspec import Struct

from operations.store.sweeps import SweepPosition

Phase = Literal["count", "read", "compare", "summary"]


class Position(Struct, kw_only=True, frozen=True):
    """A position.

    Attributes:
        marker: the last name that has been dealt with in this phase.
        parts, reports: parts that are written.
        objects, bytes: that are read, by the list.
        failed: objects without digests.
        compared: the part of results that the comparison has to go on with; the first is 1.
        findings: their numbers.
        dump_etag, dump_ms: of the dump: what binds it, and when it was written.
    """

    phase: Phase = "count"
    marker: str = ""
    parts: int = 0
    reports: int = 0
    objects: int = 0
    bytes: int = 0
    failed: int = 0
    compared: int = 1
    findings: dict[str, int] = {}
    dump_etag: str | None = None
    dump_ms: int | None = None
    objects_total: int | None = None
    bytes_total: int | None = None


_DECODER = msgspec.json.Decoder(Position)
change = msgspec.structs.replace


def stored_position(position: Position) -> SweepPosition:
    """What the store keeps."""
    return SweepPosition(
        text=msgspec.json.encode(position).decode(),
        objects_done=position.objects,
        bytes_done=position.bytes,
        objects_total=position.objects_total,
        bytes_total=position.bytes_total,
    )


def position_of(stored: SweepPosition | None) -> Position:
    """The inverse; None: a sweep that has not begun."""
    return Position() if stored is None else _DECODER.decode(stored.text)
