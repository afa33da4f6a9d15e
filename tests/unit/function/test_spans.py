"""An object in several ranges at once: the same digests bit for bit, or an error."""

import itertools
import random
import zlib

import pytest
from checksums_function.algorithms import ALGORITHMS, combined
from checksums_function.orders import SourceOrder, parse_url
from checksums_function.pipeline import Stop
from checksums_function.spans import LEAST_SPAN_BYTES, Span, on_threads, spans_of
from hypothesis import given
from hypothesis import strategies as st

DIVISIBLE = ("adler32", "crc32", "crc32c", "crc64nvme")
LARGE = random.Random(5).randbytes(3 * LEAST_SPAN_BYTES + 4_097)


def digest(name: str, data: bytes) -> str:
    hasher = ALGORITHMS[name].new()
    hasher.update(memoryview(data))
    return hasher.hexdigest()


def order(size: int, *names: str, etag: str | None = "v1") -> SourceOrder:
    return SourceOrder(parse_url("http://source.test/o"), etag, size, tuple(ALGORITHMS[name] for name in names))


@pytest.fixture
async def large(new_source):
    source = await new_source(LARGE).start()
    yield source
    source.close()


async def test_a_part_of_another_object_is_an_error(function, large):
    """One of the ranges carries another ETag."""
    large.scripts = [large.good, large.cut(1 << 30, etag="v2"), large.good]
    reply = await (await function()).source(large, DIVISIBLE)
    assert reply.code == "object_changed"


async def test_a_part_that_stays_short_is_an_error(function, large):
    large.scripts = [large.good, large.cut(5), large.cut(0)]
    reply = await (await function(attempts=2)).source(large, DIVISIBLE)
    assert reply.code == "short_read"
    assert "digests" not in reply.document


async def test_a_part_at_another_place_is_an_error(function, large):
    async def a_byte_later(asked, _reader, writer):
        start, end = asked.position + 1, asked.end or len(LARGE)
        head = f'HTTP/1.1 206 x\r\nETag: "v1"\r\nContent-Length: {end - start}\r\n'
        head += f"Content-Range: bytes {start}-{end - 1}/{len(LARGE)}\r\n\r\n"
        writer.write(head.encode() + LARGE[start:end])

    large.scripts = [a_byte_later]
    assert (await (await function()).source(large, DIVISIBLE)).code == "short_read"


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4), st.sampled_from(DIVISIBLE))
def test_digests_of_parts_make_the_digest_of_the_whole(data, cuts, name):
    """Wherever it is cut, empty parts too."""
    ends = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in itertools.pairwise(ends)]
    assert combined(ALGORITHMS[name], [(digest(name, part), len(part)) for part in parts]) == digest(name, data)


@pytest.mark.parametrize("fill", [b"\x00", b"\xff"])
@pytest.mark.parametrize("length", [65_520, 65_521, 65_522, (1 << 24) + 1])
def test_sums_that_wrap_are_put_together_too(fill, length):
    """Adler-32 counts modulo 65521, and lengths are longer than that."""
    data = fill * length
    parts = [(digest("adler32", data), length), (digest("adler32", data), length)]
    assert combined(ALGORITHMS["adler32"], parts) == f"{zlib.adler32(data + data):08x}"


@given(st.integers(0, 1 << 53), st.integers(1, 16))
def test_spans_cover_the_object_once(size, at_once):
    spans = spans_of(order(size, "adler32"), at_once=at_once)
    assert (spans[0].start, spans[-1].end) == (0, size)
    assert all(before.end == after.start for before, after in itertools.pairwise(spans))
    assert len(spans) == 1 or (len(spans) <= at_once and min(map(len, spans)) >= LEAST_SPAN_BYTES)


@pytest.mark.parametrize("names", [("md5",), ("adler32", "sha1"), ("xxh3_64",)])
def test_what_cannot_be_put_together_is_read_in_one_piece(names):
    assert spans_of(order(1 << 40, *names), at_once=4) == (Span(0, 1 << 40),)


def test_without_an_etag_nothing_proves_that_the_parts_belong_together():
    assert spans_of(order(1 << 40, "adler32", etag=None), at_once=4) == (Span(0, 1 << 40),)


async def test_a_large_object_is_read_in_ranges_and_the_digests_are_those_of_the_whole(function, large):
    reply = await (await function()).source(large, DIVISIBLE)
    assert reply.document["digests"] == {name: digest(name, LARGE) for name in DIVISIBLE}
    assert reply.document["digests"]["adler32"] == f"{zlib.adler32(LARGE):08x}"
    assert reply.document["digests"]["crc32"] == f"{zlib.crc32(LARGE):08x}"
    assert len(large.asked) == 3
    assert all(asked.headers["if-match"] == '"v1"' for asked in large.asked)


async def test_a_range_that_breaks_is_continued(function, large):
    large.scripts = [large.good, large.cut(70_000), large.good]
    reply = await (await function()).source(large, ["crc32c"])
    assert reply.document["digests"] == {"crc32c": digest("crc32c", LARGE)}
    assert len(large.asked) == 4


async def test_a_source_without_ranges_is_read_in_one_piece(function, large):
    async def whole(_asked, _reader, writer):
        writer.write(large.head_of_all() + LARGE)

    large.scripts = [whole]
    reply = await (await function()).source(large, ["adler32"])
    assert reply.document["digests"] == {"adler32": digest("adler32", LARGE)}


async def test_one_range_is_what_an_operator_may_ask_for(function, large):
    reply = await (await function(ranges=1)).source(large, ["adler32"])
    assert reply.document["digests"] == {"adler32": digest("adler32", LARGE)}
    assert ["range" in asked.headers for asked in large.asked] == [False]


def test_the_first_failure_ends_the_other_threads():
    def work(span: Span, stop: Stop) -> int:
        if span.start == 1:
            raise ValueError("broken")
        stop.sleep(30)
        return 0

    with pytest.raises(ValueError, match="broken"):
        on_threads(work, [Span(0, 1), Span(1, 2), Span(2, 3)], Stop())
