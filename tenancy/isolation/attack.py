"""An attack as a value: the attempt, what counts as a refusal, and the positive control.

A broken probe looks exactly like a defence. So each attack has a *positive control*: a probe of the same kind that must
be answered, or a fact that Kubernetes reports. Without it a refusal proves nothing.
"""

from dataclasses import dataclass
from enum import Enum

from policies.model import IsolationLevel, Manifest


class Outcome(Enum):
    """The outcome of one probe."""

    ANSWERED = "answered"
    REFUSED = "refused"  # an explicit refusal
    TIMED_OUT = "timed out"  # no response, as with a dropped packet
    BROKEN = "broken"  # anything else: a name that does not resolve, a program that crashed


@dataclass(frozen=True, slots=True)
class Evidence:
    """An outcome, and the response in one line."""

    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class Connect:
    """A TCP connection from the probe pod; an accepted one counts as answered.

    Attributes:
        sends: the first bytes, usually an HTTP request, so that the evidence shows the peer.
        refused_with: text in a proxy's reply that counts as a refusal; "": any reply counts as answered.
    """

    host: str
    port: int
    sends: str = ""
    refused_with: str = ""


@dataclass(frozen=True, slots=True)
class Resolve:
    """A DNS lookup in the probe pod."""

    name: str


@dataclass(frozen=True, slots=True)
class Read:
    """A file that the probe pod reads; answered if `telling` (a multi-line regular expression) matches.

    Attributes:
        kernels: releases of the nodes' kernels. If any is given, what another kernel says, which a sandbox has, counts
            as a refusal.
    """

    path: str
    telling: str = "."
    kernels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemCall:
    """A system call of the probe pod, with harmless arguments; answered if a kernel carries it out.

    Attributes:
        name: of the call; the probe program knows its number and arguments.
        kernels: as in `Read`.
    """

    name: str
    kernels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tasks:
    """Threads that the probe pod starts, which Linux counts as processes; answered if all run at once.

    `kernels`: as in `Read`. The threads of a sandbox's own kernel are none of the node's.
    """

    count: int
    kernels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """TCP connections that the probe pod opens and holds; answered if any is open: a slow target is no defence."""

    host: str
    port: int
    count: int


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the Kubernetes API by a user with the role `edit` in the tenant's namespace; a server-side dry run.

    Attributes:
        path: the collection for GET and POST, the object for PATCH (merge patch) and DELETE.
        refused_with: any of these texts in a 4xx reply is a refusal; any other 4xx is a broken probe.
        unchanged_field: path of the field that matters; a request admitted with another value there counts as refused.
    """

    method: str
    path: str
    body: Manifest
    refused_with: tuple[str, ...] = ("ValidatingAdmissionPolicy", " cannot ")
    unchanged_field: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assumed:
    """A control without a probe: a fact about the target that Kubernetes reports (kubelet probes, a condition)."""

    fact: str
    holds: bool


PodProbe = Connect | Resolve | Read | SystemCall | Tasks | Flood
Probe = PodProbe | Request


@dataclass(frozen=True, slots=True)
class VictimProbe:
    """A control that the victim's own pod runs against itself, to prove that the port is open."""

    connection: Connect


@dataclass(frozen=True, slots=True)
class BuildProbe:
    """A connection from a pod in the tenant's namespace with the labels of a build's pod."""

    connection: Connect


Control = Probe | VictimProbe | BuildProbe | Assumed


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to break out of a tenant.

    Attributes:
        name: words with dashes; the test of its defence is `tests/isolation/test_<name>.py`.
        summary: the attack or its cause, in a sentence.
        fails_from: the lowest level that promises a refusal.
        attempt: the probe that attacks.
        control: the positive control; must succeed for a refusal to count.
    """

    name: str
    summary: str
    fails_from: IsolationLevel
    attempt: Probe | BuildProbe
    control: Control
