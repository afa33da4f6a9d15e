"""An image of a release: built from wheels, with its digest and its bill of materials."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from images.bill import bill_of
from images.buildah import Buildah, ImageError
from images.contents import SCRIPT, contents_of
from releases.version import checkout_version, git

CHECKOUT = Path(__file__).resolve().parents[1]
# Name of the image and folder of its Dockerfile. Gateway, controller, worker and the rest of the server are one image.
CONTEXTS = {
    "gateway": ".",
    "checksums": "functions/checksums",
    "runtime-asgi": "functions/runtimes/asgi",
    "runtime-framework": "functions/runtimes/framework",
}

# As in distributions/build.sh.
_FIRST = 315_532_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What all images of a commit have in common.

    Attributes:
        dist: folder with `dist`, in which the wheels are.
        base: digest of the base image.
        python: name by which buildah has the base image.
        revision: the commit; "" in an unpacked release.
        epoch: time of the commit, in seconds since 1970; in an unpacked release the first that an archive can have.
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
        tag: its name in the storage of buildah.
        layout: its OCI layout, from which `skopeo copy oci:…` publishes it.
        bill: its bill of materials, CycloneDX.
    """

    tag: str
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
        labels={f"org.opencontainers.image.{key}": value for key, value in labels.items() if value},
    )
    digest = tool.push(tag, f"oci:{layout}")
    contents = contents_of(tool.run(tag, "python", "-c", SCRIPT))
    made = bill_of(f"osfaas-{name}", release.version, digest, release.base, contents, epoch=release.epoch)
    bill.write_text(made, encoding="utf-8")
    return Built(tag=tag, digest=digest, layout=layout, bill=bill)


def commit_and_time(checkout: Path) -> tuple[str, int]:
    """The commit of a checkout, and its time in seconds since 1970.

    An unpacked release has no commit (""), and the time of its wheels.
    """
    if not (checkout / ".git").exists():
        return "", _FIRST
    revision, epoch = git(checkout, "log", "-1", "--format=%H %ct").split()
    return revision, int(epoch)


def release_of(tool: Buildah, dist: Path, source: str) -> Release:
    """The release of this checkout, over a base image that is fetched for it.

    Args:
        tool: gets the base image.
        dist: folder of `make dist`.
        source: base image, as `Buildah.pull` takes it.

    Raises:
        ImageError: the base image cannot be fetched.
        ReleaseError: the checkout has no version.
    """
    python = tool.pull(source)
    revision, epoch = commit_and_time(CHECKOUT)
    return Release(
        version=checkout_version(CHECKOUT),
        revision=revision,
        epoch=epoch,
        dist=dist.resolve(),
        base=tool.digest(python),
        python=python,
    )
