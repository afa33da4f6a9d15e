"""An attack as a value: what is asked, what counts as refused, and what proves that the asking works.

A probe that is broken looks exactly like a defence. So each attack has an *open twin*: a question of the same kind that
has to be answered, or a fact that Kubernetes vouches for. Without it a refusal proves nothing.
"""

from dataclasses import dataclass
from enum import Enum

from policies.model import IsolationLevel, Manifest


class Outcome(Enum):
    """What became of one question."""

    ANSWERED = "answered"
    REFUSED = "refused"  # somebody said no
    TIMED_OUT = "timed out"  # nothing came back: what a dropped packet looks like
    BROKEN = "broken"  # anything else: a name that does not resolve, a program that crashed


@dataclass(frozen=True, slots=True)
class Evidence:
    """An outcome and what was heard, in one line."""

    outcome: Outcome
    said: str


@dataclass(frozen=True, slots=True)
class Connect:
    """A TCP connection from the probe pod; one that is accepted is an answer.

    Attributes:
        sends: the first bytes, usually an HTTP request, so that the evidence shows who is there.
        refused_with: text in the reply by which something on the way says no; "": whatever comes back is an answer.
    """

    host: str
    port: int
    sends: str = ""
    refused_with: str = ""


@dataclass(frozen=True, slots=True)
class Resolve:
    """A name that the probe pod looks up."""

    name: str


@dataclass(frozen=True, slots=True)
class Read:
    """A file that the probe pod reads; it is an answer if `telling` (a regular expression, multi-line) is in it."""

    path: str
    telling: str = "."


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the Kubernetes API by a user with the role `edit` in the tenant's namespace; a server-side dry run.

    Attributes:
        path: the collection for POST, the object for PATCH (merge patch) and DELETE.
        refused_with: any of these texts in a 4xx reply is a refusal; another 4xx is a broken question.
        kept: path of the field that is the point of it; admitted with another value there, it is refused all the same.
    """

    method: str
    path: str
    body: Manifest
    refused_with: tuple[str, ...] = ("ValidatingAdmissionPolicy", " cannot ")
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """A twin that need not be asked: Kubernetes (the kubelet's probes, a condition) vouches for the target."""

    fact: str
    holds: bool


Question = Connect | Resolve | Read | Request


@dataclass(frozen=True, slots=True)
class ByTheVictim:
    """A twin that the victim's own pod asks of itself: somebody does listen there."""

    question: Connect


Twin = Question | ByTheVictim | Known


@dataclass(frozen=True, slots=True)
class Attack:
    """One way of breaking out of a tenant.

    Attributes:
        name: words with dashes; the test that proves its defence is `tests/isolation/test_<name>.py`.
        replays: the pitfall, in a sentence.
        fails_from: the lowest level that promises a refusal.
        question: how it is tried.
        twin: what has to be open for a refusal to count.
    """

    name: str
    replays: str
    fails_from: IsolationLevel
    question: Question
    twin: Twin
