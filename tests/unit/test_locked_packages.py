"""What pip installs is known by its hash: nobody who can replace an archive decides what runs here."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[2]
FUNCTION = "functions/checksums/constraints.txt"
CLIENT = "distributions/client/requirements.txt"
# Of the checkout, with dependencies of their own.
OURS = {f"osfaas-{name}": f"distributions/{name}/pyproject.toml" for name in ("builder", "client")}
LOCALCLOUD = "localcloud/constraints.txt"
DOCS = "docs/requirements.txt"
LOCKS = {
    "requirements.txt": ("pyproject.toml", "otel"),
    "distributions/builder/requirements.txt": ("distributions/builder/pyproject.toml", ""),
    CLIENT: ("distributions/client/pyproject.toml", ""),
    FUNCTION: ("functions/checksums/pyproject.toml", ""),
    "functions/runtimes/framework/framework_runtime/constraints.txt": (
        "functions/runtimes/framework/pyproject.toml",
        "",
    ),
    "functions/runtimes/asgi/asgi_runtime/constraints.txt": ("functions/runtimes/asgi/pyproject.toml", ""),
    "tests/requirements.txt": ("pyproject.toml", "dev"),
    "tests/fuzz/requirements.txt": ("pyproject.toml", "fuzz"),
    "tests/mutants/requirements.txt": ("pyproject.toml", "mutants"),
    "tests/cluster/requirements.txt": ("tests/cluster/requirements.in", ""),
    DOCS: ("docs/requirements.in", ""),
    LOCALCLOUD: ("localcloud/requirements.txt", ""),
}
# The tools of these are no part of what we run for others: clients to test with, and peers to compare with.
_UNLOCKED = {"tests/clients/install.sh", "tests/bench/install.sh"}
_PIN = re.compile(r"([\w.-]+)==([\w.!+-]+)(?: ; [^\\]+?)?((?: \\\n    --hash=sha256:[0-9a-f]{64})*)\n")
_PIP_INSTALL = re.compile(r"pip\"? install (?:[^\n]*\\\n)*[^\n]*")


def pins(lock: str) -> dict[str, tuple[str, int]]:
    """Version and number of hashes by name."""
    text = (CHECKOUT / lock).read_text(encoding="utf-8")
    found = list(_PIN.finditer(text))
    assert "".join(match[0] for match in found) == text, f"{lock} has something else than pins"
    return {canonicalize_name(match[1]): (match[2], match[3].count("--hash=")) for match in found}


def wanted(lock: str) -> Iterator[Requirement]:
    source, extra = LOCKS[lock]
    text = (CHECKOUT / source).read_text(encoding="utf-8")
    if not source.endswith(".toml"):
        yield from (Requirement(line) for line in text.splitlines() if line and not line.startswith("#"))
        return
    yield from of_project(tomllib.loads(text)["project"], extra)


def of_project(project: Mapping[str, Any], extra: str) -> Iterator[Requirement]:
    """What a distribution wants, with what those of ours want that it names."""
    for line in [*project["dependencies"], *project.get("optional-dependencies", {}).get(extra, [])]:
        requirement = Requirement(line)
        if requirement.name in OURS:
            own = tomllib.loads((CHECKOUT / OURS[requirement.name]).read_text(encoding="utf-8"))["project"]
            assert requirement.specifier.contains(own["version"])
            yield from of_project(own, next(iter(requirement.extras), ""))
        elif requirement.name != project["name"]:
            yield requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_known_by_hashes(lock: str) -> None:
    """Without one, pip would refuse to install any; with those of one archive, it would on other machines."""
    assert [name for name, (_, hashes) in pins(lock).items() if not hashes] == []
    assert sum(hashes for _, hashes in pins(lock).values()) >= 2 * len(pins(lock))


@pytest.mark.parametrize("lock", LOCKS)
def test_file_has_what_is_asked_for(lock: str) -> None:
    """Whoever changes a dependency runs .ci/lock."""
    locked = pins(lock)
    for requirement in wanted(lock):
        version, _ = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock not in {CLIENT, LOCALCLOUD, DOCS}])
def test_one_version_of_a_package_is_used_everywhere(lock: str) -> None:
    """The one of constraints.txt, but for what has an environment of its own."""
    text = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8")
    versions = {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(.+)$", text, re.MULTILINE)
    }
    assert {name: version for name, (version, _) in pins(lock).items() if versions.get(name) != version} == {}


def test_function_has_what_builds_it_and_the_product_too() -> None:
    """pip would fetch it by itself otherwise, and look at no hash."""
    assert {"setuptools"} <= pins(FUNCTION).keys() & pins("requirements.txt").keys() & pins(
        "tests/requirements.txt"
    ).keys()


def scripts() -> list[Path]:
    # Not below .cache: images are being built there beside the tests, with a /proc of their own.
    found = [CHECKOUT / "Makefile", *(CHECKOUT / "tests").rglob("*.mk"), *CHECKOUT.glob("[!.]*/**/install.sh")]
    found.append(CHECKOUT / "distributions/build.sh")
    return [*found, *CHECKOUT.glob("Dockerfile"), *(CHECKOUT / "functions").rglob("Dockerfile")]


def test_nothing_is_installed_without_its_hash() -> None:
    """Either by hashes, or our own source or wheel, for which nothing is fetched."""
    seen = 0
    for path in scripts():
        name = str(path.relative_to(CHECKOUT))
        for command in _PIP_INSTALL.findall(path.read_text(encoding="utf-8")):
            seen += 1
            unfetched = "--no-build-isolation" in command or "--no-index" in command
            own = "--no-deps" in command and unfetched
            assert name in _UNLOCKED or own or "--require-hashes" in command, f"{name}: {command}"
    assert seen >= 9
