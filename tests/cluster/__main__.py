"""`python -m tests.cluster packages|build|up|shell|check`; the Makefile's targets call it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from tests.cluster.commands import PYTHON_PROGRAMS
from tests.cluster.leftovers import find_leftovers
from tests.cluster.packages import install_packages
from tests.cluster.progress import say
from tests.cluster.recipes.everything import make_everything
from tests.cluster.session import ClusterError, ClusterSession, RunningCluster, find_running


def up() -> int:
    """Boots, tells how to reach the cluster, and keeps it until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    session = ClusterSession()
    try:
        with session as cluster:
            tell(cluster)
            while True:
                session.check()
                time.sleep(0.5)
    except (KeyboardInterrupt, SystemExit):
        pass
    except ClusterError as error:
        say(str(error))
        return 1
    finally:
        say(f"left on this machine: {find_leftovers(session.identity)}")
    return 0


def tell(cluster: RunningCluster) -> None:
    """How to reach it."""
    layout = cluster.layout
    for line in (
        "a shell on the node:  make cluster-shell",
        f"from this machine:    export KUBECONFIG={layout.host_kubeconfig}",
        f"logs of its programs: {layout.logs}",
        "stand-ins:            net-istio, the load balancer of the API server (docs/how-to/test-cluster.md)",
        "to end it:            Ctrl-C",
    ):
        say(line)


def shell() -> int:
    """Becomes a shell (or the given command) on the node."""
    cluster = find_running()
    if cluster is None:
        say("no test cluster is running; start one with `make cluster`")
        return 1
    argv = sys.argv[2:] or [os.environ.get("SHELL", "/bin/bash")]
    os.environ["KUBECONFIG"] = str(cluster.layout.node_kubeconfig)
    os.environ["PATH"] = f"{PYTHON_PROGRAMS}:{os.environ['PATH']}"
    command = cluster.on_node(*argv)
    return subprocess.run(command, check=False).returncode


def check() -> int:
    """Says what is on this machine of any test cluster."""
    left = find_leftovers()
    say(f"on this machine of test clusters: {left}")
    return 1 if left else 0


def build() -> int:
    """Builds or reuses everything."""
    make_everything()
    return 0


def packages() -> int:
    """Installs the Debian packages that are missing."""
    install_packages()
    return 0


def main() -> int:
    verbs = {"packages": packages, "build": build, "up": up, "shell": shell, "check": check}
    verb = verbs.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if verb is None:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    return verb()


if __name__ == "__main__":
    sys.exit(main())
