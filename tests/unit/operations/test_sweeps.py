"""Sweeps without a network: dumps, comparison, forms, caps, the request."""

import asyncio
import io
import subprocess
import sys
import threading

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.objects.containers import Entry
from gateway.sweeps.specification import Limits, parse_sweep, stored_sweep, sweep_of
from operations.sweeps.comparison import Expected, Finding, Sides, merged, report_of
from operations.sweeps.dump import DumpError, SortedDump, StoppedError, rows_of
from operations.sweeps.loading import rows_after
from operations.sweeps.pace import Pace
from operations.sweeps.results import ObjectResult, Problem, forms_of, listed_of, ndjson, results_of

EARLY, DUMPED, LATE = "2026-01-01T00:00:00.000000", 1_767_300_000_000, "2026-03-01T00:00:00.000000"

# In a process of its own, which it may end. Closing meets a query in some of the rounds.
CLOSED_UNDER_A_QUERY = """
import threading
from operations.sweeps.comparison import Expected
from operations.sweeps.dump import SortedDump

def read(dump, begun):
    begun.set()
    try:
        while True:
            dump.after("", 1)
    except Exception:
        pass

for _ in range(300):
    dump, begun = SortedDump(), threading.Event()
    dump.fill([Expected(path="a")])
    reading = threading.Thread(target=read, args=(dump, begun))
    reading.start()
    begun.wait()
    dump.close()
    reading.join()
print("closed")
"""


def rows(text: bytes, *, path_prefix: str = "", prefix: str = "", algorithms=("adler32", "md5")) -> list[Expected]:
    return list(rows_of(io.BytesIO(text), path_prefix=path_prefix, prefix=prefix, algorithms=algorithms))


