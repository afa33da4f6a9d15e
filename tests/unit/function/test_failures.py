"""Every way in which a call may fail, and how it is told."""

import asyncio
import json
import logging
import socket
import time

import pytest

from tests.machine import scaled

STATUS = {
    "bad_request": 400, "unknown_algorithm": 400, "source_refused": 403, "source_missing": 404, "object_changed": 409,
    "source_incomplete": 409,
    "source_unreachable": 502, "short_read": 502, "too_busy": 503,
}  # fmt: skip


def assert_failed(reply, code):
    assert set(reply.document) == {"error"}
    error = reply.document["error"]
    assert (error["code"], error["status"], reply.status) == (code, STATUS[code], STATUS[code])
    assert error["message"]
    assert "SECRET" not in json.dumps(reply.document)
    assert reply.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    "changes",
    [
        {"url": None}, {"url": 7}, {"url": ""}, {"url": "/relative"}, {"url": "ftp://127.0.0.1/o"},
        {"url": "http://user@127.0.0.1/o"}, {"url": "http://127.0.0.1/o#f"}, {"url": "http://127.0.0.1/a b"},
        {"url": "http://127.0.0.1/\u20ac"}, {"url": "http://127.0.0.1:0/o"}, {"url": "http://127.0.0.1:65536/o"},
        {"url": "http://127.0.0.1/o\r\nX: y"}, {"url": "http://127.0.0.1/o\n"}, {"url": "http:///o"},
        {"size": None}, {"size": True}, {"size": -1}, {"size": 1.0}, {"size": "1"}, {"size": 2**53 + 1},
        {"etag": 1}, {"etag": ""}, {"etag": '"v1"'}, {"etag": "a\r\nb"}, {"etag": "x" * 513},
    ],
)  # fmt: skip
async def test_an_order_that_cannot_be_meant(function, source, changes):
    caller = await function()
    assert_failed(await caller.source(source, **changes), "bad_request")
    assert source.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"source": []}', b"\xff", b"[" * 60_000, b" " * 70_000,
        b'{"source": {"url": "http://127.0.0.1/o", "etag": "v1", "size": 1}}',
    ],
)  # fmt: skip
async def test_a_body_that_is_no_order(function, body):
    caller = await function()
    assert_failed(await caller.post(body, {"Content-Type": "application/json"}), "bad_request")


@pytest.mark.parametrize("names", [[], "md5", [1], [["md5"]], None])
async def test_algorithms_that_are_no_names(function, source, names):
    order = (await function()).order(source) | {"algorithms": names}
    assert_failed(await (await function()).send(order), "bad_request")


@pytest.mark.parametrize("name", ["MD5", "sha-256", "", "md5 ", "crc", "x" * 1000])
async def test_unknown_algorithm(function, source, name):
    caller = await function()
    assert_failed(await caller.source(source, ["md5", name]), "unknown_algorithm")
    assert source.asked == []
    if name.strip() == name != "":
        assert_failed(await caller.body(b"x", size=1, algorithms=f"md5,{name}"), "unknown_algorithm")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_another_content_type(function, kind):
    assert_failed(await (await function()).post(b"x", {"Content-Type": kind}), "bad_request")


@pytest.mark.parametrize("size", ["", "-1", "+1", "1e3", "0x1", "1.0", "٣", "9" * 17, str(2**53 + 1)])
async def test_stream_without_a_usable_size(function, size):
    assert_failed(await (await function()).body(b"x", size=size), "bad_request")


@pytest.mark.parametrize("changes", [{"algorithms": ""}, {"algorithms": ","}, {"etag": 'a"b'}])
async def test_stream_with_headers_that_cannot_be_meant(function, changes):
    assert_failed(await (await function()).body(b"x", size=1, **changes), "bad_request")


async def chunked(*pieces):
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


async def test_stream_shorter_and_longer_than_its_size(function):
    caller = await function()
    assert_failed(await caller.body(b"abc", size=4), "short_read")
    assert_failed(await caller.body(b"abcde", size=4), "short_read")
    assert_failed(await caller.body(chunked(b"ab", b"c"), size=4), "short_read")
    assert_failed(await caller.body(chunked(b"ab", b"cde"), size=4), "short_read")
    assert_failed(await caller.body(chunked(bytes(2 << 20), b"x"), size=2 << 20), "short_read")


