"""Thumbnails of PNG images in plain Python (PNG, third edition): 8 bits per sample, not interlaced, no palette."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A compressed image of a few kilobytes may declare a size that fills the memory.
MAX_PIXELS = 4_000_000
# Samples of a pixel by colour type: grey, RGB, grey with alpha, RGB with alpha.
_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)


class ImageError(ValueError):
    """The bytes are no image that this module reads; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Image:
    """Pixels; `rows` are top down, each with `width` pixels of the colour type's samples."""

    width: int
    colour: int
    rows: tuple[bytes, ...]


def thumbnail(image: Image, width: int) -> Image:
    """An image of at most this width, each pixel of which is the mean of those that it replaces."""
    width = min(width, image.width)
    height = max(1, len(image.rows) * width // image.width)
    samples = _SAMPLES[image.colour]
    columns = [
        (x * image.width // width, max(x * image.width // width + 1, (x + 1) * image.width // width))
        for x in range(width)
    ]
    rows = []
    for y in range(height):
        first = y * len(image.rows) // height
        block = image.rows[first : max(first + 1, (y + 1) * len(image.rows) // height)]
        rows.append(
            bytes(_mean(block, left, right, samples, sample) for left, right in columns for sample in range(samples))
        )
    return Image(width, image.colour, tuple(rows))


def _mean(block: tuple[bytes, ...], left: int, right: int, samples: int, sample: int) -> int:
    total = sum(sum(row[left * samples + sample : right * samples : samples]) for row in block)
    return total // (len(block) * (right - left))


def decode(data: bytes) -> Image:
    """Reads an image.

    Raises:
        ImageError: the bytes are not such a PNG, or have too many pixels.
    """
    if not data.startswith(SIGNATURE):
        raise ImageError("It is not a PNG image.")
    try:
        chunks = list(_chunks(data))
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    except (struct.error, IndexError) as error:
        raise ImageError("Its header is damaged.") from error
    if depth != 8 or colour not in _SAMPLES or interlaced:  # noqa: PLR2004 - bits
        raise ImageError("Only PNG images of 8 bits, without palette and interlacing, are supported.")
    if not 0 < width * height <= MAX_PIXELS:
        raise ImageError(f"It has {width * height} pixels; the maximum is {MAX_PIXELS}.")
    stride = width * _SAMPLES[colour]
    size = height * (stride + 1)
    unpacked = zlib.decompressobj()
    try:
        raw = unpacked.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"), size)
    except zlib.error as error:
        raise ImageError("Its pixels are damaged.") from error
    if len(raw) != size:
        raise ImageError("It has too few pixels.")
    return Image(width, colour, tuple(_rows(raw, stride, _SAMPLES[colour])))


def encode(image: Image) -> bytes:
    """The PNG of an image."""
    header = struct.pack(">IIBBBBB", image.width, len(image.rows), 8, image.colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in image.rows), 9)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(SIGNATURE)
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        position += length + 12


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _rows(raw: bytes, stride: int, samples: int) -> Iterator[bytes]:
    """Undoes the filters of all rows."""
    above = bytes(stride)
    for start in range(0, len(raw), stride + 1):
        row = bytearray(raw[start + 1 : start + 1 + stride])
        _unfilter(raw[start], row, above, samples)
        above = bytes(row)
        yield above


def _unfilter(kind: int, row: bytearray, above: bytes, samples: int) -> None:
    if kind not in {_NONE, _SUB, _UP, _AVERAGE, _PAETH}:
        raise ImageError("Its pixels are damaged.")
    for index in range(len(row) if kind else 0):
        left = row[index - samples] if index >= samples else 0
        corner = above[index - samples] if index >= samples else 0
        up = above[index]
        row[index] = (row[index] + _predicted(kind, left, up, corner)) & 0xFF


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind == _SUB:
        return left
    if kind == _UP:
        return up
    if kind == _AVERAGE:
        return (left + up) // 2
    estimate = left + up - corner
    nearest = min((abs(estimate - each), number) for number, each in enumerate((left, up, corner)))
    return (left, up, corner)[nearest[1]]
