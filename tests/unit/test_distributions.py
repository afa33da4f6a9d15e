"""One tree, several distributions: the client runs on old Pythons, and all have one version."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from builds.runtimes import RUNTIMES
from client.functions import init

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECTS = (".", "distributions/builder", "distributions/client")
BUILD = CHECKOUT / "distributions" / "build.sh"


def project(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((CHECKOUT / folder / "pyproject.toml").read_text(encoding="utf-8"))
    return found


def least_python(*paths: Path) -> str:
    command = [Path(sys.executable).with_name("vermin"), "--target=3.9-", "--no-tips", "--violations", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Minimum required versions" in done.stdout, done.stderr
    return "" if done.returncode == 0 else done.stdout


def test_client_needs_no_newer_python_than_it_says() -> None:
    """`make further-integration` runs it with such a Python, if the machine has one."""
    assert project("distributions/client")["project"]["requires-python"] == ">=3.9"
    assert least_python(CHECKOUT / "client", CHECKOUT / "osfaas") == ""


@pytest.mark.parametrize(
    "line",
    [
        "from dataclasses import dataclass\n@dataclass(slots=True)\nclass A: ...",
        "list(zip([], [], strict=True))",
        "match 1:\n    case 1: pass",
        "from datetime import UTC",
    ],
)
def test_newer_syntax_would_be_found(line: str, tmp_path: Path) -> None:
    """Otherwise the test above proves nothing."""
    (tmp_path / "newer.py").write_text(line, encoding="utf-8")
    assert "newer.py" in least_python(tmp_path)


def test_distributions_have_one_version_and_ask_for_it() -> None:
    versions = {project(folder)["project"]["version"] for folder in PROJECTS}
    (version,) = versions
    ours = [
        line.partition(";")[0]
        for folder in PROJECTS
        for line in project(folder)["project"]["dependencies"]
        if line.startswith("osfaas-")
    ]
    assert len(ours) == 3
    assert all(line.endswith(f"=={version}") for line in ours)


def test_client_offers_the_runtimes_that_the_builder_knows() -> None:
    """It cannot ask: the builder needs a newer Python."""
    assert tuple(runtime.name for runtime in RUNTIMES) == init.RUNTIMES


def test_every_package_of_the_gateway_is_copied_to_where_its_distribution_is_built() -> None:
    """A wheel without one of them would be built without a word."""
    patterns = project(".")["tool"]["setuptools"]["packages"]["find"]["include"]
    (line,) = re.findall(r"&& cp -R (.*) \"\$scratch/gateway\"", BUILD.read_text(encoding="utf-8"))
    copied = line.split()
    assert {pattern.removesuffix("*") for pattern in patterns} <= set(copied)
    assert all((CHECKOUT / name).exists() for name in copied)
