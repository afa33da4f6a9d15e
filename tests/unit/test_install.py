"""What `make demo` says before and while it installs."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
# No Debian package has this name.
MISSING = "no-such-package-of-debian"


def as_somebody(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command as a user without rights, on the PATH that Debian gives to users."""
    return subprocess.run(
        command,
        user="nobody" if os.geteuid() == 0 else None,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def script(tmp_path: Path) -> str:
    """The script at a place that everybody can reach."""
    tmp_path.chmod(0o755)
    # Above it are the folders of pytest, and one more where its tests are shared out to processes.
    for folder in tmp_path.parents:
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    copy = tmp_path / "debian.sh"
    copy.write_bytes((CHECKOUT / "localcloud" / "debian.sh").read_bytes())
    copy.chmod(0o755)
    return str(copy)


def test_user_is_told_what_an_administrator_has_to_install(script: str) -> None:
    """All of it at once, as a command to pass on, and not in the words of apt that it may not lock its files."""
    done = as_somebody(["bash", script, MISSING, "coreutils", f"{MISSING}-2"])
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.endswith(f"apt-get update && apt-get install --yes --no-install-recommends {MISSING} {MISSING}-2")
    assert "administrator" in sentence


def test_nothing_is_said_where_all_packages_are_there(script: str) -> None:
    done = as_somebody(["bash", script, "coreutils"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_packages_are_looked_for_before_anything_is_installed() -> None:
    """The rest takes minutes."""
    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", "demo"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    assert 0 <= planned.index("localcloud/debian.sh") < planned.index("-m venv") < planned.index("localcloud.demo")


def pip(program: str) -> "subprocess.Popen[str]":
    """The progress of a program in pip's place, with a short beat."""
    beat = "import progress, sys; progress.EVERY_SECONDS = 0.05; sys.exit(progress.main())"
    return subprocess.Popen(
        [sys.executable, "-c", beat, sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / "localcloud")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_pip_says_is_shown_when_it_fails() -> None:
    running = pip("print('ERROR: no matching distribution'); raise SystemExit(1)")
    _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "ERROR: no matching distribution" in err


def test_progress_says_what_pip_is_at_while_pip_says_nothing(tmp_path: Path) -> None:
    """Two minutes without a word look like a program that hangs."""
    seen = tmp_path / "seen"
    running = pip(
        "import pathlib, time\n"
        "print('Obtaining file:///x\\nCollecting aiohttp>=3\\n  Downloading aiohttp\\nCollecting yarl', flush=True)\n"
        f"while not pathlib.Path({str(seen)!r}).exists(): time.sleep(0.01)\n"
        "print('Installing collected packages: aiohttp, yarl', flush=True)\n"
        f"while pathlib.Path({str(seen)!r}).exists(): time.sleep(0.01)\n"
    )
    assert running.stdout is not None
    said = []
    for line in running.stdout:
        said.append(line.partition(" s: ")[2])
        if said[-1] == "3 packages found, now yarl\n":
            seen.touch()
        if said[-1] == "installing 3 packages\n":
            seen.unlink(missing_ok=True)
    assert running.wait(timeout=60) == 0
    assert {"3 packages found, now yarl\n", "installing 3 packages\n"} <= set(said)
    assert not any("Downloading" in line for line in said)
