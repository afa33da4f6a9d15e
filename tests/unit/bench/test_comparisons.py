"""How figures become ratios and verdicts; a wrong sum here would make every table wrong."""

import os
import time

import pytest

from tests.bench.chart import achievement, chart
from tests.bench.measure import Comparison, Goal, Pairs, cpu_seconds, run_command
from tests.bench.report import comparisons_of, document, table


def compared(ours: list[float], theirs: list[float], goal: Goal | None) -> Comparison:
    return Comparison("P0", "what", "µs", ours, {"peer": theirs, "second": [1.0] * len(theirs)}, goal)


@pytest.mark.parametrize(
    ("goal", "ours", "theirs", "met"),
    [
        (Goal(2.0), 21, 10, False),
        (Goal(2.0), 20, 10, True),
        (Goal(2.0, at_least=True), 19, 10, False),
        (Goal(2.0, at_least=True), 20, 10, True),
        (Goal(8, of_ratio=False), 9, 100, False),
        (Goal(8, of_ratio=False), 8, 1, True),
        (Goal(8, of_ratio=False), 0, 1, True),
    ],
)
def test_goal_is_met_or_not(goal: Goal, ours: float, theirs: float, met: bool) -> None:
    comparison = compared([ours], [theirs], goal)
    assert comparison.met is met
    assert (achievement(comparison) >= 1) is met
    assert ("NOT MET" in table([comparison])) is not met


def test_ratio_is_of_pairs_so_a_load_that_comes_and_goes_does_not_count() -> None:
    assert compared([10, 100, 11], [5, 50, 5.5], None).ratio == 2


def test_subjects_take_turns() -> None:
    order: list[str] = []

    def subject(name: str) -> float:
        order.append(name)
        return len(order)

    figures = Pairs(2).measure(a=lambda: subject("a"), b=lambda: subject("b"))
    assert order == ["a", "b", "a", "b"]
    assert figures == {"a": [1, 3], "b": [2, 4]}


def test_cpu_time_of_another_process_is_that_which_it_used() -> None:
    """Sleeping costs nothing, counting does."""
    idle = run_command(["sleep", "0.2"])
    assert idle.cpu_seconds < idle.seconds
    before, own = cpu_seconds(os.getpid()), time.process_time()
    sum(range(2_000_000))
    assert cpu_seconds(os.getpid()) - before == pytest.approx(time.process_time() - own, rel=0.2)


def test_a_program_that_fails_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match="status 1"):
        run_command(["false"])


def test_what_is_written_can_be_read_back_and_drawn() -> None:
    comparisons = [compared([1, 2], [3, 4], Goal(3.0)), compared([1], [2], None)]
    back = comparisons_of(document(comparisons, effort={"runs": 2}))
    assert table(back) == table(comparisons)
    assert chart(back).count("<rect") == 2
