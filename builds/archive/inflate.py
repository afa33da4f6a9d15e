"""Decompression in pieces: never more than a chunk in memory, however well the data is compressed."""

import zlib
from collections.abc import Iterator

from builds.errors import ArchiveError

CHUNK = 65_536
GZIP = 31  # wbits of zlib for one gzip member
DEFLATE = -zlib.MAX_WBITS


class Inflater:
    """One compressed stream."""

    def __init__(self, wbits: int) -> None:
        self._zlib = zlib.decompressobj(wbits)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields what these compressed bytes unpack to, in pieces of at most 64 KiB.

        Raises:
            ArchiveError: they are not compressed data.
        """
        while True:
            try:
                unpacked = self._zlib.decompress(data, CHUNK)
            except zlib.error as error:
                raise ArchiveError(f"The archive is damaged ({error}). Upload it again.") from error
            if unpacked:
                yield unpacked
            data = self._zlib.unconsumed_tail
            # A full piece may have more behind it although all input is taken.
            if not data and len(unpacked) < CHUNK:
                return

    @property
    def ended(self) -> bool:
        """Whether the stream has reached its end."""
        return self._zlib.eof

    @property
    def has_more(self) -> bool:
        """Whether there were bytes behind the end."""
        return bool(self._zlib.unused_data)
