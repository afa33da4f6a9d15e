"""`make demo`, as a newcomer runs it: right digests, commands to paste, and nothing of it left however it is ended."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import scaled


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demo makes its folders; a short name, because sockets lie in them."""
    with tempfile.TemporaryDirectory(prefix="d-") as name:
        yield Path(name)


def pasted(shown: list[str], home: Path) -> str:
    """What the commands print that the demo asks to paste, in a shell that knows nothing of this checkout."""
    begin = next(number for number, line in enumerate(shown) if "in another terminal" in line)
    commands = [line.strip() for line in shown[begin + 1 :] if line.startswith("    ")]
    script = "\n".join(line for line in commands if not line.startswith(("logs:", "Ctrl-C")))
    # Only Envoy speaks HTTP/2: the printed URL is its.
    script += (
        '\ncurl -s -o /dev/null -w "spoken: %{http_version} %{http_code}" --http2-prior-knowledge $FAAS/healthcheck\n'
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_to_paste_work_and_print_the_values_of_the_documentation(folder: Path, tmp_path: Path) -> None:
    """The content of the demo's files is always the same."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "localcloud.demo"],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    try:
        shown = []
        for line in demo.stdout:
            shown.append(line)
            if "Ctrl-C ends everything" in line:
                break
        out = pasted(shown, tmp_path)
    finally:
        demo.terminate()
        demo.wait()
    assert out.startswith("a4d711db\n")
    assert '"md5":"a5dc2db338f2c97d3a11dfa9abfa0407"' in out.replace(" ", "")
    assert "digest: adler32=c942dc81\n" in out.replace("\r", "").lower()
    assert "calibration.tar" in out
    assert '"to": {"width": 32, "height": 24}' in out
    assert "spoken: 2 200" in out


@pytest.mark.parametrize(
    "end",
    [pytest.param(signal.SIGINT, id="Ctrl-C"), pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.long)],
)
def test_demo_shows_right_digests_and_leaves_nothing_when_it_is_ended(folder: Path, end: signal.Signals) -> None:
    demo = subprocess.Popen(
        # Ctrl-C ends it also where whoever runs the tests ignores it.
        ["env", "--default-signal=INT", sys.executable, "-m", "localcloud.demo"],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    try:
        shown = []
        for line in demo.stdout:
            shown.append(line)
            if "Ctrl-C ends everything" in line:
                break
        assert "==> 30 digests, 0 differ from those computed from the files\n" in shown
        assert "==> the thumbnail in Swift is as the answer says\n" in shown
        assert any("loopback isolates nothing" in line for line in shown)
        assert list(folder.iterdir())
        demo.send_signal(end)
        assert demo.wait(timeout=scaled(30)) == 0
    finally:
        demo.kill()
        demo.wait()
    assert list(folder.iterdir()) == []
