"""Trace context: what is malformed is replaced, what is good goes on, and each request out has a span of its own."""

import pytest

from gateway.telemetry.trace import Trace, begun, enter, fields_of, outgoing, received, state_of

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{ID}-{SPAN}-01"


@pytest.mark.parametrize(
    "parents",
    [
        (),
        ("",),
        (GOOD, GOOD),
        (GOOD.upper(),),
        (GOOD + "-more",),
        (GOOD.replace("00-", "ff-", 1),),
        (f"00-{'0' * 32}-{SPAN}-01",),
        (f"00-{ID}-{'0' * 16}-01",),
        (f"00-{ID}-{SPAN}",),
        (f"00-{ID[:-1]}-{SPAN}-01",),
        (f"00-{ID}-{SPAN}-zz",),
        (GOOD + "\n",),
        (f"{GOOD}, {GOOD}",),
    ],
)
def test_what_is_malformed_begins_a_trace_of_our_own(parents: tuple[str, ...]) -> None:
    assert received(parents, ["a=1"]) is None
    assert begun(received(parents, ["a=1"])).trace_id != ID
    assert begun(None).state == ""


@pytest.mark.parametrize("value", [GOOD, f" {GOOD}\t", f"01-{ID}-{SPAN}-01-what-comes-later", f"cc-{ID}-{SPAN}-ff"])
def test_good_parent_keeps_its_trace_under_a_span_of_ours(value: str) -> None:
    parent = received([value], [])
    assert parent is not None
    assert (parent.trace_id, parent.span_id, parent.sampled) == (ID, SPAN, True)
    ours = begun(parent)
    assert ours.trace_id == ID
    assert ours.span_id != SPAN
    assert fields_of(ours)["traceparent"].startswith(f"00-{ID}-")


@pytest.mark.parametrize(
    "values",
    [
        ["A=1"],
        ["a"],
        ["a="],
        ["a=1,a=2"],
        ["a=\x7f"],
        ["a=1=2"],
        ["a=x\r\nx-evil: 1"],
        ["a= "],
        ["a@B=1"],
        [",".join(f"k{number}=1" for number in range(33))],
        ["a=" + "x" * 257],
        ["a=" + "x" * 250, "b=" + "x" * 250, "c=" + "x" * 250],
    ],
)
def test_malformed_state_does_not_go_on_and_takes_no_trace_with_it(values: list[str]) -> None:
    assert state_of(values) == ""
    parent = received([GOOD], values)
    assert parent is not None
    assert "tracestate" not in fields_of(begun(parent))


def test_good_state_goes_on_as_one_field() -> None:
    assert state_of(["rojo=00f067aa, ,tenant@vendor=x y", "congo=t61 "]) == "rojo=00f067aa,tenant@vendor=x y,congo=t61"


async def test_nothing_goes_out_outside_of_a_request() -> None:
    with outgoing("store") as fields:
        assert fields == {}


async def test_each_request_out_has_a_span_of_its_own() -> None:
    enter(Trace(ID, SPAN, 1, "a=1"), None)
    with outgoing("store") as first, outgoing("store") as second:
        pass
    assert first["traceparent"] != second["traceparent"]
    for fields in (first, second):
        version, trace_id, span_id, flags = fields["traceparent"].split("-")
        assert (version, trace_id, flags, fields["tracestate"]) == ("00", ID, "01", "a=1")
        assert span_id not in {SPAN, "0" * 16}
    enter(Trace(ID, SPAN), None)


def test_ids_of_new_traces_differ_and_are_never_zero() -> None:
    made = [begun(None) for _ in range(200)]
    assert len({trace.trace_id for trace in made} | {trace.span_id for trace in made}) == 400
    assert all(int(trace.trace_id, 16) and int(trace.span_id, 16) for trace in made)
