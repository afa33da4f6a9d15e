"""Attacks on the node's kernel from inside a pod. Pure.

A sandbox answers system calls with a kernel of its own, so they all ask one question: does the node's kernel answer?
Below L4 the runtime's default seccomp profile refuses some of the calls. That profile is the node's, and other
versions of it let them through.
"""

import re
from collections.abc import Iterator

from policies.model import IsolationLevel
from tenancy.isolation.attack import Attack, Probe, Read, SystemCall
from tenancy.isolation.targets import Context

_RELEASE = "/proc/sys/kernel/osrelease"
_CALLS = {
    "io_uring_setup": "io_uring, a frequent source of privilege escalation in the kernel",
    "bpf": "the kernel's BPF verifier",
    "keyctl": "the kernel's key retention, which no namespace separates",
    "unshare": "a user namespace, which opens nf_tables and other parts of the kernel to ordinary users",
    "userfaultfd": "page faults that a process handles itself, which makes races in the kernel winnable",
}


def kernel_attacks(context: Context) -> Iterator[Attack]:
    """Every attack on the kernel that the pod shares with the node, unless it runs in a sandbox."""
    level, kernels = IsolationLevel.L4, context.targets.kernels
    releases = "|".join(re.escape(kernel) for kernel in kernels)
    works: Probe = SystemCall("getpid", ())
    for call, why in _CALLS.items():
        yield Attack(f"kernel-{call.replace('_', '-')}", f"{why}: {call}", level, SystemCall(call, kernels), works)
    for name, summary, attempt, control in (
        (
            "kernel-identity",
            "the pod runs on the node's kernel",
            Read(_RELEASE, rf"^(?:{releases})$"),
            Read(_RELEASE),
        ),
        (
            "kernel-proc",
            "/proc lists the symbols of the node's kernel",
            Read("/proc/kallsyms"),
            Read("/proc/self/status", r"^Name:.*$"),
        ),
        (
            "kernel-sys",
            "/sys describes the node's processors and the gaps that its kernel leaves open",
            Read("/sys/devices/system/cpu/vulnerabilities/spectre_v2"),
            Read("/proc/self/status", r"^Name:.*$"),
        ),
    ):
        yield Attack(name, summary, level, attempt, control)
