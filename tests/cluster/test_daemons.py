"""The programs of the node are started by several threads of the boot, and watched by all of them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cluster.node.daemons import DaemonError, Daemons

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WAITS = [sys.executable, "-c", "import time; time.sleep(60)"]
_FAILS = [sys.executable, "-c", "import sys; sys.exit('no disk')"]


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    made = Daemons(tmp_path)
    yield made
    for process in made.running.values():
        process.kill()
        process.wait()


class StartsAnother(subprocess.Popen[bytes]):
    """While one thread looks at this program, another thread starts one."""

    daemons: Daemons

    def poll(self) -> int | None:
        if "beside" not in self.daemons.running:
            self.daemons.start("beside", _WAITS)
        return super().poll()


def test_a_program_that_ended_is_told_with_its_last_words(daemons: Daemons) -> None:
    daemons.start("etcd", _FAILS)
    daemons.running["etcd"].wait()
    with pytest.raises(DaemonError, match=r"etcd ended with 1:\nno disk"):
        daemons.check()


def test_a_program_that_is_started_during_a_check_does_not_fail_it(daemons: Daemons) -> None:
    watched = StartsAnother(_WAITS)
    watched.daemons = daemons
    daemons.running["containerd"] = watched
    daemons.check()
    assert list(daemons.running) == ["containerd", "beside"]
