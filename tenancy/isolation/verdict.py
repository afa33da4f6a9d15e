"""Evaluates outcomes. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from policies.model import IsolationLevel
from tenancy.isolation.attack import Attack, Evidence, Outcome


class Verdict(Enum):
    """The conclusion from an attack and its positive control."""

    DEFENDED = "defended"
    BREACHED = "BREACHED"
    NOT_PROMISED = "not promised"  # the attack succeeded, and the level does not promise otherwise
    UNPROVEN = "unproven"  # the probe or its control broke: nothing is known


@dataclass(frozen=True, slots=True)
class Finding:
    """One attack with the evidence of its attempt and of its control, and the verdict."""

    attack: Attack
    evidence: Evidence
    control: Evidence
    verdict: Verdict


def evaluate(attack: Attack, evidence: Evidence, control: Evidence, level: IsolationLevel) -> Finding:
    """Evaluates one attack: a refusal needs a positive control to be a defence; an answer is a breach without one."""
    return Finding(attack, evidence, control, _verdict(attack, evidence, control, level))


def _verdict(attack: Attack, evidence: Evidence, control: Evidence, level: IsolationLevel) -> Verdict:
    if evidence.outcome is Outcome.ANSWERED:
        return Verdict.BREACHED if level >= attack.fails_from else Verdict.NOT_PROMISED
    if evidence.outcome is Outcome.BROKEN or control.outcome is not Outcome.ANSWERED:
        return Verdict.UNPROVEN
    return Verdict.DEFENDED


def exit_status(findings: Iterable[Finding]) -> int:
    """0: every attack that the level covers was proved to fail; 1: one succeeded; 3: none, but not all are proved."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.BREACHED in verdicts:
        return 1
    if Verdict.UNPROVEN in verdicts or not verdicts:
        return 3
    return 0
