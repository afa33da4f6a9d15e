"""Prints findings as a table or as JSON. Pure."""

import json
from collections import Counter
from collections.abc import Sequence

from policies.model import IsolationLevel
from tenancy.isolation.attack import Evidence
from tenancy.isolation.verdict import Finding, Verdict, exit_status

_SHOWN = 100


def as_table(findings: Sequence[Finding], tenant: str, victim: str, level: IsolationLevel) -> str:
    """One line per attack, details of those that are not defended, and the counts."""
    width = max((len(finding.attack.name) for finding in findings), default=0)
    lines = [f"{tenant} against {victim} and the platform, at level {level.value}", ""]
    for finding in findings:
        attack = finding.attack
        lines.append(
            f"{finding.verdict.value:<13} {attack.name:<{width}}  from {attack.fails_from.value}  "
            f"{_text(finding.evidence)}"
        )
        if finding.verdict is not Verdict.DEFENDED:
            lines.append(f"{'':13} {'':{width}}  {attack.summary}")
            lines.append(f"{'':13} {'':{width}}  positive control: {_text(finding.control)}")
    counted = Counter(finding.verdict for finding in findings)
    lines += ["", ", ".join(f"{counted[verdict]} {verdict.value}" for verdict in Verdict if counted[verdict])]
    return "\n".join(lines)


def as_json(findings: Sequence[Finding], tenant: str, victim: str, level: IsolationLevel) -> str:
    """All findings as JSON."""
    return json.dumps(
        {
            "tenant": tenant,
            "against": victim,
            "level": level.value,
            "exitStatus": exit_status(findings),
            "attacks": [
                {
                    "name": finding.attack.name,
                    "replays": finding.attack.summary,
                    "failsFrom": finding.attack.fails_from.value,
                    "verdict": finding.verdict.value.lower(),
                    "evidence": _fields(finding.evidence),
                    "positiveControl": _fields(finding.control),
                }
                for finding in findings
            ],
        },
        indent=2,
    )


def _text(evidence: Evidence) -> str:
    detail = evidence.detail if len(evidence.detail) <= _SHOWN else f"{evidence.detail[:_SHOWN]}…"
    return f"{evidence.outcome.value}: {detail}"


def _fields(evidence: Evidence) -> dict[str, str]:
    return {"outcome": evidence.outcome.value, "detail": evidence.detail}
