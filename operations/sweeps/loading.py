"""Loads the dump of a sweep: from the object store into a sorted file."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import BinaryIO, ParamSpec, TypeVar

from gateway.errors import ErrorCode, GatewayError
from gateway.objects.containers import SwiftContainers
from gateway.objects.model import ObjectRef
from gateway.sweeps.specification import Dump, SweepSpecification
from operations.sweeps.authority import SweepAuthority
from operations.sweeps.comparison import Expected
from operations.sweeps.dump import DumpError, SortedDump, rows_of
from operations.sweeps.errors import SweepError

Rows = Callable[[str], AsyncIterator[Expected]]
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_ROWS = 1_000
_GONE = frozenset([ErrorCode.OBJECT_CHANGED, ErrorCode.OBJECT_NOT_FOUND])


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpLoader:
    """Loads dumps.

    Attributes:
        folder: for temporary files; None: the system's.
        max_bytes: of a dump.
    """

    containers: SwiftContainers
    folder: str | None
    max_bytes: int

    @contextlib.asynccontextmanager
    async def rows(
        self, authority: SweepAuthority, wanted: SweepSpecification, etag: str | None
    ) -> AsyncIterator[Rows]:
        """A function that returns the rows after a name, in their order; without a dump there are none.

        Raises:
            SweepError: the dump cannot be read.
        """
        if wanted.against is None:
            yield _nothing
            return
        dump = SortedDump()
        try:
            with tempfile.TemporaryFile(dir=self.folder) as file:
                await self._download(authority, wanted.against, etag, file)
                await _filled(dump, file, wanted)
            yield lambda path: rows_after(dump, path)
        finally:
            dump.close()

    async def _download(self, authority: SweepAuthority, dump: Dump, etag: str | None, file: BinaryIO) -> None:
        ref = ObjectRef(dump.container, dump.object)
        try:
            async with self.containers.opening(authority.caller, ref, etag=etag) as opened:
                if opened.size > self.max_bytes:
                    raise rejected(f"it is longer than {self.max_bytes} bytes")
                async for piece in opened.pieces:
                    await asyncio.to_thread(file.write, piece)
        except GatewayError as error:
            if error.kind in _GONE:
                raise rejected("it was changed or deleted while the sweep ran") from error
            raise
        file.seek(0)


async def _filled(dump: SortedDump, file: BinaryIO, wanted: SweepSpecification) -> None:
    assert wanted.against is not None
    rows = rows_of(file, path_prefix=wanted.against.path_prefix, prefix=wanted.prefix, algorithms=wanted.algorithms)
    try:
        await _in_thread(dump, dump.fill, rows)
    except DumpError as error:
        raise rejected(str(error)) from error


async def _in_thread(
    dump: SortedDump, work: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """The result of work on a dump. When it is cancelled, the work is interrupted, and has ended when this ends."""
    working = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        # The thread must outlive neither the dump nor its file.
        dump.interrupt()
        await asyncio.gather(working, return_exceptions=True)
        raise


async def _nothing(_path: str) -> AsyncIterator[Expected]:
    return
    yield


async def rows_after(dump: SortedDump, path: str) -> AsyncIterator[Expected]:
    """The rows of a dump after a path."""
    while rows := await _in_thread(dump, dump.after, path, _ROWS):
        for row in rows:
            yield row
        path = rows[-1].path


def rejected(why: str) -> SweepError:
    """The error about a dump."""
    kind = ErrorCode.SWEEP_DUMP_REJECTED
    return SweepError(kind.code, kind.value.sentence.format(why=why))