class TestDump:
    def test_table_as_rucio_writes_it(self):
        found = rows(b'path,size,adler32\n/store/b,10,1a\n"/store/a, b",,\n', path_prefix="/store/")
        assert found == [Expected(path="b", size=10, digests={"adler32": "1a"}), Expected(path="a, b")]

    def test_table_with_tabs_and_unknown_columns(self):
        assert rows(b"scope\tname\tmd5\nx\ta\t" + b"0" * 32 + b"\n") == [Expected(path="a", digests={"md5": "0" * 32})]

    def test_sums(self):
        text = b"0" * 32 + b"  a b\n\\" + b"1" * 8 + b" *a\\nb\\\\\n"
        assert rows(text) == [
            Expected(path="a b", digests={"md5": "0" * 32}),
            Expected(path="a\nb\\", digests={"adler32": "1" * 8}),
        ]

    def test_results_of_a_sweep(self):
        written = ndjson([result("a", digests={"md5": "0" * 32}), result("b", error="object.not_found")])
        assert rows(written) == [Expected(path="a", size=1, digests={"md5": "0" * 32}), Expected(path="b", size=1)]

    def test_other_objects_and_digests_are_left_out(self):
        text = b"path,adler32,sha256\nraw/a,1,\nb,2,\n"
        assert rows(text, prefix="raw/") == [Expected(path="raw/a", digests={"adler32": "1"})]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (b"path,size\na,many\n", "line 2: 'many' is no size"),
            (b"path,size\na\n", "line 2 has 1 columns"),
            (b"path,md5\na,xyz\n", "line 2: 'xyz' is no md5"),
            (b"path,size\n\xff,1\n", "line 2 is not UTF-8"),
            (b"just text\n", "line 1 is neither"),
            (b'{"path": 1}\n', "line 1"),
            (b"path,size\n" + b"x" * 70_000, "line 2 is longer"),
            (b"path,size\n" + b'"' + b"x\n" * 150_000, "line"),
            (b"path,sha512\na,11\n", "it has sha512, and the sweep computes adler32, md5"),
        ],
    )
    def test_malformed(self, text, said):
        with pytest.raises(DumpError) as raised:
            rows(text)
        assert said in str(raised.value)

    @pytest.mark.parametrize(
        "text",
        [
            b"path,size\na,9999999999999999999\n",
            b"path,size\na,-1\n",
            b'{"path": "a", "size": 1180591620717411303424}\n',
            b'{"path": "a", "size": -1}\n',
            b'{"path": "a\\ud800"}\n',
            b"0" * 32 + b"  " + b"x" * 1_025 + b"\n",
            b"path,size\n" + "\u00e4".encode() * 513 + b",1\n",
        ],
    )
    def test_row_that_is_about_no_object_costs_neither_memory_nor_an_attempt(self, text):
        """Five thousand rows are held at once, and SQLite has integers of 64 bits."""
        with pytest.raises(DumpError):
            SortedDump().fill(rows(text))

    def test_path_outside_the_removed_prefix(self):
        with pytest.raises(DumpError):
            rows(b"path,size\n/elsewhere/a,1\n", path_prefix="/store/")

    def test_is_sorted_by_bytes_and_read_from_a_name_on(self):
        names = ["b", "a", "ä", "z", "\U0001f600", "\ufffd", "A"]
        dump = SortedDump()
        assert dump.fill(Expected(path=name, size=1) for name in names) == len(names)
        ordered = sorted(names, key=str.encode)
        assert [each.path for each in dump.after("", 100)] == ordered
        assert [each.path for each in dump.after(ordered[2], 2)] == ordered[3:5]

    def test_path_that_is_there_twice(self):
        with pytest.raises(DumpError):
            SortedDump().fill([Expected(path="a"), Expected(path="a")])

    def test_stops_when_nobody_waits(self):
        dump = SortedDump()
        dump.interrupt()
        with pytest.raises(StoppedError):
            dump.fill([Expected(path="a")])
        with pytest.raises(StoppedError):
            dump.after("", 1)

    def test_closing_waits_for_the_thread_that_reads(self):
        """A connection that is closed under a query ends the process, with all other work of the worker."""
        done = subprocess.run([sys.executable, "-c", CLOSED_UNDER_A_QUERY], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr

    async def test_reading_that_is_cancelled_has_ended_when_its_dump_is_closed(self):
        """Nobody waits in the event loop for a thread: other operations go on."""
        began, let, order = asyncio.Event(), threading.Event(), []
        loop = asyncio.get_running_loop()

        class Slow(SortedDump):
            def after(self, path: str, limit: int) -> list[Expected]:
                loop.call_soon_threadsafe(began.set)
                let.wait(60)
                order.append("read")
                return []

        async def read() -> None:
            try:
                async for _ in rows_after(Slow(), ""):
                    pass
            finally:
                order.append("closed")

        reading = asyncio.ensure_future(read())
        await began.wait()
        reading.cancel()
        loop.call_later(0.05, let.set)
        await asyncio.gather(reading, return_exceptions=True)
        assert order == ["read", "closed"]


def entry(name: str, etag: str = "e", size: int = 1, when: str = EARLY) -> Entry:
    return Entry(name, etag, size, when)


def result(name: str, *, of: Entry | None = None, error: str | None = None, **digests) -> ObjectResult:
    listed = of or entry(name)
    problem = None if error is None else Problem(error, "It failed.")
    return ObjectResult(path=name, size=listed.size, listed=listed_of(listed), error=problem, **digests)


def finding(sides: Sides, *, dump: bool = True) -> Finding | None:
    found = report_of(sides, dump=dump, dump_ms=DUMPED)
    return None if found is None else found.finding


def sides(result=None, entry=None, expected=None) -> Sides:
    return Sides(path="a", result=result, entry=entry, expected=expected)


MD5 = {"md5": "0" * 31 + "1"}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (sides(result("a"), entry("a"), Expected(path="a", size=1)), None),
        (sides(result("a", digests=MD5), entry("a"), Expected(path="a", digests={"md5": "1"})), None),
        (sides(None, None, Expected(path="a")), Finding.LOST),
        (sides(result("a"), entry("a"), None), Finding.DARK),
        (sides(result("a"), entry("a"), Expected(path="a", size=2)), Finding.CORRUPT),
        (sides(result("a", digests=MD5), entry("a"), Expected(path="a", digests={"md5": "2"})), Finding.CORRUPT),
        (sides(result("a", of=entry("a", when=LATE)), entry("a", when=LATE), None), Finding.CHANGED),
        (
            sides(result("a", of=entry("a", when=LATE)), entry("a", when=LATE), Expected(path="a", size=2)),
            Finding.CHANGED,
        ),
        (sides(result("a"), None, Expected(path="a")), Finding.CHANGED),
        (sides(None, entry("a"), None), Finding.CHANGED),
        (sides(result("a"), entry("a", etag="other"), Expected(path="a", size=2)), Finding.CHANGED),
        (sides(result("a", error="object.not_found"), entry("a"), Expected(path="a")), Finding.LOST),
        (sides(result("a", error="object.corrupt"), entry("a"), Expected(path="a")), Finding.CORRUPT),
        (sides(result("a", error="object.unsupported"), entry("a"), Expected(path="a")), Finding.UNREAD),
    ],
)
def test_findings(given, wanted):
    assert finding(given) is wanted


