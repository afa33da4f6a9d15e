"""Many small objects in one call: each answer belongs to its own bytes, and nothing that is ambiguous is digested."""

import asyncio
import hashlib
import json
import zlib

import pytest
from checksums_function import batch
from checksums_function.algorithms import select_algorithms
from checksums_function.batch import BatchObject, BatchOrder, digest_batch, parse_batch_order, shares_of
from checksums_function.errors import ChecksumsError
from checksums_function.pipeline import Stop, Stopped

TYPE = {"Content-Type": batch.MEDIA_TYPE}
CONTENTS = [b"", b"a", b"bb" * 3_000, b"\n{}\n", bytes(range(256)) * 40]


def head_of(contents, **changes):
    objects = [{"etag": f"e{number}", "size": len(each)} for number, each in enumerate(contents)]
    return {"version": 1, "batch": "b-1", "algorithms": ["adler32", "md5"], "objects": objects} | changes


def body_of(contents=CONTENTS, **changes):
    return json.dumps(head_of(contents, **changes)).encode() + b"\n" + b"".join(contents)


ONE = {"etag": "e", "size": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\n", b"[" * 60_000 + b"\n", b" " * 70_000 + b"\n",
        json.dumps(head_of([b"x"])).encode(),
        body_of([b"x"], version=2), body_of([b"x"], version=None), body_of([b"x"], batch=None),
        body_of([b"x"], batch="a\r\nb"), body_of([b"x"], batch="a" * 65), body_of([b"x"], algorithms="md5"),
        body_of([b"x"], algorithms=[]), body_of([b"x"], algorithms=[1]), body_of([b"x"], objects=None),
        body_of([], objects=[]), body_of([b"x"], objects=[7]), body_of([b"x"], objects=[{}]),
        body_of([b"x"], objects=[ONE | {"size": True}]), body_of([b"x"], objects=[ONE | {"size": -1}]),
        body_of([b"x"], objects=[ONE | {"size": "1"}]), body_of([b"x"], objects=[ONE | {"etag": 7}]),
        body_of([b"x"], objects=[ONE | {"etag": "a\r\nb"}]), body_of([b"x"] * 257),
    ],
)  # fmt: skip
async def test_a_batch_that_cannot_be_meant(function, body):
    reply = await (await function()).post(body, TYPE)
    assert (reply.status, reply.code) == (400, "bad_request")


async def test_an_unknown_algorithm_fails_all_of_it(function):
    reply = await (await function()).post(body_of(algorithms=["md5", "md6"]), TYPE)
    assert (reply.status, reply.code) == (400, "unknown_algorithm")


@pytest.mark.parametrize("change", [-1, 1])
async def test_bytes_that_are_more_or_fewer_than_announced_are_not_divided_among_the_objects(function, change):
    body = body_of()
    reply = await (await function()).post(body[:change] if change < 0 else body + b"x", TYPE)
    assert (reply.status, reply.code) == (502, "short_read")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_long_is_refused(function, chunked):
    async def pieces():
        for _ in range(20):
            yield b"x" * 65_536

    body = pieces() if chunked else b"x" * (batch.MOST_BODY_BYTES + 1)
    reply = await (await function()).post(body, TYPE)
    assert (reply.status, reply.code) == (400, "bad_request")


async def test_a_body_that_stalls_gives_its_slot_back(function):
    caller = await function(stall_seconds=0.2, concurrency=1)

    async def pieces():
        yield body_of()[:-1]
        await asyncio.sleep(60)

    reply = await caller.post(pieces(), TYPE)
    assert (reply.status, reply.code) == (502, "short_read")
    assert (await caller.post(body_of(), TYPE)).status == 200


async def test_each_object_has_the_digests_of_its_own_bytes(function):
    reply = await (await function()).post(body_of(), TYPE)
    assert reply.status == 200
    assert (reply.document["version"], reply.document["batch"]) == (1, "b-1")
    assert reply.document["results"] == [
        {
            "id": number,
            "etag": f"e{number}",
            "size": len(each),
            "crc32": f"{zlib.crc32(each):08x}",
            "digests": {"adler32": f"{zlib.adler32(each):08x}", "md5": hashlib.md5(each).hexdigest()},
        }
        for number, each in enumerate(CONTENTS)
    ]


def order_of(sizes, names=("md5",)):
    content = memoryview(bytes(max(sizes)))
    objects = tuple(BatchObject(number, None, content[:size]) for number, size in enumerate(sizes))
    return BatchOrder("b", select_algorithms(names), objects)


@pytest.mark.parametrize("sizes", [[1], [4_096] * 32, [600_000, 1, 1], [1, 1, 600_000], [100_000] * 10, [0] * 9])
@pytest.mark.parametrize("at_once", [1, 2, 3, 8])
def test_shares_have_every_object_once_and_in_order(sizes, at_once):
    shares = shares_of(order_of(sizes), at_once=at_once)
    assert [each.number for share in shares for each in share] == list(range(len(sizes)))
    assert 1 <= len(shares) <= at_once
    assert all(shares)


def test_shares_are_worth_a_thread_and_of_about_the_same_size():
    assert len(shares_of(order_of([4_096] * 32), at_once=2)) == 1
    assert len(shares_of(order_of([100_000] * 10, ("adler32", "crc32")), at_once=2)) == 1
    assert [len(share) for share in shares_of(order_of([100_000] * 10), at_once=2)] == [5, 5]


def test_digests_on_several_threads_are_those_of_one(monkeypatch):
    contents = [bytes([number]) * (20_000 + number) for number in range(50)]
    order = parse_batch_order(body_of(contents))
    alone = digest_batch(order, Stop())
    monkeypatch.setattr(batch, "LEAST_SHARE_BYTES", 1_000)
    monkeypatch.setattr(batch.os, "sched_getaffinity", lambda _: range(7))
    assert digest_batch(order, Stop()) == alone


def test_a_stop_ends_it():
    stop = Stop()
    stop.stop()
    with pytest.raises(Stopped):
        digest_batch(parse_batch_order(body_of()), stop)


def test_a_batch_of_the_most_that_is_allowed_is_parsed():
    contents = [bytes(4_096)] * 256
    assert parse_batch_order(body_of(contents)).size == batch.MOST_CONTENT_BYTES
    with pytest.raises(ChecksumsError):
        parse_batch_order(body_of([*contents, b"x"]))
