"""`python -m images FOLDER --python IMAGE [NAME…]`: images, bills of materials, digests."""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from builds.image import sbom_of
from images.buildah import Buildah, ImageError, buildah
from images.layout import digest_of, packages_in
from releases.version import ReleaseError, checkout_version, git

CHECKOUT = Path(__file__).resolve().parents[1]
# Name of the image and folder of its Dockerfile. Gateway, controller, worker and the rest of the server are one image.
CONTEXTS = {
    "gateway": ".",
    "checksums": "functions/checksums",
    "runtime-asgi": "functions/runtimes/asgi",
    "runtime-framework": "functions/runtimes/framework",
}


@dataclass(frozen=True, slots=True)
class Built:
    """An image of a release.

    Attributes:
        layout: its OCI layout, from which `skopeo copy oci:…` publishes it.
        sbom: its bill of materials, CycloneDX.
    """

    name: str
    digest: str
    layout: Path
    sbom: Path


def build(tool: Buildah, name: str, python: str, folder: Path, *, epoch: int) -> Built:
    """Builds one image over a base image that was pulled before.

    Raises:
        ImageError: it cannot be built.
    """
    layout, sbom = folder / name, folder / f"{name}.cdx.json"
    shutil.rmtree(layout, ignore_errors=True)
    tag = f"localhost/osfaas-{name}"
    tool.build(CHECKOUT / CONTEXTS[name], tag, python, epoch=epoch)
    tool.push(tag, f"oci:{layout}")
    digest = digest_of(layout)
    sbom.write_bytes(sbom_of(digest, python, packages_in(layout)))
    return Built(name, digest, layout, sbom)


def main() -> int:
    """Builds all images, or those that are named, and prints a line for each."""
    parser = argparse.ArgumentParser(prog="python -m images", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", required=True, help="base image, by its digest: docker://…@sha256:…")
    parser.add_argument("--tag", default="", help="name of the base image, if the source has another")
    parser.add_argument("names", nargs="*", default=[*CONTEXTS], metavar="NAME", help=", ".join(CONTEXTS))
    given = parser.parse_args()
    if unknown := set(given.names) - set(CONTEXTS):
        parser.error(f"there is no image {', '.join(sorted(unknown))}")
    given.folder.mkdir(parents=True, exist_ok=True)
    try:
        version = checkout_version(CHECKOUT)
        epoch = int(git(CHECKOUT, "log", "-1", "--format=%ct"))
        with buildah(given.folder.resolve() / "storage") as tool:
            tool.pull(given.python)
            python = given.tag or given.python.removeprefix("docker://")
            for name in given.names:
                built = build(tool, name, python, given.folder.resolve(), epoch=epoch)
                sys.stdout.write(f"{name} {version} {built.digest} {built.layout} {built.sbom}\n")
                sys.stdout.flush()
    except (ImageError, ReleaseError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
