"""The version of a checkout: of its tag, or of what comes after the last one."""

import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

# Distributions with one version.
PROJECTS = (
    ".",
    "distributions/builder",
    "distributions/client",
    "functions/checksums",
    "functions/runtimes/asgi",
    "functions/runtimes/framework",
)
_RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_TAG = "v[0-9]*.[0-9]*.[0-9]*"


class ReleaseError(Exception):
    """The checkout is not what a release needs; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Where a checkout is.

    Attributes:
        tag: of the last release, "v1.2.3"; "" before the first one.
        distance: commits since then.
        changed: whether files differ from the commit.
    """

    tag: str
    distance: int
    changed: bool


def version_of(declared: str, commit: Commit | None) -> str:
    """The version by PEP 440: `1.2.3` at the tag `v1.2.3`, else a development version after the last release.

    Args:
        declared: what the projects say: the last release, or the next one.
        commit: None: no git checkout, such as an unpacked release.

    Raises:
        ReleaseError: the tag names another version than the projects.
    """
    if commit is None:
        return declared
    released = commit.tag.removeprefix("v")
    if released and not commit.distance and not commit.changed:
        if released != declared:
            raise ReleaseError(f"The tag is {commit.tag}, but the projects have {declared}: run `prepare {released}`.")
        return released
    following = _after(declared) if released == declared else declared
    return f"{following}.dev{commit.distance}" + ("+changed" if commit.changed else "")


def semantic(version: str) -> str:
    """The same version by Semantic Versioning, as Helm wants it."""
    return re.sub(r"\.dev(\d+)", r"-dev.\1", version)


def checkout_version(checkout: Path) -> str:
    """The version of a checkout.

    Raises:
        ReleaseError: as `version_of`.
    """
    return version_of(declared_version(checkout), commit_of(checkout))


def declared_version(checkout: Path) -> str:
    """What all projects of the checkout say.

    Raises:
        ReleaseError: they do not agree.
    """
    found = {
        str(tomllib.loads((checkout / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
        for folder in PROJECTS
    }
    if len(found) > 1:
        raise ReleaseError(f"The projects have several versions: {', '.join(sorted(found))}.")
    return found.pop()


def commit_of(checkout: Path) -> Commit | None:
    """Asks git; None where there is no checkout."""
    if not (checkout / ".git").exists():
        return None
    tag = git(checkout, "describe", "--tags", "--abbrev=0", "--match", _TAG, check=False)
    distance = git(checkout, "rev-list", "--count", f"{tag}..HEAD" if tag else "HEAD", check=False)
    changed = git(checkout, "status", "--porcelain", "--untracked-files=no", check=False)
    return Commit(tag=tag, distance=int(distance or 0), changed=bool(changed))


def git(checkout: Path, *words: str, check: bool = True) -> str:
    """The output of a git command.

    Raises:
        ReleaseError: it fails; with its message. Not if `check` is false.
    """
    command = ["git", "-C", str(checkout), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - words of this package
    if done.returncode and check:
        raise ReleaseError(f"{' '.join(command)}: {done.stderr.strip()}")
    return "" if done.returncode else done.stdout.strip()


def _after(version: str) -> str:
    match = _RELEASE.fullmatch(version)
    if not match:
        raise ReleaseError(f"{version} is no version of the form 1.2.3.")
    major, minor, patch = map(int, match.groups())
    return f"{major}.{minor}.{patch + 1}"
