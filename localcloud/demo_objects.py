"""The part of the demo in which a function reads one object and writes another: a thumbnail of a picture in Swift."""

import hashlib
import json
import struct
import time
import zlib
from dataclasses import dataclass

import httpx

from localcloud.cloud import LocalCloud

CONTAINER = "pictures"
PICTURE, THUMBNAIL = "tree.png", "tree-small.png"
WIDTH, HEIGHT = 256, 192
SMALL = 64
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Shown:
    """What the call showed; `right`: the thumbnail is there, with the size and the ETag that the answer says."""

    lines: tuple[str, ...]
    right: bool


def upload_picture(cloud: LocalCloud) -> None:
    """Creates the container and the picture, as alice."""
    session, url = cloud.session("alice"), f"{cloud.account_url('alice')}/{CONTAINER}"
    session.put(url)
    session.put(f"{url}/{PICTURE}", data=picture(), headers={"Content-Type": "image/png"})


def one_thumbnail(client: httpx.Client, cloud: LocalCloud) -> Shown:
    """Calls the function as alice, and looks at what it wrote."""
    target = f"/v1/invoke/thumbnail?input={CONTAINER}/{PICTURE}&output={CONTAINER}/{THUMBNAIL}&width={SMALL}"
    started = time.perf_counter()
    response = client.post(target, headers={"X-Auth-Token": cloud.token("alice")})
    seconds = time.perf_counter() - started
    results = {name: response.headers.get(name, "") for name in ("Osfaas-Input", "Osfaas-Output")}
    lines = [f"POST {target}", f"{response.status_code} {response.text.strip()}"]
    lines += [f"{name}: {value}" for name, value in results.items()]
    written = cloud.session("alice").get(f"{cloud.account_url('alice')}/{CONTAINER}/{THUMBNAIL}", raise_exc=False)
    right = response.status_code == httpx.codes.OK and _is_thumbnail(written.content, results["Osfaas-Output"])
    lines.append(f"{len(picture()):,} bytes became {len(written.content):,} bytes in {seconds:.3f} seconds")
    return Shown(tuple(lines), right)


def picture() -> bytes:
    """A picture of a tree, as a PNG; always the same."""
    rows = b"".join(b"\0" + bytes(sample for x in range(WIDTH) for sample in _pixel(x, y)) for y in range(HEIGHT))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _pixel(x: int, y: int) -> tuple[int, int, int]:
    if (x - 128) ** 2 + (y - 70) ** 2 < 50**2:
        return 30, 110 + (x * y) % 60, 40
    if abs(x - 128) < 8 and 100 < y < 170:  # noqa: PLR2004 - the trunk
        return 90, 60, 30
    return (120, 180, 90) if y >= 165 else (150, 200, 255 - y)  # noqa: PLR2004 - the ground


def _is_thumbnail(content: bytes, result: str) -> bool:
    try:
        said = json.loads(result)
        width, height = struct.unpack_from(">II", content, len(_SIGNATURE) + 8)
    except (ValueError, struct.error):
        return False
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    same = (said["state"], said["etag"], said["size"]) == ("written", etag, len(content))
    return same and (width, height) == (SMALL, HEIGHT * SMALL // WIDTH)