def test_without_a_dump_nothing_is_dark():
    assert finding(sides(result("a"), entry("a"), None), dump=False) is None
    assert finding(sides(result("a", error="object.corrupt"), entry("a")), dump=False) is Finding.CORRUPT


async def stream(*items):
    for item in items:
        yield item


async def test_merge_has_every_name_once_in_order():
    found = [
        each
        async for each in merged(
            stream(result("a"), result("ä")), stream(entry("a"), entry("c")), stream(Expected(path="b"))
        )
    ]
    assert [(each.path, bool(each.result), bool(each.entry), bool(each.expected)) for each in found] == [
        ("a", True, True, False),
        ("b", False, False, True),
        ("c", False, True, False),
        ("ä", True, False, False),
    ]


def test_forms():
    made = [result("a\nb", digests=MD5 | {"adler32": "00000001"}), result("c", error="object.not_found")]
    forms = forms_of(("ndjson", "md5sum", "csv"), ("adler32", "md5"))
    assert set(forms) == {"ndjson", "adler32", "md5", "csv"}
    assert forms["adler32"][1](made) == b"\\00000001  a\\nb\n"
    assert forms["csv"][1](made) == f'path,size,adler32,md5\n"a\nb",1,00000001,{MD5["md5"]}\n'.encode()
    assert results_of(forms["ndjson"][1](made)) == made


async def test_pace_pays_for_what_was_taken_by_waiting():
    now, waited = [0.0], []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        now[0] += seconds

    pace = Pace(Limits(bytes_per_second=100, requests_per_second=10), clock=lambda: now[0], sleep=sleep)
    assert pace.fits(10, 100)
    assert not pace.fits(11, 1)
    assert not pace.fits(1, 101)
    await pace.take(10, 0)
    await pace.take(1, 500)
    await pace.take(1, 1)
    assert waited == [1.0, 5.0]


class TestRequest:
    def parse(self, body: bytes):
        return parse_sweep(body, default_algorithms=("adler32",), part_objects=7, part_bytes=8)

    def test_what_is_stored_is_complete(self):
        found = self.parse(b'{"container": "a", "algorithms": ["adler", "SHA-256"], "formats": ["csv"]}')
        assert (found.algorithms, found.formats) == (("adler32", "sha256"), ("ndjson", "csv"))
        assert (found.part_objects, found.part_bytes) == (7, 8)
        assert sweep_of(stored_sweep(found)) == found

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{}",
            b'{"container": ""}',
            b'{"container": "a/b"}',
            b'{"container": "a", "output": {"container": "a"}}',
            b'{"container": "a", "output": {"prefix": "' + b"x" * 1_000 + b'"}}',
            b'{"container": "a", "against": {"container": "a"}}',
            b'{"container": "a", "limits": {"bytes_per_second": 0}}',
            b'{"container": "a", "part_bytes": 1}',
            b'{"container": "a", "other": 1}',
        ],
    )
    def test_malformed(self, body):
        with pytest.raises(GatewayError) as raised:
            self.parse(body)
        assert raised.value.kind is ErrorCode.REQUEST_MALFORMED
