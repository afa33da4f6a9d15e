"""What was learnt not long ago: never past its time, never more than its bound."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.recent import Recent


def test_a_value_is_gone_when_its_time_is_over() -> None:
    now = 0.0
    recent: Recent[str] = Recent(10, 30, lambda: now)
    recent.keep("a", "A")
    now = 29.999
    assert recent.get("a") == "A"
    now = 30.0
    assert recent.get("a") is None


def test_a_value_that_is_kept_again_lives_on_and_is_not_the_oldest() -> None:
    now = 0.0
    recent: Recent[str] = Recent(2, 30, lambda: now)
    recent.keep("a", "A")
    recent.keep("b", "B")
    now = 20.0
    recent.keep("a", "A2")
    recent.keep("c", "C")
    now = 40.0
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == ("A2", None, "C")


def test_what_is_forgotten_is_gone() -> None:
    recent: Recent[str] = Recent(2, 30, lambda: 0.0)
    recent.keep("a", "A")
    recent.forget("a")
    recent.forget("never there")
    assert recent.get("a") is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20))), st.integers(0, 4))
def test_it_never_holds_more_than_it_may_nor_anything_stale(steps, entries) -> None:
    """Whatever is kept in whatever order: a model with times beside it says the same."""
    now = 0
    recent: Recent[int] = Recent(entries, 10, lambda: now)
    model: dict[str, int] = {}
    for key, pause in steps:
        now += pause
        recent.keep(key, now)
        model[key] = now
        assert len(recent) <= entries
        for known, since in model.items():
            found = recent.get(known)
            assert found is None or (found == since and now < since + 10)
        assert recent.get(key) == (now if entries else None)
