"""The work of one sweep, from its position on: counts, reads, compares, sums up."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import msgspec

from gateway.errors import ErrorCode
from gateway.objects.containers import Entry, SwiftContainers
from gateway.objects.model import ObjectRef
from gateway.sweeps.specification import SweepSpecification
from operations.gateway_client import Progress
from operations.sweeps.authority import SweepAuthority
from operations.sweeps.comparison import Finding, Report, merged, report_of
from operations.sweeps.digests import DigestClient
from operations.sweeps.errors import SweepError
from operations.sweeps.loading import DumpLoader
from operations.sweeps.pace import Pace
from operations.sweeps.position import Position, change
from operations.sweeps.results import NDJSON, ObjectResult, forms_of, ndjson, results_of

# Parts of another size would be none of ours.
_MAX_PART_BYTES = 64 << 20
# An object that the function reads costs a stat before and after.
_REQUESTS_OF_A_LARGE_OBJECT = 3
_ROWS = 1_000
_JSON = "application/json"

_FINDINGS = tuple(Finding)
_OF_SERVICES = frozenset(
    kind.code
    for kind in (
        ErrorCode.STORE_UNAVAILABLE,
        ErrorCode.KEYSTONE_UNAVAILABLE,
        ErrorCode.DIRECTORY_UNAVAILABLE,
        ErrorCode.FUNCTION_UNREACHABLE,
        ErrorCode.FUNCTION_BUSY,
        ErrorCode.FUNCTION_NOT_RUNNING,
        ErrorCode.FUNCTION_QUOTA_EXCEEDED,
        ErrorCode.CONCURRENCY_EXCEEDED,
        ErrorCode.RATE_EXCEEDED,
        ErrorCode.BYTES_EXCEEDED,
        ErrorCode.OPERATION_UNREACHABLE,
    )
)

Store = Callable[[Position], Awaitable[None]]


class TurnOverError(Exception):
    """Other operations have waited for long enough."""


@dataclass(slots=True, kw_only=True)
class SweepWork:
    """One sweep in the hands of one worker.

    Attributes:
        save: stores a position; raises if the claim is lost.
        holds: raises if the claim is lost.
        until: when the turn is over, by the monotonic clock.
        small_bytes: size up to which the gateway reads an object with one request.
        last_attempt: whether a part of which no object can be read is written nevertheless.
    """

    operation_id: str
    wanted: SweepSpecification
    position: Position
    authority: SweepAuthority
    containers: SwiftContainers
    digests: DigestClient
    dumps: DumpLoader
    save: Store
    holds: Callable[[], Awaitable[None]]
    progress: Progress
    until: float
    small_bytes: int
    last_attempt: bool
    _compared: int = 1

    async def run(self) -> bytes:
        """Does what is left; returns the summary.

        Raises:
            TurnOverError: it is to be continued.
            SweepError, TokenRejectedError, GatewayError: it cannot go on.
        """
        if self.position.phase == "count":
            await self._count()
        if self.position.phase == "read":
            await self._read()
        if self.position.phase == "compare":
            await self._compare()
        summary = self._summary()
        await self._put("summary.json", summary, _JSON)
        return summary

    # --- phases

    async def _count(self) -> None:
        """The totals; and the dump is read once, so that a malformed one is found before anything is read."""
        wanted, dump = self.wanted, self.wanted.against
        etag = modified_ms = None
        if dump is not None:
            async with self.containers.opening(self.authority.caller, ObjectRef(dump.container, dump.object)) as opened:
                etag, modified_ms = opened.etag, opened.modified_ms
            async with self.dumps.rows(self.authority, wanted, etag):
                pass
        if wanted.prefix:
            objects = size = 0
            async for entry in self._entries(""):
                objects, size = objects + 1, size + entry.size
        else:
            found = await self.containers.stat(self.authority.caller, wanted.container)
            objects, size = found.objects, found.bytes
        await self._reach(phase="read", dump_etag=etag, dump_ms=modified_ms, objects_total=objects, bytes_total=size)

    async def _read(self) -> None:
        pace = Pace(self.wanted.limits)
        while entries := await self._next_part():
            results = await self._results_of(entries, pace)
            await self._write_part(results)
            position = self.position
            await self._reach(
                marker=entries[-1].name,
                parts=position.parts + 1,
                objects=position.objects + len(entries),
                bytes=position.bytes + sum(entry.size for entry in entries),
                failed=position.failed + sum(each.error is not None for each in results),
            )
            if time.monotonic() > self.until:
                raise TurnOverError
        await self._reach(phase="compare", marker="")

    async def _compare(self) -> None:
        async with self.dumps.rows(self.authority, self.wanted, self.position.dump_etag) as expected:
            last = self.position.marker
            sides = merged(self._written_results(last), self._entries(last), expected(last))
            number, reports = 0, list[Report]()
            async for each in sides:
                last = each.path
                report = report_of(each, dump=self.wanted.against is not None, dump_ms=self.position.dump_ms)
                if report is not None:
                    reports.append(report)
                number += 1
                if number == self.wanted.part_objects:
                    await self._report(last, reports)
                    number, reports = 0, []
            await self._report(last, reports)
        await self._reach(phase="summary")

    def _summary(self) -> bytes:
        position, wanted = self.position, self.wanted
        return msgspec.json.encode(
            {
                "container": wanted.container,
                "prefix": wanted.prefix,
                "algorithms": wanted.algorithms,
                "objects": position.objects,
                "bytes": position.bytes,
                "objects_without_digests": position.failed,
                "findings": {name: position.findings.get(name, 0) for name in _FINDINGS},
                "against": wanted.against,
                "output": {"container": wanted.output.container, "prefix": self._name("")},
                "result_parts": position.parts,
                "report_parts": position.reports,
            }
        )

    # --- steps

    async def _next_part(self) -> list[Entry]:
        """The next objects of the list: what a part may have."""
        wanted, marker = self.wanted, self.position.marker
        part: list[Entry] = []
        size = 0
        while len(part) < wanted.part_objects:
            page = await self._page(marker, wanted.part_objects - len(part))
            for entry in page:
                if part and size + entry.size > wanted.part_bytes:
                    return part
                part.append(entry)
                size += entry.size
            if not page:
                break
            marker = page[-1].name
        return part

    async def _results_of(self, entries: list[Entry], pace: Pace) -> list[ObjectResult]:
        objects, size = self.position.objects, self.position.bytes

        def read(length: int) -> None:
            nonlocal objects, size
            objects, size = objects + 1, size + length
            self.progress(size, objects)

        results: list[ObjectResult] = []
        for group, requests, length in self._groups(entries, pace):
            await pace.take(requests, length)
            results += await self.digests.results(self.authority.token, self.wanted, group, read)
        problems = [each.error for each in results if each.error is not None and each.error.code in _OF_SERVICES]
        if len(problems) == len(results) and not self.last_attempt:
            # Not the objects are at fault.
            raise SweepError(problems[0].code, problems[0].message, passing=True)
        return results

    def _groups(self, entries: list[Entry], pace: Pace) -> Iterator[tuple[list[Entry], int, int]]:
        """What may be asked for at once, with its requests to the store and its bytes."""
        group: list[Entry] = []
        requests = size = 0
        for entry in entries:
            cost = 1 if entry.size <= self.small_bytes else _REQUESTS_OF_A_LARGE_OBJECT
            if group and not pace.fits(requests + cost, size + entry.size):
                yield group, requests, size
                group, requests, size = [], 0, 0
            group.append(entry)
            requests, size = requests + cost, size + entry.size
        yield group, requests, size

    async def _write_part(self, results: list[ObjectResult]) -> None:
        await self.holds()
        for extension, (media_type, write) in forms_of(self.wanted.formats, self.wanted.algorithms).items():
            await self._put(f"results-{self.position.parts + 1:06}.{extension}", write(results), media_type)

    async def _report(self, marker: str, reports: list[Report]) -> None:
        findings = dict(self.position.findings)
        for each in reports:
            findings[each.finding] = findings.get(each.finding, 0) + 1
        written = self.position.reports
        if reports:
            await self.holds()
            written += 1
            await self._put(f"report-{written:06}.ndjson", ndjson(reports), NDJSON)
        await self._reach(marker=marker, reports=written, findings=findings, compared=self._compared)

    # --- streams, each from a name on

    async def _entries(self, marker: str) -> AsyncIterator[Entry]:
        while page := await self._page(marker, _ROWS):
            for entry in page:
                yield entry
            marker = page[-1].name

    async def _written_results(self, marker: str) -> AsyncIterator[ObjectResult]:
        for number in range(self.position.compared, self.position.parts + 1):
            self._compared = number
            for result in await self._read_part(number):
                if result.path > marker:
                    yield result

    # --- requests to the store

    async def _page(self, marker: str, limit: int) -> list[Entry]:
        wanted = self.wanted
        return await self.containers.page(
            self.authority.caller, wanted.container, prefix=wanted.prefix, marker=marker, limit=min(limit, _ROWS)
        )

    async def _read_part(self, number: int) -> list[ObjectResult]:
        name = f"results-{number:06}.ndjson"
        async with self.containers.opening(self.authority.caller, self._ref(name)) as opened:
            if opened.size > _MAX_PART_BYTES:
                raise _changed_part(name)
            body = b"".join([piece async for piece in opened.pieces])
        if body.count(b"\n") > self.wanted.part_objects:
            raise _changed_part(name)
        try:
            return results_of(body)
        except msgspec.DecodeError as error:
            raise _changed_part(name) from error

    async def _put(self, name: str, content: bytes, media_type: str) -> None:
        await self.containers.put(self.authority.caller, self._ref(name), content, content_type=media_type)

    def _ref(self, name: str) -> ObjectRef:
        return ObjectRef(self.wanted.output.container, self._name(name))

    def _name(self, name: str) -> str:
        return f"{self.wanted.output.prefix}{self.operation_id}/{name}"

    async def _reach(self, **changes: object) -> None:
        self.position = change(self.position, **changes)
        await self.save(self.position)
        self.progress(self.position.bytes, self.position.objects)


def _changed_part(name: str) -> SweepError:
    kind = ErrorCode.SWEEP_RESULTS_CHANGED
    return SweepError(kind.code, kind.value.sentence.format(name=name))
