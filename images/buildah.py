"""Builds Dockerfiles with buildah, in a storage of its own that goes away. No daemon, no container runtime."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# In mount namespaces of their own: a build that is killed leaves no mounts on the machine.
_BUILDAH = ("unshare", "--mount", "buildah")
_ENVIRONMENT = {"BUILDAH_ISOLATION": "chroot"}
# Inside a build step pip must trust what this machine trusts.
_CERTIFICATES = ("--volume", "/etc/ssl/certs:/etc/ssl/certs:ro")


class ImageError(Exception):
    """An image was not built; the message has what buildah said."""


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah with one storage."""

    storage: Path

    def pull(self, source: str) -> str:
        """Fetches an image: `docker-archive:…`, `oci:…` or `docker://…`.

        Returns:
            Its id, by which builds name it.

        Raises:
            ImageError: it cannot be fetched.
        """
        return self._buildah("pull", "--quiet", source).strip()

    def digest(self, image: str) -> str:
        """The digest of an image of this storage.

        Raises:
            ImageError: it is not there.
        """
        return self._buildah("inspect", "--type", "image", "--format", "{{.FromImageDigest}}", image).strip()

    def build(
        self,
        context: Path,
        tag: str,
        python: str,
        *,
        epoch: int | None = None,
        stages: Mapping[str, Path] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Builds a Dockerfile over a base image that was pulled before.

        Args:
            context: folder of the Dockerfile.
            tag: name of the result.
            python: the base image, for the build argument PYTHON.
            epoch: seconds since 1970 that all files and the image get as their time, so that the same sources give the
                same digest; None: the time of the build.
            stages: folders that take the place of stages of the Dockerfile.
            labels: of the image.

        Raises:
            ImageError: a step fails.
        """
        self._buildah(
            "bud",
            *("--network", "host", *_CERTIFICATES),
            *("--pull-never", "--build-arg", f"PYTHON={python}", "--identity-label=false"),
            *(() if epoch is None else ("--timestamp", str(epoch))),
            *(f"--build-context={name}={folder}" for name, folder in (stages or {}).items()),
            *(f"--label={name}={value}" for name, value in (labels or {}).items()),
            *("--tag", tag, str(context)),
        )

    def push(self, tag: str, target: str) -> str:
        """Writes an image to `docker-archive:…` or `oci:…`, and returns its digest there.

        Raises:
            ImageError: it cannot be written.
        """
        digest = self.storage / "digest"
        self._buildah("push", "--digestfile", str(digest), tag, target)
        return digest.read_text(encoding="utf-8").strip()

    def run(self, image: str, *words: str, folders: Mapping[Path, str] | None = None) -> str:
        """Runs a command in an image, as its user and with its variables, and returns what it printed.

        Args:
            image: of this storage.
            words: the command.
            folders: folders of this machine, and where they are in the image, read-only.

        Raises:
            ImageError: it fails.
        """
        container = self._buildah("from", "--pull-never", image).strip()
        mounts = (f"--volume={folder}:{place}:ro" for folder, place in (folders or {}).items())
        return self._buildah("run", *mounts, container, "--", *words)

    def _buildah(self, *words: str) -> str:
        where = ("--root", str(self.storage / "root"), "--runroot", str(self.storage / "runroot"))
        try:
            done = subprocess.run(  # noqa: S603 - words of this module, paths and names of the operator
                [*_BUILDAH, *where, *words],
                env={**os.environ, **_ENVIRONMENT},
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise ImageError(f"{_BUILDAH[0]}: {error.strerror}") from error
        if done.returncode:
            raise ImageError(f"buildah {words[0]}: {(done.stdout + done.stderr).strip()[-3000:]}")
        return done.stdout


@contextlib.contextmanager
def buildah(storage: Path) -> Iterator[Buildah]:
    """Buildah with a new storage, which is removed at the end."""
    shutil.rmtree(storage, ignore_errors=True)
    storage.mkdir(parents=True)
    try:
        yield Buildah(storage)
    finally:
        shutil.rmtree(storage)
