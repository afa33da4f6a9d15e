"""What outcomes prove. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from policies.model import IsolationLevel
from tenancy.isolation.attack import Attack, Evidence, Outcome


class Verdict(Enum):
    """What is known after an attack and its open twin."""

    DEFENDED = "defended"
    BREACHED = "BREACHED"
    NOT_PROMISED = "not promised"  # it worked, and the level does not say that it would not
    UNPROVEN = "unproven"  # the question broke, or its twin was closed too: nothing is known


@dataclass(frozen=True, slots=True)
class Finding:
    """One attack, what became of it and of its twin, and what that means."""

    attack: Attack
    evidence: Evidence
    twin: Evidence
    verdict: Verdict


def judge(attack: Attack, evidence: Evidence, twin: Evidence, level: IsolationLevel) -> Finding:
    """The finding. Only a clear refusal beside an open twin is a defence; an answer is one without any twin."""
    return Finding(attack, evidence, twin, _verdict(attack, evidence, twin, level))


def _verdict(attack: Attack, evidence: Evidence, twin: Evidence, level: IsolationLevel) -> Verdict:
    if evidence.outcome is Outcome.ANSWERED:
        return Verdict.BREACHED if level >= attack.fails_from else Verdict.NOT_PROMISED
    if evidence.outcome is Outcome.BROKEN or twin.outcome is not Outcome.ANSWERED:
        return Verdict.UNPROVEN
    return Verdict.DEFENDED


def exit_status(findings: Iterable[Finding]) -> int:
    """0: every attack that the level covers was shown to fail; 1: one worked; 3: none did, but not all were shown."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.BREACHED in verdicts:
        return 1
    if Verdict.UNPROVEN in verdicts or not verdicts:
        return 3
    return 0
