"""The client's distribution alone, in an environment that has nothing else: `make .cache/dist/.client`."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.machine import scaled

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = CHECKOUT / ".cache" / "dist" / "client" / "bin"
SERVERS = {"aiohttp", "botocore", "builds", "control", "gateway", "kubernetes", "starlette", "tenancy", "uvicorn"}
# Modules for which there is an extra, or another distribution.
ELSEWHERE = {"client.forwarding", "client.functions.environment", "client.functions.folder"}


def run(program: str, *words: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [BIN / program, *words], capture_output=True, text=True, timeout=scaled(120), check=False, cwd="/"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def installed() -> dict[str, str]:
    """Versions of the installed distributions."""
    assert BIN.exists(), "run: make .cache/dist/.client"
    listed = json.loads(run("pip", "--disable-pip-version-check", "list", "--format=json").stdout)
    return {each["name"]: each["version"] for each in listed}


def test_client_comes_without_a_library_of_the_server(installed: dict[str, str]) -> None:
    print(run("python", "--version").stdout, installed)
    assert {"osfaas-client", "python-openstackclient", "openstacksdk", "click"} <= installed.keys()
    assert not SERVERS & installed.keys()
    assert "openstack-faas-gateway" not in installed


def test_what_is_installed_fits_together(installed: dict[str, str]) -> None:
    assert "No broken requirements" in run("pip", "--disable-pip-version-check", "check").stdout


def test_every_module_of_the_client_is_there_and_can_be_imported(installed: dict[str, str]) -> None:
    found = [
        ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")
        for package in ("client", "osfaas")
        for path in (CHECKOUT / package).rglob("*.py")
    ]
    wanted = sorted({*found} - ELSEWHERE)
    assert len(wanted) > 20
    run("python", "-c", f"import importlib\nfor name in {wanted!r}: importlib.import_module(name)")


def test_help_lists_only_commands_that_are_installed(installed: dict[str, str]) -> None:
    listed = [line.split()[0] for line in run("osfaas", "--help").stdout.partition("Commands:\n")[2].splitlines()]
    assert {"checksum", "function"} <= {*listed}
    assert not {"serve", "controller", "admin-api"} & {*listed}


def test_templates_of_functions_are_packed(installed: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "osfaas", "function", "init", "hello"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {"main.py", "test_function.py", "README.md"} <= {file.name for file in (tmp_path / "hello").iterdir()}
