"""What a response says of the limits: a statement that holds for the token bucket behind it."""

import math

import pytest

from gateway.http.context import context_of
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.limit_use import LimitUse, ratelimit_fields
from gateway.limits.token_bucket import Level, Rate, seconds_until_full, usage
from gateway.settings.server import RequestSettings

CALLS = LimitUse(name="requests_per_second", value=100, usage=3.0, remaining=97.9, capacity=100.0, reset_seconds=0.03)
SLOTS = LimitUse(name="concurrent_calls", value=32, usage=1, remaining=31, capacity=32.0)


@pytest.mark.parametrize(
    "use",
    [
        LimitUse(name="requests_per_second", value=0, usage=0, remaining=math.inf),
        LimitUse(name="concurrent_calls", value=0, usage=0, remaining=0, capacity=0.0),
    ],
)
def test_limit_that_is_not_set_is_not_shown(use: LimitUse) -> None:
    assert ratelimit_fields([use]) == []


def test_no_limits_are_no_fields() -> None:
    assert ratelimit_fields([]) == []


def test_each_limit_is_shown_with_its_unit() -> None:
    owed = LimitUse(
        name="bytes_per_second", value=10, usage=99, remaining=0, wait_seconds=9, capacity=20.0, reset_seconds=19.8
    )
    assert ratelimit_fields([CALLS, SLOTS, owed]) == [
        (
            b"ratelimit-policy",
            (
                b'"requests_per_second";q=100;w=1, "concurrent_calls";q=32;qu="concurrent-requests", '
                b'"bytes_per_second";q=20;w=2;qu="content-bytes"'
            ),
        ),
        (b"ratelimit", b'"requests_per_second";r=97;t=1, "concurrent_calls";r=31, "bytes_per_second";r=0;t=20'),
    ]


@pytest.mark.parametrize("taken", [0.0, 1.0, 30.0, 100.0, 400.0])
def test_bucket_is_full_after_the_seconds_that_are_shown_and_not_before(taken: float) -> None:
    rate = Rate(per_second=10, burst_seconds=3)
    level = Level(amount=rate.capacity - taken, at=0)
    seconds = seconds_until_full(usage(level.amount, rate), rate)
    assert level.later(rate, seconds + 0.01).amount == rate.capacity
    assert level.later(rate, seconds - 0.01).amount < rate.capacity or not taken


@pytest.mark.parametrize("status", [200, 429])
async def test_response_to_a_counted_call_has_the_fields_whatever_its_status(status: int) -> None:
    async def counted(scope, receive, send):  # type: ignore[no-untyped-def]
        context_of(scope).limits["requests_per_second"] = CALLS
        await send({"type": "http.response.start", "status": status, "headers": []})

    sent = []

    async def send(message):  # type: ignore[no-untyped-def]
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/",
        "query_string": b"",
        "http_version": "1.1",
        "headers": [(b"host", b"faas.test")],
    }
    layer = RequestMiddleware(counted, RequestSettings(head_max_bytes=4_096, head_max_fields=20), Metrics())
    await layer(scope, None, send)  # type: ignore[arg-type]
    assert dict(sent[0]["headers"])[b"ratelimit"] == b'"requests_per_second";r=97;t=1'
