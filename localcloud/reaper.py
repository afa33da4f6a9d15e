"""Runs a command, and kills it and all its children as soon as the process that started it has ended.

    python reaper.py FD PIDFILE LOGFILE COMMAND…

FD is the reading end of a pipe whose writing end only the starter holds. The kernel closes that end however
the starter ends, SIGKILL included, and the reaper sees the end of the file. (`PR_SET_PDEATHSIG` would fire
when the starting thread ends, and test runners start servers from threads.)
"""

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path

# linux/prctl.h: children of the command that outlive it become children of this process, which can wait for them.
_SET_CHILD_SUBREAPER = 36


def main() -> int:
    descriptor, pid_file, log_file, *command = sys.argv[1:]
    pipe = int(descriptor)
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with Path(log_file).open("ab") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    Path(pid_file).write_text(str(child.pid), encoding="ascii")
    ended = os.pidfd_open(child.pid)
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        selector.select()
    # Also when the command ended by itself: its children may not have.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    status = child.wait()
    # Until the last of them has ended, its port may still answer a client that waits for its successor.
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-child.pid, 0)
    return status


if __name__ == "__main__":
    sys.exit(main())
