"""Attacks on the pod's own container, without the network. Pure."""

from collections.abc import Iterator

from policies.model import IsolationLevel
from tenancy.isolation.attack import Attack, Read
from tenancy.isolation.targets import Context

_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105
# The same files, read for content that is always there: the control proves that reading works.
_STATUS = Read("/proc/self/status", r"^Name:.*$")
_UID_MAP = Read("/proc/self/uid_map", r"\d+")


def container_attacks(context: Context) -> Iterator[Attack]:
    """Every attack that inspects the pod's own process and files.

    Filters of system calls and the mapping of users protect the node's kernel. A sandbox's own kernel, which has
    neither, is not the one that they are about.
    """
    level, kernels = IsolationLevel.L1, context.targets.kernels
    yield Attack(
        "service-account-token",
        "every pod gets a service account token unless that is disabled",
        level,
        Read(_TOKEN),
        _STATUS,
    )
    yield Attack(
        "capabilities",
        "a setuid program in the image can gain capabilities",
        level,
        Read("/proc/self/status", r"^CapBnd:\s*0*[1-9a-f][0-9a-f]*$"),
        _STATUS,
    )
    yield Attack(
        "new-privileges",
        "a setuid program in the image can gain privileges",
        level,
        Read("/proc/self/status", r"^NoNewPrivs:\s*0$"),
        _STATUS,
    )
    yield Attack(
        "no-seccomp",
        "every system call of the node's kernel is allowed",
        level,
        Read("/proc/self/status", r"^Seccomp:\s*0$", kernels),
        _STATUS,
    )
    yield Attack(
        "user-namespace",
        "root in the pod is root on the node",
        IsolationLevel.L3,
        Read("/proc/self/uid_map", r"^\s*0\s+0\s+\d+$", kernels),
        _UID_MAP,
    )
