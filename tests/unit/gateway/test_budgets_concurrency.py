"""How many computations a project may have at once."""

import pytest

from gateway.budgets.concurrency import ComputationBudget
from gateway.errors import GatewayError, Kind
from policies.names import ProjectId

A, B = ProjectId("a"), ProjectId("b")


def full(budget: ComputationBudget, project: ProjectId) -> bool:
    try:
        with budget.slot(project):
            return False
    except GatewayError:
        return True


def test_one_more_than_the_limit_is_refused_and_told_why() -> None:
    budget = ComputationBudget(2)
    with budget.slot(A), budget.slot(A), pytest.raises(GatewayError) as caught:
        budget.slot(A).__enter__()
    assert caught.value.kind is Kind.TOO_MANY_AT_ONCE
    assert caught.value.kind.status == 429
    assert "Project a already has 2" in caught.value.message


def test_refusal_takes_no_place() -> None:
    budget = ComputationBudget(1)
    with budget.slot(A):
        assert full(budget, A)
        assert full(budget, A)
    assert not full(budget, A)


def test_one_project_does_not_use_up_the_places_of_another() -> None:
    budget = ComputationBudget(1)
    with budget.slot(A):
        assert not full(budget, B)


def test_place_is_given_back_when_the_computation_fails() -> None:
    budget = ComputationBudget(1)
    for _ in range(3):
        with pytest.raises(LookupError), budget.slot(A):
            raise LookupError


def test_projects_that_have_nothing_running_take_no_memory() -> None:
    budget = ComputationBudget(1)
    for number in range(100):
        with budget.slot(ProjectId(str(number))):
            pass
    assert not budget._running
