"""A dump: a list of objects that another system keeps. It is sorted on disk, so its order and its length do not matter.

Three forms are read, by the first line: JSON lines (also the results of a sweep), a table with a header (`path` or
`name`, `size`, names of algorithms; separated by commas or tabs), and the output of md5sum and its like.
"""

import csv
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from typing import Annotated, BinaryIO

import msgspec

from gateway.digests import BY_WIRE_NAME
from gateway.objects.model import MAX_OBJECT_BYTES
from operations.sweeps.comparison import Expected
from operations.sweeps.results import unescaped

_MAX_LINE_BYTES = 65_536
_BATCH = 5_000
_PATHS = ("path", "name", "object")
_SIZES = ("size", "bytes", "filesize")
# Of one that names no algorithm.
_BY_LENGTH = {8: "adler32", 32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_CACHE_KIB = 16_384
# Of SQLite.
_MAX_SIZE = (1 << 63) - 1


class DumpError(Exception):
    """The dump cannot be read; the message says where and why."""


class StoppedError(Exception):
    """Nobody waits for it any more."""


class _Line(msgspec.Struct, kw_only=True):
    path: str
    size: Annotated[int, msgspec.Meta(ge=0, le=_MAX_SIZE)] | None = None
    digests: dict[str, str] = {}


_LINE = msgspec.json.Decoder(_Line)
_DIGESTS = msgspec.json.Decoder(dict[str, str])


class SortedDump:
    """The rows of a dump in the order of their paths. Its methods block, and threads use it one at a time."""

    def __init__(self) -> None:
        # SQLite's module ends the process if a connection is closed under a query of another thread.
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        # Without a name it is a file that has been deleted already (in SQLITE_TMPDIR), so that no kill leaves one.
        self._connection = sqlite3.connect("", check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("CREATE TABLE dump (path TEXT NOT NULL, size INTEGER, digests TEXT NOT NULL)")

    def fill(self, rows: Iterable[Expected]) -> int:
        """Sorts the rows; returns how many there are.

        Raises:
            DumpError: from `rows`; or a path is there twice.
            StoppedError: it was interrupted.
        """
        batch: list[tuple[str, int | None, str]] = []
        count = 0
        with self._lock:
            for row in rows:
                batch.append((row.path, row.size, msgspec.json.encode(row.digests).decode()))
                if len(batch) == _BATCH:
                    count += self._insert(batch)
            count += self._insert(batch)
            try:
                self._connection.execute("CREATE UNIQUE INDEX dump_path ON dump (path)")
            except sqlite3.IntegrityError as error:
                raise DumpError("an object is there more than once") from error
            self._connection.commit()
        return count

    def _insert(self, batch: list[tuple[str, int | None, str]]) -> int:
        self._check()
        self._connection.executemany("INSERT INTO dump VALUES (?, ?, ?)", batch)
        count = len(batch)
        batch.clear()
        return count

    def after(self, path: str, limit: int) -> list[Expected]:
        """The next rows after a path.

        Raises:
            StoppedError: it was interrupted.
        """
        with self._lock:
            self._check()
            rows = self._connection.execute(
                "SELECT path, size, digests FROM dump WHERE path > ? ORDER BY path LIMIT ?", (path, limit)
            )
            return [Expected(path=name, size=size, digests=_DIGESTS.decode(text)) for name, size, text in rows]

    def _check(self) -> None:
        if self._stopped.is_set():
            raise StoppedError

    def interrupt(self) -> None:
        """Ends what another thread does with it; nothing can be done with it any more. It is not closed yet."""
        self._stopped.set()
        self._connection.interrupt()

    def close(self) -> None:
        """Closes the file, after what another thread does with it has ended."""
        self.interrupt()
        with self._lock:
            self._connection.close()


def rows_of(file: BinaryIO, *, path_prefix: str, prefix: str, algorithms: Iterable[str]) -> Iterator[Expected]:
    """The rows of a dump.

    Args:
        file: its bytes.
        path_prefix: is removed from each path.
        prefix: rows about other objects are left out.
        algorithms: other digests are left out.

    Raises:
        DumpError: a row is malformed; or the dump has none of the digests.
    """
    wanted = frozenset(algorithms)
    for row in _parsed(_lines(file)):
        if not row.path.startswith(path_prefix):
            raise DumpError(f"a path does not begin with '{path_prefix}'")
        path = row.path[len(path_prefix) :]
        if not path.startswith(prefix):
            continue
        if len(path.encode()) > MAX_OBJECT_BYTES:
            raise DumpError(f"a path is longer than {MAX_OBJECT_BYTES} bytes: '{path[:64]}…'")
        digests = {name: value for name, value in row.digests.items() if name in wanted}
        if not digests and row.digests:
            kept, asked = ", ".join(sorted(row.digests)), ", ".join(sorted(wanted))
            raise DumpError(f"it has {kept}, and the sweep computes {asked}")
        yield Expected(path=path, size=row.size, digests=digests)


def _lines(file: BinaryIO) -> Iterator[str]:
    number = 0
    while line := file.readline(_MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > _MAX_LINE_BYTES:
            raise DumpError(f"line {number} is longer than {_MAX_LINE_BYTES} bytes")
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DumpError(f"line {number} is not UTF-8") from error


def _parsed(lines: Iterator[str]) -> Iterator[Expected]:
    first = next(lines, "")
    if not first.strip():
        return
    if first.startswith("{"):
        yield from _json_rows(_with(first, lines))
        return
    for separator in (",", "\t"):
        header = [word.strip().lower() for word in first.rstrip("\r\n").split(separator)]
        if len(header) > 1 and set(header) & set(_PATHS):
            yield from _table_rows(header, lines, separator)
            return
    yield from _sum_rows(_with(first, lines))


def _with(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _json_rows(lines: Iterator[str]) -> Iterator[Expected]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _LINE.decode(line)
        except msgspec.DecodeError as error:
            raise DumpError(f"line {number}: {error}") from error
        yield Expected(path=row.path, size=row.size, digests=_named(row.digests.items(), number))


def _table_rows(header: list[str], lines: Iterator[str], separator: str) -> Iterator[Expected]:
    path = next(header.index(name) for name in _PATHS if name in header)
    size = next((header.index(name) for name in _SIZES if name in header), None)
    columns = [(place, name) for place, name in enumerate(header) if name in BY_WIRE_NAME]
    rows = csv.reader(lines, delimiter=separator, strict=True)
    try:
        for row in rows:
            number = rows.line_num + 1
            if not row:
                continue
            if len(row) != len(header):
                raise DumpError(f"line {number} has {len(row)} columns, and the header {len(header)}")
            yield Expected(
                path=row[path],
                size=None if size is None or not row[size] else _number(row[size], number),
                digests=_named(((name, row[place]) for place, name in columns if row[place]), number),
            )
    except csv.Error as error:
        raise DumpError(f"line {rows.line_num + 1}: {error}") from error


def _sum_rows(lines: Iterator[str]) -> Iterator[Expected]:
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text:
            continue
        marked = text.startswith("\\")
        value, blank, name = text.removeprefix("\\").partition(" ")
        algorithm = _BY_LENGTH.get(len(value))
        # The second character of the separator says how the file was opened.
        if algorithm is None or not blank or len(name) < len(" x") or name[0] not in " *":
            raise DumpError(
                f"line {number} is neither JSON nor the output of md5sum, and the first line is no header with 'path'"
            )
        path = unescaped(name[1:]) if marked else name[1:]
        yield Expected(path=path, digests=_named([(algorithm, value)], number))


def _named(digests: Iterable[tuple[str, str]], number: int) -> dict[str, str]:
    found = {}
    for given, value in digests:
        algorithm = BY_WIRE_NAME.get(given.lower())
        if algorithm is None:
            continue
        digits = value.strip().lower()
        if not digits or len(digits) > 2 * algorithm.size or not set(digits) <= set("0123456789abcdef"):
            raise DumpError(f"line {number}: '{value[:64]}' is no {algorithm.name} in hex")
        found[algorithm.name] = digits
    return found


def _number(text: str, number: int) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(_MAX_SIZE)) or int(text) > _MAX_SIZE:
        raise DumpError(f"line {number}: '{text[:64]}' is no size")
    return int(text)
