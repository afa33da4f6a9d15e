"""Where the waiting went, as far as it can be known."""

import pytest

from gateway.upstream.timing import phases, server_timing


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(None, {"function": 2.0}, id="nothing-said"),
        pytest.param("process;dur=1", {"function": 2.0}, id="no-work-said"),
        pytest.param("function;dur=2500", {"function": 2.0}, id="more-work-than-time"),
        pytest.param("function;dur=-1", {"function": 2.0}, id="negative"),
        pytest.param("function;dur=1e9", {"function": 2.0}, id="not-a-plain-number"),
        pytest.param("function;dur=500", {"reach": 1.5, "function": 0.5}, id="age-unsaid"),
        pytest.param("process;dur=90000, function;dur=500", {"reach": 1.5, "function": 0.5}, id="older-than-the-call"),
        pytest.param("process;dur=1501, function;dur=500", {"reach": 1.5, "function": 0.5}, id="just-older"),
        pytest.param("process;dur=800, function;dur=500", {"coldstart": 1.5, "function": 0.5}, id="younger"),
        pytest.param("x;desc=y, function;dur=500 ,process;dur=3", {"coldstart": 1.5, "function": 0.5}, id="others"),
    ],
)
def test_cold_start_is_what_a_younger_process_proves(said: str | None, expected: dict[str, float]) -> None:
    assert phases(2.0, said) == pytest.approx(expected)


def test_field_is_in_milliseconds() -> None:
    assert server_timing({"identity": 0.0015, "coldstart": 1.25}) == "identity;dur=1.5, coldstart;dur=1250.0"
