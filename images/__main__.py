"""`python -m images FOLDER --dist FOLDER --python IMAGE [NAME…]`: images, bills of materials, digests."""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from images.bill import bill_of
from images.buildah import Buildah, ImageError, buildah
from images.contents import SCRIPT, contents_of
from releases.version import ReleaseError, checkout_version, git

CHECKOUT = Path(__file__).resolve().parents[1]
# Name of the image and folder of its Dockerfile. Gateway, controller, worker and the rest of the server are one image.
CONTEXTS = {
    "gateway": ".",
    "checksums": "functions/checksums",
    "runtime-asgi": "functions/runtimes/asgi",
    "runtime-framework": "functions/runtimes/framework",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What all images of a commit have in common.

    Attributes:
        dist: folder with `dist`, in which the wheels are.
        base: digest of the base image.
        python: name by which buildah has the base image.
        epoch: time of the commit, in seconds since 1970.
    """

    version: str
    revision: str
    epoch: int
    dist: Path
    base: str
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An image of a release.

    Attributes:
        layout: its OCI layout, from which `skopeo copy oci:…` publishes it.
        bill: its bill of materials, CycloneDX.
    """

    name: str
    digest: str
    layout: Path
    bill: Path


def check_wheels(folder: Path, version: str) -> None:
    """Refuses wheels that are not of this version.

    Raises:
        ImageError: there are none, or others.
    """
    wheels = [path.name for path in folder.glob("*.whl")]
    if not wheels or any(f"-{version}-" not in name for name in wheels):
        found = ", ".join(sorted(wheels)) or "no wheels"
        raise ImageError(f"{folder} has {found}, and the checkout is {version}: run `make dist` first")


def build(tool: Buildah, name: str, folder: Path, release: Release) -> Built:
    """Builds one image over a base image that was pulled before.

    Raises:
        ImageError: it cannot be built.
    """
    layout, bill = folder / name, folder / f"{name}.cdx.json"
    shutil.rmtree(layout, ignore_errors=True)
    tag = f"localhost/osfaas-{name}"
    labels = {"version": release.version, "revision": release.revision, "base.digest": release.base}
    tool.build(
        CHECKOUT / CONTEXTS[name],
        tag,
        release.python,
        epoch=release.epoch,
        stages={"wheels": release.dist},
        labels={f"org.opencontainers.image.{key}": value for key, value in labels.items()},
    )
    digest = tool.push(tag, f"oci:{layout}")
    contents = contents_of(tool.run(tag, "python", "-c", SCRIPT))
    made = bill_of(f"osfaas-{name}", release.version, digest, release.base, contents, epoch=release.epoch)
    bill.write_text(made, encoding="utf-8")
    return Built(name=name, digest=digest, layout=layout, bill=bill)


def main() -> int:
    """Builds all images, or those that are named, and prints a line for each."""
    parser = argparse.ArgumentParser(prog="python -m images", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dist", type=Path, required=True, help="folder of `make dist`")
    parser.add_argument("--python", required=True, help="base image: docker://…@sha256:…, oci:…, docker-archive:…")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {' '.join(CONTEXTS)}")
    given = parser.parse_intermixed_args()
    if unknown := set(given.names) - set(CONTEXTS):
        parser.error(f"there is no image {', '.join(sorted(unknown))}")
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        version = checkout_version(CHECKOUT)
        check_wheels(given.dist / "dist", version)
        with buildah(folder / "storage") as tool:
            python = tool.pull(given.python)
            release = Release(
                version=version,
                revision=git(CHECKOUT, "rev-parse", "HEAD"),
                epoch=int(git(CHECKOUT, "log", "-1", "--format=%ct")),
                dist=given.dist.resolve(),
                base=tool.digest(python),
                python=python,
            )
            for name in given.names or CONTEXTS:
                built = build(tool, name, folder, release)
                sys.stdout.write(f"{name} {version} {built.digest} {built.layout} {built.bill}\n")
                sys.stdout.flush()
    except (ImageError, ReleaseError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
