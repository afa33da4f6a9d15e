"""What is read out of an image's OCI layout."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from builds.dependencies import Package
from images.__main__ import CHECKOUT, CONTEXTS
from images.layout import digest_of, packages_in


def put(layout: Path, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    folder = layout / "blobs" / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / digest).write_bytes(data)
    return f"sha256:{digest}"


def layer(*names: str) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return output.getvalue()


def layout_of(folder: Path, *layers: bytes) -> Path:
    described = [{"digest": put(folder, data)} for data in layers]
    manifest = put(folder, json.dumps({"layers": described}).encode())
    (folder / "index.json").write_text(json.dumps({"manifests": [{"digest": manifest}]}), encoding="utf-8")
    return folder


def test_packages_of_all_layers_are_named(tmp_path: Path) -> None:
    below = layer("usr/lib/python3/dist-packages/pip-24.0.dist-info/METADATA", "etc/passwd")
    above = layer("function/lib/zlib_ng-1.0.0.dist-info/METADATA", "function/lib/zlib_ng-1.0.0.dist-info/RECORD")
    layout = layout_of(tmp_path, below, above)
    assert packages_in(layout) == [Package("pip", "24.0", ""), Package("zlib_ng", "1.0.0", "")]
    assert digest_of(layout).startswith("sha256:")


def test_removed_packages_are_not_named(tmp_path: Path) -> None:
    """A whiteout of the folder, or of one above it; one of another package changes nothing."""
    below = layer("a/x-1.dist-info/METADATA", "a/y-1.dist-info/METADATA", "b/z-1.dist-info/METADATA")
    above = layer("a/.wh.x-1.dist-info", ".wh.b", "a/.wh.y-2.dist-info")
    assert packages_in(layout_of(tmp_path, below, above)) == [Package("y", "1", "")]


def test_a_folder_that_is_made_anew_has_nothing_of_the_old_one(tmp_path: Path) -> None:
    below, above = layer("a/x-1.dist-info/METADATA"), layer("a/.wh..wh..opq", "a/y-1.dist-info/METADATA")
    assert packages_in(layout_of(tmp_path, below, above)) == [Package("y", "1", "")]


def test_every_image_has_a_dockerfile() -> None:
    assert all((CHECKOUT / context / "Dockerfile").exists() for context in CONTEXTS.values())
