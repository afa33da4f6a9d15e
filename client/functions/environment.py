"""The environment of a function on this machine: a venv with its runtime and its packages, in FOLDER/.osfaas."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builds.errors import BuildError
from builds.runtimes import CONSTRAINTS, Runtime, detect_runtime, package_of, pins_of
from client.errors import CommandError

CACHE = ".osfaas"
REQUIREMENTS = "requirements.txt"
_LINES_OF_PIP = 16


@dataclass(frozen=True)
class Environment:
    """Where a function runs.

    Attributes:
        folder: of the function.
        runtime: which serves it.
        python: interpreter of its venv.
        runtime_path: folder with the runtime's package.
    """

    folder: Path
    runtime: Runtime
    python: Path
    runtime_path: Path


def prepare(folder: Path, *, source_distributions: bool, progress: Callable[[str], None]) -> Environment:
    """Creates or updates the environment of a folder; does nothing if nothing has changed.

    Args:
        folder: of the function.
        source_distributions: whether pip may build packages, which runs their code.
        progress: gets a sentence before anything slow.

    Raises:
        CommandError: the folder has no function, or a package cannot be installed.
    """
    try:
        runtime = detect_runtime([file.name for file in folder.iterdir() if file.is_file()])
        locked = package_of(runtime) / CONSTRAINTS
    except BuildError as error:
        raise CommandError(str(error)) from error
    cache = folder / CACHE
    found = Environment(folder, runtime, cache / "venv" / "bin" / "python", cache / "runtime")
    requirements = folder / REQUIREMENTS
    wanted = _fingerprint(runtime, locked, requirements)
    stamp = cache / "installed"
    _copy_runtime(found)
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return found
    stamp.unlink(missing_ok=True)
    progress(f"The runtime '{runtime.name}' and the packages of {REQUIREMENTS} are installed into {cache}.")
    _run([sys.executable, "-m", "venv", "--clear", str(cache / "venv")])
    _pip(found, "--require-hashes", "--requirement", str(locked))
    if requirements.exists():
        pins = cache / CONSTRAINTS
        pins.write_text(pins_of(locked.read_text(encoding="utf-8")), encoding="utf-8")
        binary = () if source_distributions else ("--only-binary", ":all:")
        _pip(found, *binary, "--constraint", str(pins), "--requirement", str(requirements))
    stamp.write_text(wanted, encoding="ascii")
    return found


def _copy_runtime(environment: Environment) -> None:
    """Copied, because the folder that it is in may contain all other packages of osfaas."""
    package = package_of(environment.runtime)
    shutil.rmtree(environment.runtime_path, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, environment.runtime_path / environment.runtime.module, ignore=ignored)


def _fingerprint(runtime: Runtime, locked: Path, requirements: Path) -> str:
    parts = [runtime.name.encode(), sys.version.encode(), locked.read_bytes()]
    parts.append(requirements.read_bytes() if requirements.exists() else b"")
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _pip(environment: Environment, *words: str) -> None:
    _run([str(environment.python), "-m", "pip", "install", "--progress-bar", "off", *words])


def _run(command: list[str]) -> None:
    # In one stream: pip names the packages of a conflict on stdout, and the conflict itself on stderr.
    done = subprocess.run(  # noqa: S603 - what the user asks for, on their machine
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        said = "\n".join(done.stdout.strip().splitlines()[-_LINES_OF_PIP:])
        raise CommandError(f"The function's environment cannot be made. pip says:\n{said}")
