"""Conditions: what is unknown is passed over, and a time moves only with the status."""

import datetime as dt

import pytest

from tenancy.model.condition import Condition, condition_fields, conditions_in
from tenancy.model.function import FunctionConditionType
from tenancy.model.record import ConditionType

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
EARLIER = "2025-01-01T00:00:00Z"


@pytest.mark.parametrize("types", [ConditionType, FunctionConditionType])
def test_condition_of_a_newer_controller_is_passed_over(types: type[ConditionType | FunctionConditionType]) -> None:
    ready = {"type": "Ready", "status": "True", "reason": "AllReady"}
    status = {"conditions": [{"type": "Unheard", "status": "True", "reason": "X"}, {}, ready]}
    assert conditions_in(status, types) == (Condition(types("Ready"), True, "AllReady"),)


@pytest.mark.parametrize(("word", "since"), [("False", EARLIER), ("True", "2026-01-02T03:04:05Z")])
def test_time_of_the_transition_moves_with_the_status(word: str, since: str) -> None:
    before = {"conditions": [{"type": "Ready", "status": word, "lastTransitionTime": EARLIER}]}
    condition = Condition(ConditionType.READY, False, "NotReady", "wait")
    assert condition_fields(condition, before, generation=7, now=NOW) == {
        "type": "Ready",
        "status": "False",
        "reason": "NotReady",
        "message": "wait",
        "observedGeneration": 7,
        "lastTransitionTime": since,
    }


def test_message_has_a_bound() -> None:
    condition = Condition(ConditionType.READY, None, "NotReady", "x" * 100_000)
    assert len(condition_fields(condition, {}, generation=1, now=NOW)["message"]) == 2_000
