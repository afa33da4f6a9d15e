"""Compares what was read, what is listed now and what a dump says, object by object. Pure."""

from collections.abc import AsyncIterator, Mapping
from enum import StrEnum

from msgspec import Struct

from gateway.errors import ErrorCode
from gateway.objects.containers import Entry, listed_time_ms
from operations.sweeps.results import ObjectResult


class Finding(StrEnum):
    """What a report says of an object."""

    LOST = "lost"
    DARK = "dark"
    CORRUPT = "corrupt"
    CHANGED = "changed"
    UNREAD = "unread"


class Expected(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a dump says of an object."""

    path: str
    size: int | None = None
    digests: dict[str, str] = {}


class Report(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of a report."""

    finding: Finding
    path: str
    why: str
    size: int | None = None
    digests: dict[str, str] = {}
    expected_size: int | None = None
    expected_digests: dict[str, str] = {}
    last_modified: str | None = None


class Sides(Struct, frozen=True, kw_only=True):
    """One name on all sides; None: a side does not have it."""

    path: str
    result: ObjectResult | None
    entry: Entry | None
    expected: Expected | None


_NOT_THERE = ErrorCode.OBJECT_NOT_FOUND.code
_CONTRADICTED = ErrorCode.OBJECT_CORRUPT.code


def report_of(sides: Sides, *, dump: bool, dump_ms: int | None) -> Report | None:
    """What is to be said of an object; None: nothing.

    Args:
        sides: of one name.
        dump: whether there is a dump.
        dump_ms: when it was written; None: not known.
    """
    result, entry = sides.result, sides.entry
    if entry is None:
        known = (Finding.LOST, "not in the container") if result is None else (Finding.CHANGED, _DELETED)
        return _report(sides, *known)
    if result is None or not result.is_version_of(entry):
        return _report(sides, Finding.CHANGED, "written during the sweep")
    if result.error is not None:
        return _report(sides, _FINDINGS.get(result.error.code, Finding.UNREAD), result.error.message)
    why = _difference(sides.expected, result) if dump else None
    if why is None:
        return None
    written = listed_time_ms(entry.last_modified)
    if dump_ms is not None and written is not None and written > dump_ms:
        return _report(sides, Finding.CHANGED, f"written after the dump; {why}")
    return _report(sides, Finding.DARK if sides.expected is None else Finding.CORRUPT, why)


_DELETED = "deleted during the sweep"
_FINDINGS: Mapping[str, Finding] = {_NOT_THERE: Finding.LOST, _CONTRADICTED: Finding.CORRUPT}


def _difference(expected: Expected | None, result: ObjectResult) -> str | None:
    if expected is None:
        return "not in the dump"
    if expected.size is not None and expected.size != result.size:
        return "another size than in the dump"
    for name, value in expected.digests.items():
        found = result.digests.get(name)
        # Some tools leave out leading zeros.
        if found is not None and found.lstrip("0") != value.lstrip("0"):
            return f"another {name} than in the dump"
    return None


def _report(sides: Sides, finding: Finding, why: str) -> Report:
    result, expected, entry = sides.result, sides.expected, sides.entry
    return Report(
        finding=finding,
        path=sides.path,
        why=why,
        size=None if result is None else result.size,
        digests={} if result is None else result.digests,
        expected_size=None if expected is None else expected.size,
        expected_digests={} if expected is None else expected.digests,
        last_modified=None if entry is None else entry.last_modified,
    )


async def merged(
    results: AsyncIterator[ObjectResult], listed: AsyncIterator[Entry], expected: AsyncIterator[Expected]
) -> AsyncIterator[Sides]:
    """Every name of three streams that have the same order: that of the characters, which is that of their UTF-8."""
    result, entry, wanted = await anext(results, None), await anext(listed, None), await anext(expected, None)
    while True:
        names = [each.path for each in (result, wanted) if each is not None]
        names += [] if entry is None else [entry.name]
        if not names:
            return
        name = min(names)
        here = Sides(
            path=name,
            result=result if result is not None and result.path == name else None,
            entry=entry if entry is not None and entry.name == name else None,
            expected=wanted if wanted is not None and wanted.path == name else None,
        )
        yield here
        if here.result is not None:
            result = await anext(results, None)
        if here.entry is not None:
            entry = await anext(listed, None)
        if here.expected is not None:
            wanted = await anext(expected, None)