async def test_stream_that_stalls(function):
    async def stalling():
        yield b"ab"
        await asyncio.sleep(30)

    caller = await function(stall_seconds=0.2)
    started = time.monotonic()
    assert_failed(await caller.body(stalling(), size=4), "short_read")
    assert 0.15 < time.monotonic() - started < scaled(2)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "source_refused"), (403, "source_refused"), (409, "source_incomplete"), (400, "source_refused"),
        (204, "source_refused"), (206, "source_refused"), (301, "source_refused"), (304, "source_refused"),
        (404, "source_missing"), (410, "source_missing"), (412, "object_changed"), (416, "object_changed"),
    ],
)  # fmt: skip
async def test_the_source_says_no_and_is_not_asked_again(function, source, status, code):
    source.scripts = [source.status(status), source.good]
    assert_failed(await (await function()).source(source), code)
    assert len(source.asked) == 1


async def test_a_redirect_is_not_followed(function, source):
    source.scripts = [source.status(302, f"Location: {source.url}/other"), source.good]
    assert_failed(await (await function()).source(source), "source_refused")
    assert [asked.target for asked in source.asked] == ["/o?sig=SECRET"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 507])
async def test_the_source_is_unwell_all_the_time(function, source, status):
    source.scripts = [source.status(status)]
    assert_failed(await (await function(attempts=3)).source(source), "source_unreachable")
    assert len(source.asked) == 3


@pytest.mark.parametrize(
    "content", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000]
)
async def test_the_source_speaks_something_else(function, source, content):
    source.scripts = [source.raw(content)]
    assert_failed(await (await function(attempts=2)).source(source), "source_unreachable")


async def test_nobody_listens(function, source):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/o?sig=SECRET"
        assert_failed(await (await function(attempts=2)).source(source, url=url), "source_unreachable")
    reply = await (await function(attempts=1)).source(source, url="http://nowhere.invalid/o?sig=SECRET")
    assert_failed(reply, "source_unreachable")


async def test_the_source_is_not_listed(function, source):
    caller = await function(allowed_sources=frozenset({("127.0.0.1", 1)}))
    assert_failed(await caller.source(source), "source_refused")
    assert source.asked == []
    caller = await function(allowed_sources=frozenset({("127.0.0.1", source.port)}))
    assert (await caller.source(source)).status == 200


async def test_another_object_than_the_expected_one(function, source):
    caller = await function()
    assert_failed(await caller.source(source, etag="v2"), "object_changed")
    assert_failed(await caller.source(source, size=len(source.data) - 1), "object_changed")
    assert_failed(await caller.source(source, size=len(source.data) + 1), "object_changed")
    source.scripts = [source.status(200)]  # no ETag at all
    assert_failed(await caller.source(source, size=0), "object_changed")
    source.scripts = [source.raw(b"HTTP/1.1 200 x\r\nETag: v1\r\n\r\n" + source.data + b"x")]  # no length either
    assert_failed(await caller.source(source), "object_changed")


@pytest.mark.parametrize("sent", [0, 1, 100_000])
async def test_a_content_length_that_is_a_lie(function, source, sent):
    source.scripts = [source.cut(sent)]
    assert_failed(await (await function(attempts=3)).source(source), "short_read")
    assert len(source.asked) == 3


async def test_a_source_that_stalls(function, source):
    caller = await function(stall_seconds=0.2, attempts=2)
    source.scripts = [source.stall(1000)]
    started = time.monotonic()
    assert_failed(await caller.source(source), "short_read")
    assert 0.35 < time.monotonic() - started < scaled(3)
    assert len(source.asked) == 2

    async def silent(asked, reader, writer):
        await reader.read()

    source.scripts = [silent]
    assert_failed(await caller.source(source), "source_unreachable")


# --- what may go wrong when a broken read is continued ---


