"""The circuit breaker: when nobody is asked, who tries again, and what counts as an answer."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gateway.circuit import CircuitBreaker, CircuitBreakers, CircuitOpenError, CircuitRules

RULES = CircuitRules(failures=3, seconds=1)


class Silence(Exception):  # noqa: N818 - what a breaker is told to count
    """No answer."""


class Upstream:
    """One breaker, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.breaker = CircuitBreaker(RULES, Silence, clock=lambda: self.now)

    def ask(self, end: BaseException | None = None) -> str:
        try:
            with self.breaker.attempt():
                if end is not None:
                    raise end  # noqa: TRY301 - what is asked for is how it ends
        except CircuitOpenError:
            return "not asked"
        except BaseException as error:  # noqa: BLE001 - every end of a question is looked at
            return type(error).__name__
        return "answered"

    def fall_silent(self) -> None:
        for _ in range(RULES.failures):
            self.ask(Silence())


def test_nothing_is_asked_after_so_many_silences_until_the_time_is_over() -> None:
    upstream = Upstream()
    upstream.fall_silent()
    assert upstream.ask() == "not asked"
    upstream.now = 0.99
    assert upstream.ask() == "not asked"
    upstream.now = 1
    assert upstream.ask() == "answered"


def test_answer_in_between_begins_the_count_anew() -> None:
    upstream = Upstream()
    for end in (Silence(), Silence(), ValueError(), Silence(), Silence()):
        upstream.ask(end)
    assert upstream.ask() == "answered"


def test_only_one_tries_and_the_others_wait_for_what_comes_of_it() -> None:
    upstream = Upstream()
    upstream.fall_silent()
    upstream.now = 1
    with upstream.breaker.attempt():
        assert upstream.ask() == "not asked"
    assert upstream.ask() == "answered"


def test_try_without_an_answer_closes_again_at_once() -> None:
    upstream = Upstream()
    upstream.fall_silent()
    upstream.now = 1
    assert upstream.ask(Silence()) == "Silence"
    assert upstream.ask() == "not asked"
    upstream.now = 2
    assert upstream.ask() == "answered"


def test_one_who_leaves_says_nothing_of_the_other_side_and_hands_on_the_try() -> None:
    upstream = Upstream()
    for _ in range(10):
        assert upstream.ask(asyncio.CancelledError()) == "CancelledError"
    upstream.fall_silent()
    upstream.now = 1
    assert upstream.ask(asyncio.CancelledError()) == "CancelledError"
    assert upstream.ask() == "answered"


def test_late_silence_of_an_old_question_does_not_prolong_the_time() -> None:
    upstream = Upstream()
    old = upstream.breaker.attempt()
    old.__enter__()
    upstream.fall_silent()
    upstream.now = 0.9
    old.__exit__(Silence, Silence(), None)
    upstream.now = 1
    assert upstream.ask() == "answered"


@given(st.lists(st.sampled_from(["answer", "silence", "leave", "wait"]), max_size=60))
def test_whatever_happened_an_upstream_that_answers_is_asked_again_in_time(history: list[str]) -> None:
    upstream = Upstream()
    ends = {"answer": None, "silence": Silence(), "leave": asyncio.CancelledError()}
    for step in history:
        if step == "wait":
            upstream.now += 0.4
        else:
            upstream.ask(ends[step])
    upstream.now += RULES.seconds
    assert upstream.ask() == "answered"


def test_upstreams_are_told_apart_in_bounded_space() -> None:
    breakers = CircuitBreakers(RULES, Silence, entries=2)
    assert breakers.of("a") is breakers.of("a")
    assert breakers.of("a") is not breakers.of("b")
    first = breakers.of("a")
    breakers.of("b")
    breakers.of("c")
    assert breakers.of("a") is not first
