"""Attacks on the pod's own container, without the network. Pure."""

from collections.abc import Iterator

from policies.model import IsolationLevel
from tenancy.isolation.attack import Attack, Read

_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105
# The same files, read for content that is always there: the control shows that reading works.
_STATUS = Read("/proc/self/status", r"^Name:.*$")
_UID_MAP = Read("/proc/self/uid_map", r"\d+")


def container_attacks() -> Iterator[Attack]:
    """Every attack that inspects the pod's own process and files."""
    level = IsolationLevel.L1
    yield Attack(
        "service-account-token",
        "a token lies in every pod unless it is kept out",
        level,
        Read(_TOKEN),
        _STATUS,
    )
    yield Attack(
        "capabilities",
        "capabilities that are within reach of a setuid program",
        level,
        Read("/proc/self/status", r"^CapBnd:\s*0*[1-9a-f][0-9a-f]*$"),
        _STATUS,
    )
    yield Attack(
        "new-privileges",
        "a setuid program in the image gives new privileges",
        level,
        Read("/proc/self/status", r"^NoNewPrivs:\s*0$"),
        _STATUS,
    )
    yield Attack(
        "no-seccomp", "every system call is open", level, Read("/proc/self/status", r"^Seccomp:\s*0$"), _STATUS
    )
    yield Attack(
        "user-namespace",
        "root in the pod is root on the node",
        IsolationLevel.L3,
        Read("/proc/self/uid_map", r"^\s*0\s+0\s+\d+$"),
        _UID_MAP,
    )
