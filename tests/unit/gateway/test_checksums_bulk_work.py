"""The work of a bulk request: every object gets exactly one line, whichever way its digests come."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.calls.call import Call
from gateway.checksums import bulk_work
from gateway.checksums.bulk import BulkChecksumRequest, InvalidEntry, map_concurrently
from gateway.checksums.bulk_work import BulkWork, Portions
from gateway.checksums.content_budget import SHARES, ContentBudget
from gateway.checksums.known import Digest, Source
from gateway.checksums.service import Answer, ChecksumRequest
from gateway.checksums.small_objects import Outcome
from gateway.compute.batch import MAX_OBJECTS
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.identity.caller import Caller
from gateway.limits.model import LimitSubject
from gateway.objects.model import ObjectKind, ObjectRef, ObjectStat
from gateway.policy.names import Rule
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import Tenant

CALLER = Caller("t", "u", "alice", ProjectId("p"), "demo", frozenset(["member"]), 0)
SMALL = 100


def answer_of(ref: ObjectRef, size: int, source: Source = Source.COMPUTED) -> Answer:
    stat = ObjectStat("p", "http://s", ref, "e" * 32, size, ObjectKind.PLAIN, "text/plain")
    return Answer(stat, {"md5": Digest("f" * 32, source)})


class Services:
    """Admission, and both ways of getting digests: names say how large objects are, and what fails."""

    def __init__(self) -> None:
        self.short: list[list[str]] = []
        self.long: list[str] = []
        self.counted = 0
        self.count_failures: dict[int, Exception] = {}
        self.batches = True
        self.gate: asyncio.Event | None = None
        self.defect = False
        self.count_seconds = 0.0
        self.lines = ContentBudget(1 << 25)

    async def count(self, _call: Call, requests: int = 1) -> None:
        self.counted += requests
        if self.count_seconds:
            await asyncio.sleep(self.count_seconds)
        if self.counted in self.count_failures:
            raise self.count_failures[self.counted]

    def may_read(self, _call: Call) -> bool:
        return self.batches

    def is_small(self, stat: ObjectStat) -> bool:
        return stat.size <= SMALL

    async def answers(self, parts: Sequence[tuple[Call, ChecksumRequest]]) -> list[Outcome]:
        self.short.append([request.ref.name for _, request in parts])
        if self.gate is not None:
            await self.gate.wait()
        if self.defect:
            raise ZeroDivisionError
        return [self._short(request.ref) for _, request in parts]

    def _short(self, ref: ObjectRef) -> Outcome:
        if ref.name.startswith("missing"):
            return GatewayError(ErrorCode.OBJECT_NOT_FOUND)
        if ref.name.startswith("known"):
            return answer_of(ref, 1, Source.STORED)
        return answer_of(ref, 1) if ref.name.startswith("small") else None

    async def answer(self, _call: Call, request: ChecksumRequest) -> Answer:
        self.long.append(request.ref.name)
        if request.ref.name.startswith("defect"):
            raise ZeroDivisionError
        if request.ref.name.startswith("known"):
            return answer_of(request.ref, 1, Source.STORED)
        return answer_of(request.ref, 1 if request.ref.name.startswith("small") else 10**9)


def work_on(services: Any, *names: str, paid: int = 0, call: Call | None = None) -> BulkWork:
    entries: list[ObjectRef | InvalidEntry] = [
        InvalidEntry(("c", None, None), GatewayError(ErrorCode.REQUEST_MALFORMED, why="x"))
        if name == "invalid"
        else ObjectRef("c", name)
        for name in names
    ]
    request = BulkChecksumRequest(tuple(entries), ("md5",), force=False, store=False)
    tenant = Tenant(ProjectId("p"), NamespaceName("faas-p"), {})
    call = call or Call(
        caller=CALLER,
        tenant=tenant,
        subject=LimitSubject(CALLER.project_id, "u"),
        context=RequestContext(),
        rule=Rule.CHECKSUMS_GET,
    )
    return BulkWork(call, request, paid, admission=services, checksums=services, small=services)


async def lines_of(work: BulkWork, workers: int = 4) -> list[dict[str, Any]]:
    with work.portions(workers) as portions:
        results = map_concurrently(
            portions, lambda portion: work.lines(portion, portions), concurrency=workers, silence_seconds=60
        )
        written = b"".join([b"".join(batch) async for batch in results])
    lines = [json.loads(line) for line in written.splitlines()]
    assert sorted(line["index"] for line in lines) == list(range(work.count))
    assert work.failed == sum("error" in line for line in lines)
    return sorted(lines, key=lambda line: int(line["index"]))


MIXED = [f"{kind}{number}" for number in range(60) for kind in ("small", "large", "known", "missing", "defect")]


@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize("workers", [1, 3, 8])
async def test_every_object_of_a_mixed_list_has_one_line_and_is_counted_once(batches: bool, workers: int) -> None:
    services = Services()
    services.batches = batches
    names = [*MIXED, "invalid", "small-last"]
    lines = await lines_of(work_on(services, *names), workers)
    for name, line in zip(names, lines, strict=True):
        if "error" not in line:
            assert line["object"] == name
            assert name.startswith(("small", "large", "known", "missing"))
        else:
            assert name.startswith(("missing", "defect", "invalid"))
    assert services.counted == len(names)


async def test_defect_in_the_short_way_leaves_its_objects_to_the_long_one() -> None:
    services = Services()
    services.defect = True
    lines = await lines_of(work_on(services, *[f"small{number}" for number in range(40)]))
    assert all("digests" in line for line in lines)
    assert len(services.long) == 40


async def test_object_that_is_not_counted_is_not_read() -> None:
    services = Services()
    services.count_failures = {3: GatewayError(ErrorCode.TENANT_NOT_ONBOARDED, project_id="p")}
    lines = await lines_of(work_on(services, *[f"small{number}" for number in range(9)]), workers=1)
    assert ["error" in line for line in lines].count(True) == 1
    assert sum(map(len, services.short)) == 8


async def test_objects_that_have_been_counted_with_the_call_are_not_counted_again() -> None:
    services = Services()
    await lines_of(work_on(services, *[f"small{number}" for number in range(9)], paid=5))
    assert services.counted == 4


async def test_object_that_waits_for_a_limit_does_not_hold_the_others_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_work, "_WAITED_SECONDS", 0.0)
    services = Services()
    services.count_seconds = 0.001
    await lines_of(work_on(services, *[f"small{number}" for number in range(40)]), workers=1)
    assert {len(each) for each in services.short} == {1}
    assert services.counted == 40


async def test_list_of_small_objects_is_read_in_portions_that_grow() -> None:
    services = Services()
    await lines_of(work_on(services, *[f"small{number}" for number in range(2_000)]), workers=2)
    sizes = [len(each) for each in services.short]
    assert sizes[0] == 1
    assert max(sizes) == MAX_OBJECTS
    assert len(sizes) < 2_000 / MAX_OBJECTS + 40
    assert services.long == []


@pytest.mark.parametrize("kind", ["large", "known"])
async def test_list_of_other_objects_costs_few_needless_requests(kind: str) -> None:
    services = Services()
    await lines_of(work_on(services, *[f"{kind}{number}" for number in range(500)]), workers=4)
    assert sum(map(len, services.short)) <= 4


async def test_small_objects_after_large_ones_are_read_in_portions_again() -> None:
    services = Services()
    names = [f"large{number}" for number in range(100)] + [f"small{number}" for number in range(500)]
    await lines_of(work_on(services, *names), workers=4)
    assert sum(name.startswith("small") for name in services.long) <= 8
    assert max(map(len, services.short)) == MAX_OBJECTS


async def test_each_object_of_a_service_is_audited_once_also_if_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    records: list[tuple[str | None, int]] = []
    monkeypatch.setattr(
        bulk_work,
        "record_service_call",
        lambda _context, ref, status: records.append((None if ref is None else ref.name, status)),
    )
    services = Services()
    await lines_of(work_on(services, *MIXED, "invalid"))
    assert sorted(str(name) for name, _ in records) == sorted([*MIXED, "None"])
    assert {status for name, status in records if str(name).startswith("missing")} <= {404, 200}

    records.clear()
    services.gate = asyncio.Event()
    portions = Portions(1, workers=1)
    running = asyncio.ensure_future(work_on(services, "small").lines(next(portions), portions))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert records == [("small", 499)]


async def test_lists_whose_lines_have_no_memory_are_answered_object_by_object() -> None:
    """Lines wait in memory for a caller who reads slowly: without memory for more, there is one for each worker."""
    services = Services()
    names = [f"small{number}" for number in range(200)]
    with work_on(services, *names).portions(8):
        one_list = services.lines.taken
    assert services.lines.taken == 0
    services.lines = ContentBudget(one_list * SHARES)
    with work_on(services, *names).portions(8):
        await lines_of(work_on(services, *names), workers=8)
        assert {len(each) for each in services.short} == {1}
    services.short.clear()
    await lines_of(work_on(services, *names), workers=8)
    assert max(map(len, services.short)) > 1
    assert services.lines.taken == 0
