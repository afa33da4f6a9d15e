"""The work of a sweep, interrupted at every step: the store and the gateway are in memory here."""

import asyncio
import contextlib
import json
import time
import zlib
from dataclasses import dataclass, field

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.objects.containers import ContainerStat, Entry, OpenedFile
from gateway.objects.model import ObjectRef
from gateway.sweeps.specification import Dump, SweepSpecification
from operations.sweeps.errors import SweepError
from operations.sweeps.loading import DumpLoader
from operations.sweeps.position import Position, position_of, stored_position
from operations.sweeps.results import ObjectResult, Problem, listed_of
from operations.sweeps.work import SweepWork, TurnOverError

WHEN = "2026-01-01T00:00:00.000000"


class KilledError(Exception):
    """The process ends here."""


@dataclass
class Steps:
    """Kills at one step; 0: never."""

    at: int = 0
    count: int = 0

    def step(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise KilledError


@dataclass
class Memory:
    """Containers in memory."""

    steps: Steps
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    lists: int = 0

    async def stat(self, _caller, container):
        mine = [data for (where, _), data in self.objects.items() if where == container]
        return ContainerStat(objects=len(mine), bytes=sum(map(len, mine)))

    async def page(self, _caller, container, *, prefix, marker, limit):
        self.lists += 1
        names = sorted((name for where, name in self.objects if where == container), key=str.encode)
        found = [name for name in names if name.startswith(prefix) and name.encode() > marker.encode()][:limit]
        return [self.entry(container, name) for name in found]

    def entry(self, container, name):
        data = self.objects[container, name]
        return Entry(name, f"{zlib.crc32(data):08x}", len(data), WHEN)

    async def put(self, _caller, ref, content, *, content_type):
        assert content_type
        self.steps.step()
        self.objects[ref.container, ref.name] = content
        self.steps.step()

    @contextlib.asynccontextmanager
    async def opening(self, _caller, ref: ObjectRef, *, etag=None):
        data = self.objects.get((ref.container, ref.name))
        if data is None:
            raise GatewayError(ErrorCode.OBJECT_NOT_FOUND)
        found = f"{zlib.crc32(data):08x}"
        if etag not in {None, found}:
            raise GatewayError(ErrorCode.OBJECT_CHANGED)

        async def pieces():
            for start in range(0, len(data), 7):
                yield data[start : start + 7]

        yield OpenedFile(etag=found, size=len(data), modified_ms=1_800_000_000_000, pieces=pieces())


@dataclass
class Digests:
    """Adler-32 of objects in memory; what was read."""

    memory: Memory
    read: list[str] = field(default_factory=list)
    problem: str | None = None

    async def results(self, _token, wanted, entries, read):
        found = []
        for entry in entries:
            self.read.append(entry.name)
            read(entry.size)
            data = self.memory.objects[wanted.container, entry.name]
            digests = {"adler32": f"{zlib.adler32(data):08x}"}
            problem = Problem(self.problem, "It failed.") if self.problem else None
            found.append(
                ObjectResult(
                    path=entry.name,
                    size=entry.size,
                    etag=entry.etag,
                    digests={} if problem else digests,
                    error=problem,
                    listed=listed_of(entry),
                )
            )
        return found


class Authority:
    caller = None

    def token(self):
        return "token"


@dataclass
class Scene:
    """A sweep, and what outlives a worker."""

    memory: Memory
    digests: Digests
    wanted: SweepSpecification
    stored: object = None
    progress: list[tuple[int, int]] = field(default_factory=list)

    def work(self, **changes) -> SweepWork:
        async def save(position: Position) -> None:
            self.memory.steps.step()
            self.stored = stored_position(position)
            self.memory.steps.step()

        async def holds() -> None:
            self.memory.steps.step()

        values = {
            "operation_id": "id",
            "wanted": self.wanted,
            "position": position_of(self.stored),
            "authority": Authority(),
            "containers": self.memory,
            "digests": self.digests,
            "dumps": DumpLoader(containers=self.memory, folder=None, max_bytes=1 << 20),
            "save": save,
            "holds": holds,
            "progress": lambda size, count: self.progress.append((size, count)),
            "until": time.monotonic() + 3_600,
            "small_bytes": 65_536,
            "last_attempt": False,
        }
        return SweepWork(**{**values, **changes})

    def written(self) -> dict[str, bytes]:
        return {name: data for (where, name), data in self.memory.objects.items() if where == "out"}


def scene(*, count=23, at=0, wanted=None, dump=True) -> Scene:
    memory = Memory(Steps(at))
    names = [f"raw/{number % 3}/ä{number}" for number in range(count)]
    memory.objects |= {("data", name): name.encode() * 3 for name in names}
    rows = [f"{name},{len(name.encode()) * 3}" for name in reversed(names[1:])]
    rows += ["raw/1/lost,1", f"{names[0]},1"] if names else ["raw/1/lost,1"]
    memory.objects["dumps", "a.csv"] = "\n".join(["path,size", *rows, ""]).encode()
    from gateway.sweeps.specification import Place

    specification = wanted or SweepSpecification(
        container="data",
        algorithms=("adler32",),
        formats=("ndjson", "csv"),
        against=Dump("dumps", "a.csv") if dump else None,
        output=Place("out"),
        part_objects=5,
        part_bytes=100_000,
    )
    return Scene(memory, Digests(memory), specification)


async def whole(**options) -> Scene:
    made = scene(**options)
    await made.work().run()
    return made


async def test_results_and_report():
    made = await whole()
    summary = json.loads(made.written()["id/summary.json"])
    assert (summary["objects"], summary["result_parts"], summary["report_parts"]) == (23, 5, 2)
    assert summary["findings"] == {"lost": 1, "dark": 0, "corrupt": 1, "changed": 0, "unread": 0}
    assert len(made.digests.read) == 23
    assert made.progress[-1] == (summary["bytes"], 23)


async def test_killed_at_every_step_it_leaves_the_same_and_repeats_one_part_at_most():
    wanted = await whole()
    steps = wanted.memory.steps.count
    assert steps > 40
    for at in range(1, steps + 1):
        made = scene(at=at)
        with pytest.raises(KilledError):
            await made.work().run()
        await made.work().run()
        assert made.written() == wanted.written(), at
        assert len(made.digests.read) <= 23 + 5


async def test_killed_again_and_again():
    wanted, made = await whole(), scene()
    while True:
        made.memory.steps = Steps(at=7)
        try:
            await made.work().run()
        except KilledError:
            continue
        break
    assert made.written() == wanted.written()


async def test_empty_container():
    made = await whole(count=0)
    summary = json.loads(made.written()["id/summary.json"])
    assert (summary["objects"], summary["findings"]["lost"], summary["result_parts"]) == (0, 1, 0)


async def test_part_ends_at_its_bytes_and_has_one_object_at_least():
    import msgspec

    made = scene(dump=False)
    made.wanted = msgspec.structs.replace(made.wanted, part_bytes=1)
    await made.work().run()
    assert json.loads(made.written()["id/summary.json"])["result_parts"] == 23


async def test_turn_ends_after_a_part():
    made = scene()
    with pytest.raises(TurnOverError):
        await made.work(until=0).run()
    assert position_of(made.stored).parts == 1
    await made.work().run()
    assert made.written() == (await whole()).written()


async def test_object_that_is_written_or_deleted_meanwhile_has_changed():
    made = scene(dump=False)
    with pytest.raises(TurnOverError):
        await made.work(until=0).run()
    first = min(made.digests.read)
    made.memory.objects["data", first] = b"other"
    made.memory.objects["data", "a new one"] = b"new"
    del made.memory.objects["data", sorted(made.digests.read)[1]]
    await made.work().run()
    assert json.loads(made.written()["id/summary.json"])["findings"]["changed"] == 3


async def test_dump_that_is_replaced_is_refused():
    made = scene()
    with pytest.raises(TurnOverError):
        await made.work(until=0).run()
    made.memory.objects["dumps", "a.csv"] += b"x,1\n"
    with pytest.raises(SweepError) as raised:
        await made.work().run()
    assert (raised.value.code, raised.value.passing) == ("sweep.dump_rejected", False)


@pytest.mark.parametrize(
    "change", [lambda _: b"nonsense\n", lambda part: 1_000 * part], ids=["nonsense", "more lines than a part"]
)
async def test_results_that_are_changed_are_refused(change):
    """They are in the tenant's own container. Each line takes ten times its length in memory."""
    made = scene()
    made.memory.steps = Steps()
    with pytest.raises(TurnOverError):
        await made.work(until=0).run()
    name = ("out", "id/results-000001.ndjson")
    made.memory.objects[name] = change(made.memory.objects[name])
    with pytest.raises(SweepError) as raised:
        await made.work().run()
    assert raised.value.code == "sweep.results_changed"


async def test_service_that_fails_for_all_objects_postpones_the_sweep_and_is_written_at_last():
    made = scene(dump=False)
    made.digests.problem = ErrorCode.STORE_UNAVAILABLE.code
    with pytest.raises(SweepError) as raised:
        await made.work().run()
    assert raised.value.passing
    assert not [name for name in made.written() if "results" in name]
    await made.work(last_attempt=True).run()
    assert json.loads(made.written()["id/summary.json"])["findings"]["unread"] == 23


async def test_cancelled_while_it_loads_a_dump():
    made = scene()
    running = asyncio.ensure_future(made.work().run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
