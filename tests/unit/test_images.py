"""Images: what their bills of materials say, and which wheels they are built from."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from images.bill import bill_of
from images.buildah import ImageError
from images.contents import Contents, DebianPackage, Distribution, contents_of
from images.release import CHECKOUT, CONTEXTS, check_wheels, commit_and_time

DIGEST, BASE = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
SAID = {
    "system": ["debian", "12"],
    "python": "3.11.2",
    "distributions": [["PyYAML", "6.0.3", "MIT"], ["zlib_ng", "1.0.0", ""]],
    "debian": [["libc6", "2.36-9+deb12u10", "amd64"]],
}
CONTENTS = Contents(
    system=("debian", "12"),
    python="3.11.2",
    distributions=(Distribution("PyYAML", "6.0.3", "MIT"), Distribution("zlib_ng", "1.0.0", "")),
    debian=(DebianPackage("libc6", "2.36-9+deb12u10", "amd64"),),
)


def bill(contents: Contents = CONTENTS, digest: str = DIGEST) -> str:
    return bill_of("osfaas-gateway", "1.2.3", digest, BASE, contents, epoch=1_700_000_000)


def test_what_an_image_says_is_read() -> None:
    assert contents_of(json.dumps(SAID)) == CONTENTS


def test_bill_names_image_base_and_all_that_is_in_it() -> None:
    said = json.loads(bill())
    assert (said["bomFormat"], said["specVersion"]) == ("CycloneDX", "1.6")
    assert said["metadata"]["component"]["version"] == "1.2.3"
    assert said["metadata"]["component"]["bom-ref"] == DIGEST
    assert said["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    found = {each["name"]: each for each in said["components"]}
    assert found.keys() == {"base image", "debian", "python", "PyYAML", "zlib_ng", "libc6"}
    assert found["base image"]["version"] == BASE
    assert found["PyYAML"]["purl"] == "pkg:pypi/pyyaml@6.0.3"
    assert found["PyYAML"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert found["zlib_ng"]["purl"] == "pkg:pypi/zlib-ng@1.0.0"
    assert "licenses" not in found["zlib_ng"]
    assert found["libc6"]["purl"] == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64"
    (depends,) = [each["dependsOn"] for each in said["dependencies"] if each["ref"] == DIGEST]
    assert sorted(depends) == sorted(each["bom-ref"] for each in said["components"])


def test_same_image_has_the_same_bill_whatever_the_order() -> None:
    turned = Contents(
        system=CONTENTS.system,
        python=CONTENTS.python,
        distributions=CONTENTS.distributions[::-1],
        debian=CONTENTS.debian,
    )
    assert bill() == bill(turned)
    assert bill() != bill(digest=BASE)


def test_only_wheels_of_the_checkouts_version_are_taken(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no wheels.*make dist"):
        check_wheels(tmp_path, "1.2.3.dev4")
    (tmp_path / "osfaas_client-1.2.3.dev4-py3-none-any.whl").touch()
    check_wheels(tmp_path, "1.2.3.dev4")
    (tmp_path / "osfaas_builder-1.2.3.dev3-py3-none-any.whl").touch()
    with pytest.raises(ImageError, match=r"dev3.*is 1\.2\.3\.dev4.*make dist"):
        check_wheels(tmp_path, "1.2.3.dev4")


def test_every_image_takes_wheels_from_the_stage_that_a_release_replaces() -> None:
    """By the name that `make images` passes to buildah; a Dockerfile without it would take the checkout's sources."""
    for context in CONTEXTS.values():
        text = (CHECKOUT / context / "Dockerfile").read_text(encoding="utf-8")
        assert "FROM ${PYTHON} AS wheels\n" in text
        (copied,) = [line for line in text.splitlines() if line.startswith("COPY --from=wheels ")]
        assert all(word.startswith("/dist/") for word in copied.split()[2:])


def test_names_of_images_are_checked_before_anything_is_built(tmp_path: Path) -> None:
    words = [str(tmp_path / "images"), "--dist", str(tmp_path), "--python", "docker://none", "other"]
    done = subprocess.run(
        [sys.executable, "-m", "images", *words], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no image other" in done.stderr
    assert not (tmp_path / "images").exists()


def test_unpacked_release_has_no_commit_and_the_time_of_its_wheels(tmp_path: Path) -> None:
    assert commit_and_time(tmp_path) == ("", 315_532_800)
    assert "315532800" in (CHECKOUT / "distributions" / "build.sh").read_text(encoding="utf-8")


def test_commit_of_a_checkout_has_its_time(tmp_path: Path) -> None:
    commands = ("init --quiet", "-c user.name=a -c user.email=a@b.example commit --quiet --allow-empty --message first")
    for words in commands:
        subprocess.run(
            ["git", "-C", tmp_path, *words.split()],
            check=True,
            env={"PATH": "/usr/bin:/bin", "GIT_COMMITTER_DATE": "1700000000 +0000"},
        )
    revision, epoch = commit_and_time(tmp_path)
    assert (len(revision), epoch) == (40, 1_700_000_000)
