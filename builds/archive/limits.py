"""What an archive may cost."""

from dataclasses import dataclass

from builds.errors import ArchiveError

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """Limits of one archive.

    Attributes:
        archive_bytes: of the archive itself.
        total_bytes: of all files together, unpacked, with tar's headers.
        entries: files, folders and tar's extended headers.
        name_bytes: of a name with its folders.
        depth: of folders.
        header_bytes: of one extended header of tar.
    """

    archive_bytes: int = 50_000_000
    total_bytes: int = 250 * _MIB
    entries: int = 10_000
    name_bytes: int = 1024
    depth: int = 32
    header_bytes: int = 65_536


class Budget:
    """Counts what an archive has cost so far."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self.limits = limits
        self._entries = 0
        self._bytes = 0

    def add_entry(self) -> None:
        """Counts an entry; raises ArchiveError if there are too many."""
        self._entries += 1
        if self._entries > self.limits.entries:
            raise ArchiveError(
                f"The archive has more than {self.limits.entries:,} entries. Leave out what is not code."
            )

    def add_bytes(self, count: int) -> None:
        """Counts bytes that were unpacked; raises ArchiveError if there are too many."""
        self._bytes += count
        if self._bytes > self.limits.total_bytes:
            raise ArchiveError(
                f"The archive is larger than {self.limits.total_bytes:,} bytes when it is unpacked. "
                "Keep data in object storage."
            )
