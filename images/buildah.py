"""Builds Dockerfiles with buildah, in a storage of its own that goes away. No daemon, no container runtime."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ENVIRONMENT = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
# Inside a build step pip must trust what this machine trusts.
_CERTIFICATES = "/etc/ssl/certs"


class ImageError(Exception):
    """An image was not built; the message has what buildah said."""


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah with one storage."""

    storage: Path

    def pull(self, source: str) -> None:
        """Fetches an image: `docker-archive:…`, `oci:…` or `docker://…`.

        Raises:
            ImageError: it is not there.
        """
        self._run("pull", source)

    def build(self, context: Path, tag: str, python: str, *, epoch: int | None = None) -> None:
        """Builds a Dockerfile over a base image that was pulled before.

        Args:
            context: folder of the Dockerfile.
            tag: name of the result.
            python: the base image, for the build argument PYTHON.
            epoch: seconds since 1970 that all files and the image get as their time, so that the same sources give the
                same digest; None: the time of the build.

        Raises:
            ImageError: a step fails.
        """
        time = () if epoch is None else ("--timestamp", str(epoch))
        mounts = ("--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro")
        base = ("--pull-never", "--build-arg", f"PYTHON={python}")
        self._run("bud", "--network", "host", *mounts, *base, *time, "--tag", tag, str(context))

    def push(self, tag: str, target: str) -> None:
        """Writes an image to `docker-archive:…` or `oci:…`.

        Raises:
            ImageError: it cannot be written.
        """
        self._run("push", tag, target)

    def _run(self, *words: str) -> None:
        where = ("--root", str(self.storage / "root"), "--runroot", str(self.storage / "runroot"))
        try:
            done = subprocess.run(  # noqa: S603 - words of this module, paths and names of the operator
                ["buildah", *where, *words],  # noqa: S607 - as the PATH has it
                env={**os.environ, **_ENVIRONMENT},
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise ImageError(f"buildah: {error.strerror}") from error
        if done.returncode:
            raise ImageError(f"buildah {words[0]}: {(done.stdout + done.stderr).strip()[-3000:]}")


@contextlib.contextmanager
def buildah(storage: Path) -> Iterator[Buildah]:
    """Buildah with a new storage, which is removed at the end."""
    storage.mkdir(parents=True, exist_ok=True)
    try:
        yield Buildah(storage)
    finally:
        shutil.rmtree(storage)
