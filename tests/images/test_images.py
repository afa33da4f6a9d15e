"""`make images`: the same sources give the same digest, and the bill of materials names what is in the image."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from images.buildah import buildah
from images.layout import digest_of, document
from tests.cluster.recipes.archives import ARCHIVE
from tests.cluster.recipes.base import BASE, BASE_TAG
from tests.cluster.recipes.recipe import make_recipe
from tests.machine import scaled

CHECKOUT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(7200)


@pytest.fixture(scope="module")
def base() -> Path:
    return make_recipe(BASE) / ARCHIVE


def images(folder: Path, base: Path, *names: str) -> subprocess.CompletedProcess[str]:
    words = [str(folder), "--python", f"docker-archive:{base}", "--tag", BASE_TAG, *names]
    return subprocess.run(
        [sys.executable, "-m", "images", *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(1800),
    )


def test_without_one_time_for_all_files_each_build_has_a_digest_of_its_own(base: Path, tmp_path: Path) -> None:
    """So the time of the commit is what makes them equal."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "ARG PYTHON\nFROM ${PYTHON}\nCOPY file /file\nRUN date +%s.%N >/dev/null && touch /made\n"
    )
    digests = []
    with buildah(tmp_path / "storage") as tool:
        tool.pull(f"docker-archive:{base}")
        for number, epoch in enumerate((None, 1, 1)):
            (context / "file").write_text("the same")
            tool.build(context, f"localhost/small-{number}", BASE_TAG, epoch=epoch)
            tool.push(f"localhost/small-{number}", f"oci:{tmp_path / str(number)}")
            digests.append(digest_of(tmp_path / str(number)))
        tool.push("localhost/small-1", f"docker-archive:{tmp_path / 'small.tar'}:localhost/small:1")
    assert digests[1] == digests[2] != digests[0]
    assert not (tmp_path / "storage").exists()
    assert (tmp_path / "small.tar").stat().st_size > 0


def test_same_sources_give_the_same_digest(base: Path, tmp_path: Path) -> None:
    """With the packages of its lock in the bill of materials, and no time of this build in it."""
    printed = []
    for name in ("first", "second"):
        done = images(tmp_path / name, base, "checksums")
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout.split()[:3])
        assert not (tmp_path / name / "storage").exists()
    assert printed[0] == printed[1]
    layout = tmp_path / "first" / "checksums"
    assert digest_of(layout) == printed[0][2]
    configuration = document(layout, document(layout, digest_of(layout))["config"]["digest"])
    assert configuration["config"]["User"] == "65532:65532"
    sbom = json.loads((tmp_path / "first" / "checksums.cdx.json").read_bytes())
    assert sbom == json.loads((tmp_path / "second" / "checksums.cdx.json").read_bytes())
    found = {
        f"{each['name'].lower().replace('_', '-')}=={each['version']}"
        for each in sbom["components"]
        if each["type"] == "library"
    }
    lock = (CHECKOUT / "functions/checksums/constraints.txt").read_text(encoding="utf-8")
    for needed in ("aiohttp", "awscrt", "xxhash"):
        (pinned,) = [line.split()[0] for line in lock.splitlines() if line.startswith(f"{needed}==")]
        assert pinned in found


def test_what_buildah_says_is_shown(base: Path, tmp_path: Path) -> None:
    done = images(tmp_path, base.with_name("missing.tar"), "checksums")
    assert done.returncode == 1
    assert "buildah pull" in done.stderr
