"""Many objects in one call: what an order may say, who waits for harness, and how work runs side by side."""

import asyncio
import contextlib
import json
import time
import tracemalloc
from collections.abc import Awaitable
from typing import Any

import pytest

from gateway import slices
from gateway.checksums import bulk
from gateway.checksums.bulk import (
    BulkChecksumRequest,
    calls_of,
    map_concurrently,
    parse_bulk_request,
    retry_when_limited,
)
from gateway.checksums.bulk_work import named
from gateway.errors import ErrorCode, GatewayError
from gateway.objects.model import ObjectRef
from gateway.slices import ITEMS_PER_READING, PAUSE_ITERATIONS

ONE = {"container": "c", "object": "o"}


async def request_for(document: Any, *, most: int = 300) -> BulkChecksumRequest:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return await parse_bulk_request(body, default_algorithms=("adler32", "md5"), max_objects=most)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        pytest.param(None, "expected 'object', got 'null'", id="null"),
        pytest.param([ONE], "got 'array'", id="bare-list"),
        pytest.param({}, "missing required field 'objects'", id="no-objects"),
        pytest.param({"objects": []}, "length >= 1 - at '$.objects'", id="empty-list"),
        pytest.param({"objects": ONE}, "at '$.objects'", id="objects-no-list"),
        pytest.param({"objects": [ONE] * 4}, "more than 3 objects", id="too-many"),
        pytest.param({"objects": [ONE], "algorithm": ["md5"]}, "did you mean 'algorithms'?", id="misspelled-field"),
        pytest.param({"objects": [ONE], "algorithms": "md5"}, "at '$.algorithms'", id="algorithms-no-list"),
        pytest.param({"objects": [ONE], "algorithms": []}, "at '$.algorithms'", id="no-algorithm"),
        pytest.param({"objects": [ONE], "algorithms": [5]}, "at '$.algorithms[0]'", id="algorithm-number"),
        pytest.param({"objects": [ONE], "algorithms": ["md5"] * 65}, "at '$.algorithms'", id="many-algorithms"),
        pytest.param({"objects": [ONE], "force": "yes"}, "at '$.force'", id="force-word"),
        pytest.param({"objects": [ONE], "store": 1}, "at '$.store'", id="store-number"),
        pytest.param({"objects": [ONE, None]}, "at '$.objects[1]'", id="entry-null"),
        pytest.param({"objects": [ONE, "c/o"]}, "at '$.objects[1]'", id="entry-word"),
        pytest.param({"objects": [{}]}, "missing required field 'container'", id="entry-empty"),
        pytest.param({"objects": [{"container": "c"}]}, "missing required field 'object'", id="entry-without-object"),
        pytest.param({"objects": [{**ONE, "object": 5}]}, "at '$.objects[0].object'", id="object-number"),
        pytest.param({"objects": [{**ONE, "version_id": 5}]}, "at '$.objects[0].version_id'", id="version-number"),
        pytest.param({"objects": [{**ONE, "version": "v"}]}, "did you mean 'version_id'?", id="misspelled-in-entry"),
        pytest.param(b'{"objects": [NaN]}', "not JSON", id="nan"),
        pytest.param(b'{"objects": ' + b"[" * 100_000, "at '$.objects[0]'", id="deep"),
        pytest.param(b'{"objects": [{"container": "\xff", "object": "o"}]}', "not JSON in UTF-8", id="not-utf8"),
        pytest.param(b'{"objects": [{"container": "\\udcff", "object": "o"}]}', "not JSON", id="lone-surrogate"),
        pytest.param("\ufeff{}".encode(), "not JSON", id="byte-order-mark"),
    ],
)
async def test_document_that_is_no_order_is_refused_with_the_place_of_the_mistake(document: Any, why: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await request_for(document, most=3)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED
    assert why in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        b'{"objects": [{"container": "c", "object": "o"}], "objects": [{"container": "c", "object": "p"}]}',
        b'{"store": false, "objects": [{"container": "c", "object": "o"}], "store" : true}',
        b'{"objects": [{"container": "c", "object": "o", "object": "p"}]}',
        b'{"objects": [{"container": "c", "\\u006fbject"\n:"o", "object": "p"}]}',
        b'{"objects": [{"container": "c", "object": "o", "version_id": null, "version_id": "v"}]}',
    ],
)
async def test_field_that_is_there_twice_is_refused(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        await request_for(body)
    assert "twice" in caught.value.message


@pytest.mark.parametrize("name", ['a":', '":"', '\\":', '"', "\\", '\\\\":', '{"object":', '" :', "objects"])
async def test_name_that_looks_like_a_field_is_none(name: str) -> None:
    entry = {"container": name.replace("/", ""), "object": name, "version_id": name}
    order = await request_for({"objects": [entry, ONE], "algorithms": ["md5"]})
    assert order.request_for(0).ref == ObjectRef(name, name, name)


async def test_unknown_algorithm_is_refused_for_all() -> None:
    with pytest.raises(GatewayError) as caught:
        await request_for({"objects": [ONE], "algorithms": ["md5", "md6"]})
    assert caught.value.kind is ErrorCode.ALGORITHM_UNKNOWN


MISNAMED = [
    {"container": "a/b", "object": "o"},
    {"container": "c", "object": ""},
    {"container": "c", "object": "nul\0"},
    {"container": "c", "object": "o", "version_id": "v" * 1025},
    {"container": "c", "object": "o" * 1025},
]


@pytest.mark.parametrize("entry", MISNAMED)
async def test_entry_that_names_no_object_fails_for_itself_alone(entry: Any) -> None:
    order = await request_for({"objects": [ONE, entry]})
    assert order.request_for(0).ref == ObjectRef("c", "o")
    with pytest.raises(GatewayError) as caught:
        order.request_for(1)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


async def test_list_with_many_names_that_are_none_is_refused_as_a_whole() -> None:
    invalid_entries = [{"container": "a/b", "object": "o"}] * bulk.MAX_INVALID_ENTRIES
    assert len((await request_for({"objects": [*invalid_entries, ONE]})).objects) == bulk.MAX_INVALID_ENTRIES + 1
    with pytest.raises(GatewayError) as caught:
        await request_for({"objects": [*invalid_entries, *invalid_entries[:1], ONE]})
    assert f"$.objects[{bulk.MAX_INVALID_ENTRIES}]" in caught.value.message


async def test_line_of_the_answer_repeats_no_name_that_is_too_long() -> None:
    order = await request_for({"objects": [{"container": "c" * 2_000, "object": "o", "version_id": "v" * 2_000}, ONE]})
    assert named(order, 0) == {"container": None, "object": "o", "version_id": None}
    assert named(order, 1) == {**ONE, "version_id": None}


async def test_order_keeps_nothing_of_the_body_but_names() -> None:
    """However it is written: 2 MB of it were 48 MB, for as long as the caller liked to read."""
    junk = b"[" * 5 + b"[],{}," * 300_000 + b"1" + b"]" * 5
    tracemalloc.start()
    for body in (
        b'{"objects": [%s]}' % junk,
        b'{"objects": [{"container": "c", "object": %s}]}' % junk,
        b'{"objects": [{"container": "c", "object": "o"}], "x": %s}' % junk,
        b'{"objects": [{"container": "c", "object": "o"}], "algorithms": %s}' % junk,
    ):
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        with pytest.raises(GatewayError):
            await request_for(body)
        assert tracemalloc.get_traced_memory()[1] - before < 100_000
    names = [{"container": "c", "object": f"{number:04}" + "n" * 150} for number in range(10_000)]
    body = json.dumps({"objects": names}).encode()
    before, _ = tracemalloc.get_traced_memory()
    order = await request_for(body, most=10_000)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(order.objects) == 10_000
    assert held < 3 * len(body)


async def test_reading_a_long_list_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """With slices of no length, on a machine of any speed: all steps over the list are in slices."""
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    body = json.dumps({"objects": [ONE] * 10_000}).encode()
    # The names are checked, and the fields of the body are counted.
    items = 10_000 + 2 * 10_000
    assert await turns_during(request_for(body, most=10_000)) >= items // ITEMS_PER_READING * PAUSE_ITERATIONS


async def turns_during(work: Awaitable[Any]) -> int:
    """How often the event loop came round while the work was done."""
    task, turns = asyncio.ensure_future(work), 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    await task
    return turns


async def test_order_is_read() -> None:
    order = await request_for(
        {"objects": [{**ONE, "version_id": "v"}], "algorithms": ["SHA-256", "sha256", "adler"], "force": True}
    )
    one = order.request_for(0)
    assert one.ref == ObjectRef("c", "o", "v")
    assert (one.algorithms, one.force, one.store) == (("sha256", "adler32"), True, False)
    assert (await request_for({"objects": [ONE]})).algorithms == ("adler32", "md5")


@pytest.mark.parametrize(("length", "calls"), [(0, 1), (1, 1), (65_536, 1), (65_537, 2), (2_097_152, 32)])
def test_long_list_counts_as_some_calls_before_it_is_read(length: int, calls: int) -> None:
    assert calls_of(length) == calls


class Harness:
    """Refuses some times and then answers."""

    def __init__(self, *refusals: ErrorCode) -> None:
        self.refusals = list(refusals)
        self.asked = 0

    async def answer(self) -> Any:
        self.asked += 1
        if self.refusals:
            raise GatewayError(self.refusals.pop(0), whose="project p", function="f", limit=1, seconds=1)
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
    harness = Harness(ErrorCode.CONCURRENCY_EXCEEDED, ErrorCode.FUNCTION_BUSY, ErrorCode.CONCURRENCY_EXCEEDED)
    assert await retry_when_limited(harness.answer) == "answer"
    assert harness.asked == 4
    assert 0.5 <= quick[0] <= 1.5
    assert 1 <= quick[1] <= 3


@pytest.mark.parametrize(
    "kind", [ErrorCode.STORE_UNAVAILABLE, ErrorCode.KEYSTONE_UNAVAILABLE, ErrorCode.OBJECT_TRUNCATED]
)
async def test_what_is_not_a_lack_of_room_is_not_waited_for(quick: list[float], kind: ErrorCode) -> None:
    harness = Harness(kind)
    with pytest.raises(GatewayError):
        await retry_when_limited(harness.answer)
    assert (harness.asked, quick) == (1, [])


async def test_waiting_ends(quick: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_WAIT_SECONDS", 0.1)
    with pytest.raises(GatewayError) as caught:
        await retry_when_limited(Harness(*[ErrorCode.CONCURRENCY_EXCEEDED] * 5).answer)
    assert caught.value.kind is ErrorCode.CONCURRENCY_EXCEEDED


class Shop:
    """Work that is counted while it runs."""

    def __init__(self) -> None:
        self.running = self.most = self.cancelled = 0
        self.taken: list[int] = []
        # How many others the work of number 0 outlasts.
        self.others = 0
        self.done = asyncio.Event()

    def items(self, count: int) -> Any:
        for number in range(count):
            self.taken.append(number)
            yield number

    async def work(self, number: int) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if number == 0 and self.others:
                await self.done.wait()
            else:
                await asyncio.sleep(0.2 if number == 0 else 0.001)
                self.others -= 1
                if not self.others:
                    self.done.set()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return number


async def test_results_come_as_they_are_ready_and_never_more_work_than_allowed() -> None:
    shop = Shop()
    shop.others = 49
    results = map_concurrently(shop.items(50), shop.work, concurrency=4, silence_seconds=60)
    got = [each async for batch in results for each in batch]
    assert sorted(got) == list(range(50))
    assert got[-1] == 0
    assert shop.most == 4


@pytest.mark.parametrize("count", [0, 1, 4])
async def test_end_is_seen_at_once_and_not_after_a_silence(count: int) -> None:
    shop = Shop()
    started = time.monotonic()
    results = map_concurrently(shop.items(count), shop.work, concurrency=4, silence_seconds=60)
    got = [each async for batch in results for each in batch]
    assert sorted(got) == list(range(count))
    assert time.monotonic() - started < 30


async def test_silence_is_broken() -> None:
    gate = asyncio.Event()

    async def work(number: int) -> int:
        await gate.wait()
        return number

    got = []
    async for batch in map_concurrently([7], work, concurrency=4, silence_seconds=0.01):
        got.append(batch)
        if len(got) == 2:
            gate.set()
    assert got[:2] == [[], []]
    assert got[-1] == [7]


async def test_what_is_ready_together_comes_together() -> None:
    async def work(number: int) -> int:
        return number

    batches = [batch async for batch in map_concurrently(range(800), work, concurrency=8, silence_seconds=60)]
    assert sorted(each for batch in batches for each in batch) == list(range(800))
    assert max(map(len, batches)) <= 8
    assert len(batches) <= 200


async def test_nothing_is_left_behind_in_the_event_loop() -> None:
    """Whoever leaves while nothing is ready: `Task was destroyed but it is pending` is what that looked like."""
    before = asyncio.all_tasks()

    async def read() -> None:
        async with contextlib.aclosing(
            map_concurrently([0], Shop().work, concurrency=4, silence_seconds=60)
        ) as results:
            await anext(results)

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.wait([reading])
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_slow_reader_slows_the_work_down() -> None:
    shop = Shop()
    results = map_concurrently(shop.items(1000), shop.work, concurrency=2, silence_seconds=60)
    await anext(results)
    await asyncio.sleep(0.1)
    assert len(shop.taken) < 10
    await results.aclose()


async def test_reader_that_leaves_cancels_what_runs() -> None:
    shop = Shop()
    results = map_concurrently([1, 0, 0], shop.work, concurrency=3, silence_seconds=60)
    await anext(results)
    await results.aclose()
    assert (shop.cancelled, shop.running) == (2, 0)


async def test_mistake_in_the_work_is_not_swallowed() -> None:
    async def work(number: int) -> int:
        if number == 3:
            raise ZeroDivisionError
        return number

    with pytest.raises(ZeroDivisionError):
        [each async for each in map_concurrently(range(10), work, concurrency=2, silence_seconds=60)]
