"""The sample function `thumbnail`: images in, images out, and nothing that fills the memory."""

import importlib.util
import struct
import sys
import zlib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
SPEC = importlib.util.spec_from_file_location("png", CHECKOUT / "functions" / "thumbnail" / "png.py")
assert SPEC is not None
assert SPEC.loader is not None
png = importlib.util.module_from_spec(SPEC)
sys.modules["png"] = png
SPEC.loader.exec_module(png)

SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}


def pixels(width: int, height: int, samples: int) -> tuple[bytes, ...]:
    return tuple(
        bytes((x * 7 + y * 13 + sample * 29) % 256 for x in range(width) for sample in range(samples))
        for y in range(height)
    )


def filtered(rows: tuple[bytes, ...], samples: int, kinds: list[int]) -> bytes:
    """Rows as an encoder of another kind writes them, by the formulas of the specification."""
    out, above = b"", bytes(len(rows[0]))
    for number, row in enumerate(rows):
        kind = kinds[number % len(kinds)]
        line = bytearray()
        for index, value in enumerate(row):
            a = row[index - samples] if index >= samples else 0
            b, c = above[index], above[index - samples] if index >= samples else 0
            p = a + b - c
            pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
            paeth = a if pa <= pb and pa <= pc else b if pb <= pc else c
            line.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) & 255)
        out, above = out + bytes([kind]) + bytes(line), row
    return out


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def file_of(raw: bytes, width: int, height: int, *, depth: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    packed = zlib.compress(raw)
    half = len(packed) // 2
    parts = chunk(b"IHDR", header), chunk(b"tEXt", b"x"), chunk(b"IDAT", packed[:half]), chunk(b"IDAT", packed[half:])
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


GOOD = file_of(filtered(pixels(4, 3, 3), 3, [0]), 4, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        GOOD[:20],
        GOOD[:-45],
        GOOD.replace(b"IDAT", b"IDAX"),
        file_of(b"\x09" + bytes(12), 4, 1),
        file_of(bytes(13), 4, 2),
        file_of(bytes(13), 4, 1, depth=16),
        file_of(bytes(13), 4, 1, colour=3),
        file_of(bytes(13), 4, 1, interlaced=1),
        file_of(b"", 0, 0),
        file_of(b"", 1 << 31, 1 << 31),
        file_of(bytes(100_000), 100_000, 100_000),
    ],
)
def test_bytes_that_are_no_such_image_are_refused(data: bytes) -> None:
    with pytest.raises(png.ImageError):
        png.decode(data)


def test_image_unpacks_to_no_more_than_it_declares() -> None:
    bomb = file_of(bytes(50_000_000), 4, 1)
    assert len(bomb) < 100_000
    assert len(png.decode(bomb).rows) == 1


@pytest.mark.parametrize("colour", SAMPLES)
@pytest.mark.parametrize("kinds", [[0], [1], [2], [3], [4], [4, 3, 2, 1, 0]])
def test_every_filter_is_undone(colour: int, kinds: list[int]) -> None:
    rows = pixels(9, 6, SAMPLES[colour])
    image = png.decode(file_of(filtered(rows, SAMPLES[colour], kinds), 9, 6, colour=colour))
    assert (image.width, image.rows) == (9, rows)
    assert png.decode(png.encode(image)) == image


def test_pixel_of_a_thumbnail_is_the_mean_of_those_it_replaces() -> None:
    image = png.Image(
        4, 2, (bytes([10, 20, 30, 20, 30, 40, 0, 0, 0, 8, 8, 8]), bytes([10, 20, 30, 20, 30, 40, 0, 0, 0, 8, 8, 8]))
    )
    assert png.thumbnail(image, 2) == png.Image(2, 2, (bytes([15, 25, 35, 4, 4, 4]),))


@pytest.mark.parametrize(
    ("width", "height", "wanted", "made"), [(4, 3, 9, (4, 3)), (100, 1, 10, (10, 1)), (7, 5, 3, (3, 2))]
)
def test_thumbnail_keeps_the_proportions_and_does_not_grow(
    width: int, height: int, wanted: int, made: tuple[int, int]
) -> None:
    small = png.thumbnail(png.Image(width, 2, pixels(width, height, 3)), wanted)
    assert (small.width, len(small.rows)) == made
    assert {len(row) for row in small.rows} == {small.width * 3}
