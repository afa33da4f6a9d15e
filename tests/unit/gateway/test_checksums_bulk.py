"""Many objects in one call: what an order may say, who waits for room, and how work runs side by side."""

import asyncio
import time
from typing import Any

import pytest

from gateway.checksums import bulk
from gateway.checksums.bulk import BulkOrder, bulk_order_of, patiently, side_by_side
from gateway.checksums.bulk_routes import named
from gateway.errors import GatewayError, Kind
from gateway.objects.model import ObjectRef

ONE = {"container": "c", "object": "o"}


def order_of(document: Any) -> BulkOrder:
    return bulk_order_of(document, default_algorithms=("adler32", "md5"), max_objects=3)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(None, id="null"),
        pytest.param([ONE], id="bare-list"),
        pytest.param({}, id="no-objects"),
        pytest.param({"objects": ONE}, id="objects-no-list"),
        pytest.param({"objects": [ONE] * 4}, id="too-many"),
        pytest.param({"objects": [ONE], "algorithm": ["md5"]}, id="misspelled-field"),
        pytest.param({"objects": [ONE], "algorithms": "md5"}, id="algorithms-no-list"),
        pytest.param({"objects": [ONE], "algorithms": []}, id="no-algorithm"),
        pytest.param({"objects": [ONE], "algorithms": [5]}, id="algorithm-number"),
        pytest.param({"objects": [ONE], "force": "yes"}, id="force-word"),
        pytest.param({"objects": [ONE], "store": 1}, id="store-number"),
    ],
)
def test_document_that_is_no_order_is_refused(document: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        order_of(document)
    assert caught.value.kind is Kind.REQUEST_MALFORMED


def test_unknown_algorithm_is_refused_for_all() -> None:
    with pytest.raises(GatewayError) as caught:
        order_of({"objects": [ONE], "algorithms": ["md5", "md6"]})
    assert caught.value.kind is Kind.ALGORITHM_UNKNOWN


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "c/o",
        {},
        {"container": "c"},
        {"container": "c", "object": 5},
        {"container": "c", "object": "o", "version_id": 5},
        {"container": "c", "object": "o", "name": "o"},
        {"container": "a/b", "object": "o"},
        {"container": "c", "object": ""},
        {"container": "c", "object": "nul\0"},
        {"container": "c", "object": "\udcff"},
        {"container": "c", "object": "o", "version_id": "\udcff"},
        {"container": "c", "object": "o", "version_id": "v" * 1025},
        {"container": "c", "object": "o" * 1025},
    ],
)
def test_entry_that_names_no_object_fails_for_itself_alone(entry: Any) -> None:
    order = order_of({"objects": [ONE, entry]})
    assert order.order_of(0).ref == ObjectRef("c", "o")
    with pytest.raises(GatewayError) as caught:
        order.order_of(1)
    assert caught.value.kind is Kind.REQUEST_MALFORMED


@pytest.mark.parametrize("odd", [float("nan"), float("-inf"), {}, [[[]]], 7, True])
def test_line_of_the_answer_repeats_only_what_is_a_name(odd: Any) -> None:
    """`json` reads NaN, which is no JSON, and reads deeper than it can write."""
    order = order_of({"objects": [{"container": odd, "object": "o", "version_id": odd}, odd]})
    assert named(order, 0) == {"container": None, "object": "o", "version_id": None}
    assert named(order, 1) == {"container": None, "object": None, "version_id": None}


def test_order_is_read() -> None:
    order = order_of(
        {"objects": [{**ONE, "version_id": "v"}], "algorithms": ["SHA-256", "sha256", "adler"], "force": True}
    ).order_of(0)
    assert order.ref == ObjectRef("c", "o", "v")
    assert (order.algorithms, order.force, order.store) == (("sha256", "adler32"), True, False)
    assert order_of({"objects": []}).algorithms == ("adler32", "md5")