async def test_the_object_changes_between_break_and_continuation(function, source):
    caller = await function()
    source.scripts = [source.cut(500_000), source.status(412)]
    assert_failed(await caller.source(source), "object_changed")
    # The source ignores If-Match: its own ETag gives it away, before a byte of the other object is taken.
    source.scripts = [source.cut(500_000), source.cut(9_999_999, etag="v2")]
    assert_failed(await caller.source(source), "object_changed")
    source.scripts = [source.cut(500_000), source.cut(9_999_999, size=len(source.data) + 1)]
    assert_failed(await caller.source(source), "object_changed")


async def test_a_source_that_ignores_the_range(function, source):
    source.scripts = [source.cut(500_000), source.raw(source.head_of_all() + source.data)]
    assert_failed(await (await function()).source(source), "short_read")
    assert [asked.position for asked in source.asked] == [0, 500_000]


@pytest.mark.parametrize("value", [None, "bytes 0-{last}/{size}", "bytes {at}-{at}/{size}", "bytes {at}-{last}/*", "x"])
async def test_a_source_that_continues_elsewhere(function, source, value):
    async def elsewhere(asked, reader, writer):
        at, size = asked.position, len(source.data)
        line = "" if value is None else f"Content-Range: {value.format(at=at, last=size - 1, size=size)}\r\n"
        head = f'HTTP/1.1 206 x\r\nETag: "v1"\r\nContent-Length: {size - at}\r\n{line}\r\n'
        writer.write(head.encode() + source.data[at:])

    source.scripts = [source.cut(500_000), elsewhere]
    assert_failed(await (await function()).source(source), "short_read")


async def test_without_an_etag_nothing_is_continued(function, source):
    headless = b"HTTP/1.1 200 x\r\nContent-Length: %d\r\n\r\n" % len(source.data)
    source.scripts = [source.raw(headless + source.data[:1000]), source.good]
    assert_failed(await (await function()).source(source, etag=None), "short_read")
    assert len(source.asked) == 1


# --- slots ---


async def test_too_busy(function, source, within):
    caller = await function(concurrency=1, queue=0)
    source.scripts = [source.stall(10), source.good]
    first = asyncio.create_task(caller.source(source))
    await within(lambda: source.asked)
    for reply in (await caller.source(source), await caller.body(b"x", size=1)):
        assert_failed(reply, "too_busy")
        assert int(reply.headers["Retry-After"]) > 0
    async with caller.session.get(caller.url + "/healthz") as health:
        assert health.status == 200
    source.release.set()
    assert (await first).status == 200
    assert (await caller.body(b"x", size=1)).status == 200


async def test_a_queue_is_worked_off(function, source, within):
    caller = await function(concurrency=1, queue=2)
    source.scripts = [source.stall(10), source.good]
    first = asyncio.create_task(caller.source(source))
    await within(lambda: source.asked)
    others = [asyncio.create_task(caller.source(source)) for _ in range(2)]
    await asyncio.sleep(0.1)
    assert len(source.asked) == 1
    assert_failed(await caller.source(source), "too_busy")
    source.release.set()
    assert [(await task).status for task in (first, *others)] == [200, 200, 200]


async def test_no_log_line_has_the_signature(function, source, caplog):
    caplog.set_level(logging.DEBUG)
    caller = await function(attempts=1)
    source.scripts = [source.good, source.status(500), source.status(403), source.raw(b"SECRET\r\n\r\n")]
    for _ in range(4):
        await caller.source(source)
    computations = [record for record in caplog.records if record.getMessage() == "computation"]
    assert [record.fields["outcome"] for record in computations] == [
        "ok", "source_unreachable", "source_refused", "source_unreachable",
    ]  # fmt: skip
    from checksums_function.logs import JsonLines

    assert not any("SECRET" in JsonLines().format(record) for record in caplog.records)


async def test_a_fault_of_the_function_itself(function, source, caplog, monkeypatch):
    from checksums_function import server
    from checksums_function.logs import JsonLines

    def faulty(*_):
        raise RuntimeError(f"cannot read {source.url}/o?sig=SECRET")

    monkeypatch.setattr(server, "digest_source", faulty)
    reply = await (await function(concurrency=1, queue=0)).source(source)
    assert (reply.status, reply.code) == (500, "internal")
    assert "SECRET" not in json.dumps(reply.document)
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert [line["exception"] for line in lines if "exception" in line] == ["RuntimeError"]
    assert "SECRET" not in json.dumps(lines)
