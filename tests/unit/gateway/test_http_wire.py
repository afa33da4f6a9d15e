"""The decision about bytes: total, the same however the bytes arrive, and never more than is needed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ErrorCode, GatewayError
from gateway.http.transfer_rate import MinRateMonitor
from gateway.http.wire import frame_head
from gateway.http.wire_body import ChunkedBody, SizedBody
from gateway.settings.server import RequestSettings

LIMITS = RequestSettings(head_max_bytes=4_096, target_max_bytes=1_024, field_max_bytes=2_048, head_max_fields=20)
HEAD = b"POST /v1/a?b=c HTTP/1.1\r\nHost: faas.example\r\nX-Note: a\tb \xe4\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b'5;a="b;c"\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n'
ALPHABET = [
    b"\r\n",
    b"\r",
    b"\n",
    b" ",
    b":",
    b"GET ",
    b"/",
    b" HTTP/1.1",
    b"Host: a",
    b"\x00",
    b"0",
    b"5;",
    b"a",
    b"\xff",
]


@settings(deadline=None)  # a busy machine is no failure
@given(st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(ALPHABET), max_size=30).map(b"".join)))
def test_whatever_the_bytes_they_are_awaited_refused_or_framed(data: bytes) -> None:
    try:
        framed = frame_head(data, 0, LIMITS)
    except GatewayError as error:
        assert 400 <= error.kind.status <= 501  # noqa: PT017 - any outcome is fine; the error has to be one of ours
    else:
        assert framed is None or data[: framed.consumed].endswith(b"\r\n\r\n")


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, len(HEAD) - 1))
def test_good_head_is_never_refused_before_it_is_complete(at: int) -> None:
    assert frame_head(HEAD[:at], 0, LIMITS) is None
    framed = frame_head(HEAD + b"next", at, LIMITS)
    assert framed is not None
    assert (framed.head, framed.consumed, framed.length) == (HEAD, len(HEAD), None)


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, len(HEAD) - 5), st.sampled_from([b"\n", b"\r", b"\x00", b"\x7f"]))
def test_good_head_with_a_control_character_anywhere_is_refused(at: int, byte: bytes) -> None:
    broken = HEAD[:at] + byte + HEAD[at:]
    if broken.replace(b"\r\r\n", b"\r\n") == HEAD or broken.startswith(b"\r"):
        broken = broken[:at] + b"\x00" + broken[at + 1 :]
    with pytest.raises(GatewayError):
        frame_head(broken, 0, LIMITS)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.integers(1, 7), min_size=1, max_size=80))
def test_body_ends_at_the_same_place_however_it_arrives(sizes: list[int]) -> None:
    body, held, fed, reset, done = ChunkedBody(), b"", b"", BODY + b"next", False
    for size in [*sizes, len(reset)]:
        held, reset = held + reset[:size], reset[size:]
        taken = body.take(held)
        fed, held = fed + taken.feed, held[taken.consumed :]
        if taken.done:
            done = True
            break
    assert done
    assert held + reset == b"next"
    assert fed == b'5;a="b;c"\r\nhello\r\n1\r\n!\r\n0\r\n\r\n'  # the trailer stays behind


@settings(deadline=None)  # a busy machine is no failure
@given(st.one_of(st.binary(max_size=100), st.lists(st.sampled_from(ALPHABET), max_size=20).map(b"".join)))
def test_whatever_the_chunks_they_are_taken_or_refused(data: bytes) -> None:
    try:
        taken = ChunkedBody().take(data)
    except GatewayError as error:
        assert error.kind is ErrorCode.REQUEST_MALFORMED  # noqa: PT017 - either outcome is fine
    else:
        assert 0 <= taken.consumed <= len(data)


def test_sized_body_takes_its_size_and_no_more() -> None:
    body = SizedBody(5)
    assert not body.take(b"hel").done
    last = body.take(b"lo, next")
    assert (last.feed, last.consumed, last.done) == (b"lo", 2, True)


def test_window_with_too_few_bytes_is_too_slow_and_a_rest_begins_anew() -> None:
    limits, monitor = (
        RequestSettings(head_timeout_seconds=10, transfer_window_seconds=10, transfer_min_bytes_per_second=500),
        MinRateMonitor(),
    )
    assert not monitor.is_below_minimum(0, 0, limits)
    assert not monitor.is_below_minimum(9.9, 0, limits)
    assert not monitor.is_below_minimum(10, 5_000, limits)
    assert monitor.is_below_minimum(20, 9_999, limits)
    monitor.reset()
    assert not monitor.is_below_minimum(100, 9_999, limits)
    assert not monitor.is_below_minimum(
        200,
        9_999,
        RequestSettings(head_timeout_seconds=10, transfer_window_seconds=10, transfer_min_bytes_per_second=0),
    )


def test_who_has_taken_all_that_there_was_is_not_slow_however_little_it_was() -> None:
    """A stream of a few bytes a second: at each look some of them are on their way."""
    limits, monitor = (
        RequestSettings(head_timeout_seconds=10, transfer_window_seconds=10, transfer_min_bytes_per_second=500),
        MinRateMonitor(),
    )
    assert not any(monitor.is_below_minimum(now, 150 * now - 60, limits, 150 * now) for now in range(100))
    stopped = [monitor.is_below_minimum(now, 15_000, limits, 150 * now) for now in range(100, 130)]
    assert any(stopped)
