"""Installs the packages of a function into a folder, from one index, and runs no code of theirs."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from builds.errors import DependencyError, TemporaryError
from builds.requirements import Requirements

_LINES_OF_PIP = 12
# What pip says when the index did not answer; all else comes from the requirements.
_UNREACHABLE = ("Connection", "Read timed out", "Temporary failure in name resolution", "5xx", "503 ", "502 ", "504 ")
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Where packages come from.

    Attributes:
        url: of the index that the operator names, as pip's `--index-url`.
        source_distributions: whether packages without a wheel are built, which runs their code.
        timeout_seconds: for all packages together.
        installed_bytes: maximum size of all packages together.
        installed_files: maximum number of files and folders.
    """

    url: str
    source_distributions: bool = False
    timeout_seconds: float = 300.0
    installed_bytes: int = 500 * _MIB
    installed_files: int = 100_000


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was installed: its name, its version, and the SHA-256 of its archive in hex ("" if unknown)."""

    name: str
    version: str
    sha256: str


def install(requirements: Requirements, pins: str, target: Path, scratch: Path, index: Index) -> tuple[Package, ...]:
    """Installs packages.

    Args:
        requirements: of the function.
        pins: constraints, one a line: what the base image has.
        target: an empty folder that gets the packages.
        scratch: an empty folder for temporary files.
        index: where they come from.

    Returns:
        The packages, sorted by name.

    Raises:
        DependencyError: a package does not exist there, has no wheel, the wrong hash, conflicts or is too large.
        TemporaryError: the index did not answer in time.
    """
    if not requirements.lines:
        return ()
    (scratch / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements.lines), encoding="utf-8")
    (scratch / "constraints.txt").write_text(pins, encoding="utf-8")
    # A name that is also a file in the working directory would be taken for the file.
    empty = scratch / "empty"
    empty.mkdir()
    status, said = _run(_command(requirements, target, scratch, index), empty, scratch, index)
    if status:
        raise _failure(said)
    _check_size(target, index)
    _remove_scripts(target)
    return _installed(json.loads((scratch / "report.json").read_bytes()))


def _command(requirements: Requirements, target: Path, scratch: Path, index: Index) -> list[str]:
    command = [sys.executable, "-I", "-m", "pip", "install", "--isolated", "--no-input", "--disable-pip-version-check"]
    command += ["--no-cache-dir", "--no-compile", "--progress-bar", "off", "--no-warn-script-location"]
    command += ["--root-user-action", "ignore", "--target", str(target), "--report", str(scratch / "report.json")]
    command += ["--index-url", index.url, "--constraint", str(scratch / "constraints.txt")]
    if not index.source_distributions:
        command += ["--only-binary", ":all:"]
    if requirements.hashed:
        command += ["--require-hashes"]
    url = urlsplit(index.url)
    if url.scheme == "http" and url.hostname:
        command += ["--trusted-host", url.hostname]  # the operator has named it so
    return [*command, "--requirement", str(scratch / "requirements.txt")]


def _run(command: list[str], folder: Path, scratch: Path, index: Index) -> tuple[int, str]:
    """Exit status and output. Nothing of this process's environment, which has the registry's credential."""
    environment = {"PATH": os.defpath, "HOME": str(scratch), "TMPDIR": str(scratch), "LANG": "C.UTF-8"}
    log = scratch / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the requirements are checked
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (index.installed_bytes,) * 2),  # noqa: PLW1509
        )
        try:
            process.wait(timeout=index.timeout_seconds)
        except subprocess.TimeoutExpired as error:
            seconds = f"{index.timeout_seconds:g}"
            raise TemporaryError(f"The packages were not installed within {seconds} seconds. Try again.") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 65_536))
        return process.returncode, file.read().decode("utf-8", "replace")


def _failure(said: str) -> DependencyError | TemporaryError:
    lines = [
        line.strip() for line in said.splitlines() if line.strip() and not line.startswith(("Looking in", "[notice]"))
    ]
    tail = "\n".join(lines[-_LINES_OF_PIP:])
    if any("Retrying (" in line and any(sign in line for sign in _UNREACHABLE) for line in lines):
        return TemporaryError(f"The package index did not answer. Try again. pip says:\n{tail}")
    return DependencyError(
        f"The packages of requirements.txt cannot be installed. pip says:\n{tail}\nOnly wheels for this platform are "
        "installed, with the versions that the runtime has."
    )


def _check_size(target: Path, index: Index) -> None:
    size = 0
    for number, path in enumerate(_below(target), 1):
        size += path.lstat().st_size
        if number > index.installed_files or size > index.installed_bytes:
            raise DependencyError(
                f"The packages are larger than {index.installed_bytes:,} bytes or {index.installed_files:,} files. "
                "Remove what the function does not need."
            )


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        yield from (Path(root, name) for name in (*folders, *files))


def _remove_scripts(target: Path) -> None:
    """Commands of packages: not on the path of a function, and their first line is the path of this interpreter."""
    scripts = target / "bin"
    if scripts.is_dir():
        for script in scripts.iterdir():
            script.unlink()
        scripts.rmdir()
    for record in target.glob("*.dist-info/RECORD"):
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(("../../bin/", "bin/"))]
        record.write_text("".join(kept), encoding="utf-8")


def _installed(report: dict[str, Any]) -> tuple[Package, ...]:
    packages = [
        Package(
            each["metadata"]["name"],
            each["metadata"]["version"],
            each["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", ""),
        )
        for each in report["install"]
    ]
    return tuple(sorted(packages, key=lambda package: package.name.lower()))
