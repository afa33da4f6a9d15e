"""`python -m images FOLDER --dist FOLDER --python IMAGE [NAME…]`: images, bills of materials, digests."""

import argparse
import sys
from pathlib import Path

from images.buildah import ImageError, buildah
from images.release import CHECKOUT, CONTEXTS, build, check_wheels, release_of
from releases.version import ReleaseError, checkout_version


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
        check_wheels(given.dist / "dist", checkout_version(CHECKOUT))
        with buildah(folder / "storage") as tool:
            release = release_of(tool, given.dist, given.python)
            for name in given.names or CONTEXTS:
                built = build(tool, name, folder, release)
                sys.stdout.write(f"{name} {release.version} {built.digest} {built.layout} {built.bill}\n")
                sys.stdout.flush()
    except (ImageError, ReleaseError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
