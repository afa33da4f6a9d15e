"""`make demo`, as a newcomer runs it: right digests, commands to paste, and nothing of it left however it is ended."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demo makes its folders; a short name, because sockets lie in them."""
    with tempfile.TemporaryDirectory(prefix="d-") as name:
        yield Path(name)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
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
        assert list(folder.iterdir())
        demo.send_signal(end)
        assert demo.wait(timeout=30) == 0
    finally:
        demo.kill()
        demo.wait()
    assert list(folder.iterdir()) == []
