"""Usage records in files until the database has them, so that they survive the end of the process.

A file belongs to the process that holds its lock, and the kernel releases the lock when that process ends, however it
ends. Then any other process that uses the folder stores the records and removes the file. A record that was stored
before the end is found again by its id, and counts once.

A record is written with one system call, and not synchronised: it survives `kill -9` of the process, but not a power
failure of the machine.
"""

import contextlib
import fcntl
import json
import logging
import operator
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from operations.store.usage import CallRecord

log = logging.getLogger(__name__)

_SUFFIX, _DRAFT = ".usage", ".new"
_values = operator.attrgetter(*(field.name for field in fields(CallRecord)))
_TYPES = {"int": int, "str": str, "bool": bool}
_FIELDS = tuple(_TYPES[str(getattr(field.type, "__name__", field.type))] for field in fields(CallRecord))


@dataclass(slots=True, kw_only=True)
class Segment:
    """One file whose lock this process holds.

    Attributes:
        count: records in it.
    """

    path: Path
    descriptor: int
    count: int = 0

    def append(self, record: CallRecord) -> None:
        """Writes a record.

        Raises:
            OSError: the disk is full. A part of a line may have been written.
        """
        line = json.dumps(_values(record), separators=(",", ":")).encode("ascii") + b"\n"
        if os.write(self.descriptor, line) != len(line):
            raise OSError("only a part of a record was written")
        self.count += 1

    def read(self) -> Iterator[CallRecord]:
        """Its records. What is not a whole line of ours is passed over: a write may have ended in the middle."""
        with os.fdopen(os.dup(self.descriptor), "rb") as file:
            file.seek(0)
            for line in file:
                record = _parsed(line)
                if record is not None:
                    yield record

    def discard(self) -> None:
        """Removes the file: the database has its records."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.close()

    def close(self) -> None:
        """Leaves the file to another process."""
        os.close(self.descriptor)


class Spool:
    """A folder of such files."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder, if need be.

        Raises:
            OSError: it cannot be made.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    def new_segment(self) -> Segment:
        """An empty file of this process.

        Raises:
            OSError: it cannot be made.
        """
        draft = self._folder / f"{uuid.uuid4()}{_DRAFT}"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # It gets its name when it is locked: no other process may take it for an abandoned one.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            path = draft.with_suffix(_SUFFIX)
            draft.rename(path)
        except BaseException:
            os.close(descriptor)
            raise
        return Segment(path=path, descriptor=descriptor)

    def abandoned(self) -> Iterator[Segment]:
        """The files of processes that have ended; each is this process's own now."""
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                gone = os.fstat(descriptor).st_nlink == 0
            except OSError:
                gone = True
            if gone:
                os.close(descriptor)
            else:
                yield Segment(path=path, descriptor=descriptor)


def _parsed(line: bytes) -> CallRecord | None:
    try:
        values = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        values = None
    if not isinstance(values, list) or [type(value) for value in values] != list(_FIELDS):
        log.warning("a line of the usage spool is not a record, and is left out")
        return None
    return CallRecord(**{field.name: value for field, value in zip(fields(CallRecord), values, strict=True)})
