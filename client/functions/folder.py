"""A function's folder: its archive, always the same for the same files, and the settings in `function.toml`."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib  # novm: as `serve`, a folder needs the package osfaas-builder, and with it Python 3.11

from builds.errors import BuildError
from builds.runtimes import Runtime, detect_runtime
from client.errors import CommandError

SETTINGS = "function.toml"
# Of tools on this machine; nothing of them belongs to a function.
_LEFT_OUT = frozenset({".osfaas", ".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
_MAX_BYTES, _MAX_FILES = 250 << 20, 10_000
_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,38}[a-z0-9])?")
# Fields of the API that a folder may set: not what it is built from, and not who gets calls.
_FIELDS = frozenset(
    {
        "port",
        "health_path",
        "run_as_user",
        "environment",
        "cpu_millis",
        "memory_mib",
        "concurrency",
        "timeout_seconds",
        "min_scale",
        "max_scale",
        "objects",
    }
)


@dataclass(frozen=True)
class Folder:
    """A folder that can be deployed.

    Attributes:
        name: of the function, which is the folder's.
        archive: tar.gz of its files.
        digest: of the archive.
        runtime: which it is for.
        settings: fields of the function from `function.toml`.
    """

    name: str
    archive: bytes = field(repr=False)
    digest: str
    runtime: Runtime
    settings: dict[str, Any]


def read_folder(path: Path) -> Folder:
    """Packs a folder.

    Raises:
        CommandError: it has no function, something that cannot be packed, or a malformed `function.toml`.
    """
    name = path.resolve().name
    if not _NAME.fullmatch(name):
        raise CommandError(
            f"The folder's name {name!r} cannot be the name of a function: use lower-case letters, digits and hyphens."
        )
    try:
        files = sorted(_files(path), key=lambda each: os.fsencode(each[0]))
        runtime = detect_runtime([file for file, _ in files])
        archive = _pack(files)
    except BuildError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.filename or path} cannot be read: {error.strerror}.") from error
    digest = f"sha256:{hashlib.sha256(archive).hexdigest()}"
    return Folder(name, archive, digest, runtime, _settings(path / SETTINGS))


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for root, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each not in _LEFT_OUT]
        for file in (*files, *(each for each in folders if Path(root, each).is_symlink())):
            path = Path(root, file)
            if path.suffix == ".pyc":
                continue
            if path.is_symlink() or not path.is_file():
                raise CommandError(f"{path} is no file. A function's folder may have files and folders only.")
            yield path.relative_to(folder).as_posix(), path


def _pack(files: list[tuple[str, Path]]) -> bytes:
    size = sum(path.stat().st_size for _, path in files)
    if len(files) > _MAX_FILES or size > _MAX_BYTES:
        raise CommandError(
            f"The folder has {len(files):,} files and {size:,} bytes; {_MAX_FILES:,} and {_MAX_BYTES:,} are allowed. "
            "Keep data in object storage."
        )
    output = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=output, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in files:
            entry = tarfile.TarInfo(name)
            status = path.stat()
            entry.size, entry.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return output.getvalue()


def _settings(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error}.") from error
    for name in found:
        if name not in _FIELDS:
            raise CommandError(f"{path} has the unknown setting {name!r}. Known: {', '.join(sorted(_FIELDS))}.")
    return found