class Room:
    """Refuses some times and then answers."""

    def __init__(self, *refusals: Kind) -> None:
        self.refusals = list(refusals)
        self.asked = 0

    async def answer(self) -> Any:
        self.asked += 1
        if self.refusals:
            raise GatewayError(self.refusals.pop(0), project_id="p", limit=1, seconds=1)
        return "answer"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sleeping takes no time, and is written down."""
    slept: list[float] = []
    pause = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await pause(0)

    monkeypatch.setattr(bulk.asyncio, "sleep", sleep)
    return slept


async def test_full_budget_and_busy_function_are_waited_for(quick: list[float]) -> None:
    room = Room(Kind.TOO_MANY_AT_ONCE, Kind.FUNCTION_BUSY, Kind.TOO_MANY_AT_ONCE)
    assert await patiently(room.answer) == "answer"
    assert room.asked == 4
    assert 0.5 <= quick[0] <= 1.5
    assert 1 <= quick[1] <= 3


@pytest.mark.parametrize("kind", [Kind.STORE_UNAVAILABLE, Kind.KEYSTONE_UNAVAILABLE, Kind.SHORT_READ])
async def test_what_is_not_a_lack_of_room_is_not_waited_for(quick: list[float], kind: Kind) -> None:
    room = Room(kind)
    with pytest.raises(GatewayError):
        await patiently(room.answer)
    assert (room.asked, quick) == (1, [])


async def test_waiting_ends(quick: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "LONGEST_WAIT_SECONDS", 0.1)
    with pytest.raises(GatewayError) as caught:
        await patiently(Room(*[Kind.TOO_MANY_AT_ONCE] * 5).answer)
    assert caught.value.kind is Kind.TOO_MANY_AT_ONCE


class Shop:
    """Work that is counted while it runs."""

    def __init__(self) -> None:
        self.running = self.most = self.cancelled = 0
        self.taken: list[int] = []

    def items(self, count: int) -> Any:
        for number in range(count):
            self.taken.append(number)
            yield number

    async def work(self, number: int) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0.2 if number == 0 else 0.001)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return number


async def test_results_come_as_they_are_ready_and_never_more_work_than_allowed() -> None:
    shop = Shop()
    got = [each async for each in side_by_side(shop.items(50), shop.work, at_once=4, silence_seconds=60)]
    assert sorted(got) == list(range(50))
    assert got[-1] == 0
    assert shop.most == 4


@pytest.mark.parametrize("count", [0, 1, 4])
async def test_end_is_seen_at_once_and_not_after_a_silence(count: int) -> None:
    shop = Shop()
    started = time.monotonic()
    got = [each async for each in side_by_side(shop.items(count), shop.work, at_once=4, silence_seconds=60)]
    assert sorted(got) == list(range(count))
    assert time.monotonic() - started < 30


async def test_silence_is_broken() -> None:
    shop = Shop()
    got = [each async for each in side_by_side([0], shop.work, at_once=4, silence_seconds=0.05)]
    assert got[-1] == 0
    assert got[0] is None
    assert 2 <= got.count(None) <= 4


async def test_slow_reader_slows_the_work_down() -> None:
    shop = Shop()
    results = side_by_side(shop.items(1000), shop.work, at_once=2, silence_seconds=60)
    await anext(results)
    await asyncio.sleep(0.1)
    assert len(shop.taken) < 10
    await results.aclose()


async def test_reader_that_leaves_cancels_what_runs() -> None:
    shop = Shop()
    results = side_by_side([1, 0, 0], shop.work, at_once=3, silence_seconds=60)
    await anext(results)
    await results.aclose()
    assert (shop.cancelled, shop.running) == (2, 0)


async def test_mistake_in_the_work_is_not_swallowed() -> None:
    async def work(number: int) -> int:
        if number == 3:
            raise ZeroDivisionError
        return number

    with pytest.raises(ZeroDivisionError):
        [each async for each in side_by_side(range(10), work, at_once=2, silence_seconds=60)]
