"""What a sweep knows of an object, and the forms in which it is written. Pure."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from gateway.objects.containers import Entry

NDJSON = "application/x-ndjson"


class Problem(Struct, frozen=True, gc=False):
    """Why there is no digest."""

    code: str
    message: str


class Listed(Struct, frozen=True, gc=False):
    """What the list said before the object was read."""

    etag: str
    size: int
    last_modified: str


class ObjectResult(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The digests of one object, or why there are none."""

    path: str
    size: int | None = None
    etag: str | None = None
    digests: dict[str, str] = {}
    error: Problem | None = None
    listed: Listed

    def is_version_of(self, entry: Entry) -> bool:
        """Whether the object has not been written since."""
        return (self.listed.etag, self.listed.size, self.listed.last_modified) == entry.version


def listed_of(entry: Entry) -> Listed:
    """What is kept of an entry."""
    return Listed(entry.etag, entry.size, entry.last_modified)


_RESULT = msgspec.json.Decoder(ObjectResult)


def results_of(part: bytes) -> list[ObjectResult]:
    """The inverse of the NDJSON form.

    Raises:
        msgspec.DecodeError: this is no part of results.
    """
    return [_RESULT.decode(line) for line in part.split(b"\n") if line]


def ndjson(lines: Iterable[Any]) -> bytes:
    """Newline-delimited JSON."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def md5sum(algorithm: str) -> Callable[[Sequence[ObjectResult]], bytes]:
    """Writes digests as md5sum does."""

    def written(results: Sequence[ObjectResult]) -> bytes:
        lines = []
        for each in results:
            if each.error is None:
                shown = escaped(each.path)
                mark = "" if shown == each.path else "\\"
                lines.append(f"{mark}{each.digests[algorithm]}  {shown}\n")
        return "".join(lines).encode()

    return written


def table(algorithms: Sequence[str]) -> Callable[[Sequence[ObjectResult]], bytes]:
    """Writes a CSV, as Rucio's dumps are: path, size and a column for each algorithm."""

    def written(results: Sequence[ObjectResult]) -> bytes:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("path", "size", *algorithms))
        rows.writerows(
            (each.path, each.size, *(each.digests[name] for name in algorithms))
            for each in results
            if each.error is None
        )
        return text.getvalue().encode()

    return written


Writer = Callable[[Sequence[ObjectResult]], bytes]


def forms_of(formats: Iterable[str], algorithms: Sequence[str]) -> Mapping[str, tuple[str, Writer]]:
    """Media type and writer by the extension of the object's name."""
    found: dict[str, tuple[str, Writer]] = {}
    for each in formats:
        if each == "ndjson":
            found["ndjson"] = NDJSON, ndjson
        elif each == "csv":
            found["csv"] = "text/csv; charset=utf-8", table(algorithms)
        else:
            found |= {name: ("text/plain; charset=utf-8", md5sum(name)) for name in algorithms}
    return found


def escaped(name: str) -> str:
    """A name on one line, as md5sum writes it."""
    return name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def unescaped(shown: str) -> str:
    """The inverse of `escaped`."""
    found, rest = [], iter(shown)
    for each in rest:
        if each == "\\":
            follows = next(rest, "")
            found.append({"n": "\n", "r": "\r"}.get(follows, follows))
        else:
            found.append(each)
    return "".join(found)
