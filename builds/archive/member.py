"""One entry of an archive, for both formats."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

Chunks = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Member:
    """A file or a folder.

    Attributes:
        name: clean, relative to the folder.
        folder: whether it is one.
        executable: whether anybody may execute the file.
        chunks: yields the file's content, in pieces of at most 64 KiB. Call it before the next member is asked for.
    """

    name: str
    folder: bool
    executable: bool
    chunks: Chunks


def is_executable(mode: int) -> bool:
    """Whether a mode has an executable bit."""
    return bool(mode & 0o111)
