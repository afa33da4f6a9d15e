"""`osfaas function init` and `serve` as a developer uses them: real processes, real venvs, wheels from a folder."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from wheels import write_sdist, write_wheel

from localcloud.ports import free_ports
from tests.machine import scaled, wait_until

OSFAAS = Path(sys.executable).with_name("osfaas")
WHEELS = Path(__file__).resolve().parents[2] / ".cache" / "functions" / "wheels"
GREETING = "def greet(name):\n    return f'Good morning, {name}!'\n"
SHOW_ENVIRONMENT = "import os\n\ndef main(request):\n    return dict(os.environ)\n"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with packages of ours."""
    folder = tmp_path_factory.mktemp("packages")
    write_wheel(folder, "greeting", "1.0", GREETING)
    write_wheel(folder, "oldfashioned", "1.0", "", requires="click<8")
    write_sdist(folder, "sourceonly", "1.0", f"open({str(folder / 'ran')!r}, 'w')\nraise SystemExit(1)\n")
    return folder


@pytest.fixture(scope="module")
def shell(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A developer's, who has credentials of the cloud in it."""
    assert WHEELS.exists(), "run: make .cache/functions/.installed"
    home = tmp_path_factory.mktemp("home")
    # pip's way to have a folder in place of an index. It splits the variable at blanks.
    places = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{WHEELS} {packages}"}
    (home / ".config" / "pip").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text(
        f"[global]\nno-index = true\nfind-links =\n    {WHEELS}\n    {packages}\n"
    )
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "OS_PASSWORD": "secret", **places}


def run(shell: Mapping[str, str], folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [OSFAAS, "function", *words],
        cwd=folder,
        env=dict(shell),
        capture_output=True,
        text=True,
        timeout=scaled(280),
        check=False,
    )


@pytest.fixture(scope="module", params=["framework", "asgi"])
def folder(request: pytest.FixtureRequest, shell: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh template whose environment is installed."""
    parent: Path = tmp_path_factory.mktemp(request.param)
    assert run(shell, parent, "init", "hello", "--runtime", request.param).returncode == 0
    tested = run(shell, parent, "serve", "--test", "hello")
    assert tested.returncode == 0, tested.stderr
    assert "Ran 2 tests" in tested.stderr
    return parent / "hello"


@contextlib.contextmanager
def serving(
    shell: Mapping[str, str], folder: Path, *words: str
) -> "Iterator[tuple[str, subprocess.Popen[bytes], Path]]":
    """URL, process and log of `osfaas function serve`."""
    (port,) = free_ports(1)
    log = folder.parent / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [OSFAAS, "function", "serve", str(folder), "--port", str(port), *words],
            env=dict(shell),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        return f"listening on {url}" in log.read_text()

    try:
        wait_until(listens, seconds=120, what="the function")
        yield url, process, log
    finally:
        process.kill()
        process.wait()


def fetch(url: str) -> httpx.Response:
    return httpx.get(url, timeout=scaled(60), trust_env=False)


def test_template_greets_and_ends_by_a_signal_with_0(shell: dict[str, str], folder: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with serving(shell, folder) as (url, process, _):
            assert fetch(f"{url}/?name=Ada").json() == {"greeting": "Hello, Ada!"}
            process.send_signal(number)
            assert process.wait(timeout=scaled(60)) == 0


def test_nothing_is_installed_again_without_a_change(shell: dict[str, str], folder: Path) -> None:
    again = run(shell, folder, "serve", "--test")
    assert (again.returncode, "are installed" in again.stderr) == (0, False)


def test_failing_test_of_the_folder_is_a_failure(shell: dict[str, str], folder: Path) -> None:
    test = folder / "test_broken.py"
    test.write_text("import unittest\n\nclass T(unittest.TestCase):\n    def test(self):\n        self.fail('no')\n")
    try:
        assert run(shell, folder, "serve", "--test").returncode == 1
    finally:
        test.unlink()


@pytest.fixture(scope="module")
def framework(shell: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that its tests may change."""
    parent = tmp_path_factory.mktemp("changing")
    assert run(shell, parent, "init", "hello").returncode == 0
    return parent / "hello"


def refused(shell: Mapping[str, str], folder: Path, requirements: str) -> str:
    (folder / "requirements.txt").write_text(requirements)
    done = run(shell, folder, "serve", "--test")
    assert done.returncode == 1
    return done.stderr


def test_package_that_wants_another_version_of_the_runtimes_is_refused(shell: dict[str, str], framework: Path) -> None:
    """In the image both would be on the path, and which one is imported would be chance."""
    said = refused(shell, framework, "oldfashioned\n")
    assert "oldfashioned 1.0 depends on click<8" in said
    assert "(constraint) click==" in said


def test_package_without_a_wheel_runs_no_code(shell: dict[str, str], framework: Path, packages: Path) -> None:
    assert "No matching distribution found for sourceonly" in refused(shell, framework, "sourceonly\n")
    assert not (packages / "ran").exists()
    # The positive control: where it is allowed, the code runs.
    allowed = run(shell, framework, "serve", "--test", "--source-distributions")
    assert (packages / "ran").exists(), allowed.stderr


def test_package_of_requirements_is_imported(shell: dict[str, str], framework: Path) -> None:
    (framework / "requirements.txt").write_text("greeting==1.0\n")
    (framework / "main.py").write_text("import greeting\n\ndef main(request):\n    return greeting.greet('you')\n")
    with serving(shell, framework) as (url, _, log):
        assert "are installed" in log.read_text()
        assert fetch(url).text == "Good morning, you!"


def test_function_sees_nothing_of_the_shell(shell: dict[str, str], framework: Path) -> None:
    """On the platform it has no credential either, so it must not need one here."""
    (framework / "requirements.txt").write_text("greeting==1.0\n")
    (framework / "main.py").write_text(SHOW_ENVIRONMENT)
    with serving(shell, framework, "--env", "GREETING=hello", "--env", "EMPTY=") as (url, _, _):
        seen = fetch(url).json()
    assert (seen["GREETING"], seen["EMPTY"], "OS_PASSWORD" in seen) == ("hello", "", False)
    assert not {name for name in seen if name.startswith(("OS_", "PIP_"))}


@pytest.mark.parametrize("variable", ["GREETING", "=x", "A-B=c", "1=2"])
def test_variable_that_is_none_is_refused(variable: str, shell: dict[str, str], framework: Path) -> None:
    done = run(shell, framework, "serve", "--env", variable)
    assert (done.returncode, "--env needs NAME=VALUE" in done.stderr) == (1, True)


def test_folder_without_a_function_says_what_to_add(shell: dict[str, str], tmp_path: Path) -> None:
    done = run(shell, tmp_path, "serve")
    assert (done.returncode, "Add main.py with main(request)" in done.stderr) == (1, True)
