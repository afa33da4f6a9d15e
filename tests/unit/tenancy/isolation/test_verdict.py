"""What outcomes prove, and how the sum of them ends the command."""

import json

import pytest

from policies.model import IsolationLevel
from tenancy.isolation.attack import Assumed, Attack, Connect, Evidence, Outcome, Request
from tenancy.isolation.report import as_json, as_table
from tenancy.isolation.runners import evaluate_reply
from tenancy.isolation.verdict import Finding, Verdict, evaluate, exit_status

ATTACK = Attack(
    "knock", "somebody knocks", IsolationLevel.L2, Connect("192.0.2.1", 80), Assumed("it listens", holds=True)
)
OPEN, SHUT = Evidence(Outcome.ANSWERED, "yes"), Evidence(Outcome.BROKEN, "no such name")
CREATE = Request(
    "POST", "/api/v1/namespaces/a/pods", {"spec": {"hostUsers": True}}, ("because",), ("spec", "hostUsers")
)


def finding(outcome: Outcome, control: Evidence = OPEN, level: IsolationLevel = IsolationLevel.L3) -> Finding:
    return evaluate(ATTACK, Evidence(outcome, "heard"), control, level)


def test_a_broken_probe_is_never_a_defence() -> None:
    """Even with a positive control that succeeded."""
    assert finding(Outcome.BROKEN).verdict is Verdict.UNPROVEN


@pytest.mark.parametrize("control", [Outcome.BROKEN, Outcome.REFUSED, Outcome.TIMED_OUT])
@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.TIMED_OUT])
def test_a_refusal_without_a_positive_control_proves_nothing(outcome: Outcome, control: Outcome) -> None:
    """Perhaps the target does not exist, or the probe does not work at all."""
    assert finding(outcome, Evidence(control, "")).verdict is Verdict.UNPROVEN


@pytest.mark.parametrize("control", [OPEN, SHUT])
def test_an_answer_is_a_breach_whatever_its_control_did(control: Evidence) -> None:
    """From the level on that promises otherwise; below, it was not promised."""
    assert finding(Outcome.ANSWERED, control).verdict is Verdict.BREACHED
    assert finding(Outcome.ANSWERED, control, IsolationLevel.L2).verdict is Verdict.BREACHED
    assert finding(Outcome.ANSWERED, control, IsolationLevel.L1).verdict is Verdict.NOT_PROMISED


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.TIMED_OUT])
def test_a_refusal_with_a_positive_control_is_a_defence(outcome: Outcome) -> None:
    """Whether somebody says no or nothing comes back."""
    assert finding(outcome).verdict is Verdict.DEFENDED


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([], 3),
        ([finding(Outcome.BROKEN), finding(Outcome.REFUSED)], 3),
        ([finding(Outcome.BROKEN), finding(Outcome.ANSWERED)], 1),
        ([finding(Outcome.REFUSED), finding(Outcome.ANSWERED, level=IsolationLevel.L1)], 0),
    ],
)
def test_the_worst_finding_decides_the_exit_status(findings: list[Finding], status: int) -> None:
    """No finding at all proves nothing either."""
    assert exit_status(findings) == status


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (422, '{"message": "spec.foo: unknown field"}', Outcome.BROKEN),
        (403, "not JSON", Outcome.BROKEN),
        (500, '{"message": "because of an accident"}', Outcome.BROKEN),
        (403, '{"message": "because we say so"}', Outcome.REFUSED),
        (201, '{"spec": {"hostUsers": false}}', Outcome.REFUSED),
        (201, '{"spec": {"hostUsers": true}}', Outcome.ANSWERED),
    ],
)
def test_only_the_named_refuser_counts(status: int, body: str, outcome: Outcome) -> None:
    """A request that is refused for a mistake of its own, or admitted without what it was about, did not work."""
    assert evaluate_reply(CREATE, status, body).outcome is outcome


def test_the_report_shows_the_evidence_of_what_is_not_defended() -> None:
    """In the table with its positive control, in JSON for every attack."""
    findings = [finding(Outcome.REFUSED), finding(Outcome.ANSWERED)]
    table = as_table(findings, "a", "b", IsolationLevel.L3)
    assert "BREACHED" in table
    assert "positive control: answered: yes" in table
    assert "1 defended, 1 BREACHED" in table
    told = json.loads(as_json(findings, "a", "b", IsolationLevel.L3))
    assert [attack["verdict"] for attack in told["attacks"]] == ["defended", "breached"]
    assert told["exitStatus"] == 1
