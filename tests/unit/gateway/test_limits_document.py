"""`/v1/limits` as clients of OpenStack read it."""

import datetime as dt
import math
from typing import Any

from gateway.limits.limiter import LimitUse
from gateway.limits_api.document import limits_document
from policies.model import NO_RATE, Limits
from policies.unified_limits import LimitsInForce, LimitSource

NOW = dt.datetime(2026, 11, 24, 16, 0, 0, 500_000, tzinfo=dt.UTC)
USED = (
    LimitUse(name="concurrent_calls", value=32, usage=3, remaining=29, wait_seconds=0),
    LimitUse(name="requests_per_second", value=50, usage=37.5, remaining=25.2, wait_seconds=0),
    LimitUse(name="bytes_per_second", value=1000, usage=1200.25, remaining=0, wait_seconds=61.2),
)
USUAL = LimitsInForce(limits=Limits())


def document_of(
    used: tuple[LimitUse, ...], in_force: LimitsInForce = USUAL, *, of_record: bool = False
) -> dict[str, Any]:
    return limits_document(used, in_force, of_record=of_record, now=NOW)


def test_limits_and_usage_of_all_three() -> None:
    document = document_of(USED)
    assert document["limits"]["absolute"] == {
        "maxConcurrentCalls": 32,
        "totalConcurrentCallsUsed": 3,
        "maxRequestsPerSecond": 50,
        "totalRequestsPerSecondUsed": 37.5,
        "maxBytesPerSecond": 1000,
        "totalBytesPerSecondUsed": 1200.25,
    }
    assert document["usage"]["bytes_per_second"] == {"limit": 1000, "usage": 1200.25}


def test_rates_have_the_fields_of_novas_and_never_promise_too_early() -> None:
    calls, read = document_of(USED)["limits"]["rate"]
    assert calls["limit"] == [
        {"verb": "ANY", "value": 50, "remaining": 25, "unit": "SECOND", "next-available": "2026-11-24T16:00:00Z"}
    ]
    assert read["limit"][0]["next-available"] == "2026-11-24T16:01:02Z"
    assert {"uri", "regex"} < set(calls)


def test_what_is_not_limited_is_minus_one_and_no_rate() -> None:
    used = (
        LimitUse(name="requests_per_second", value=0, usage=0, remaining=math.inf, wait_seconds=0),
        LimitUse(name="concurrent_calls", value=0, usage=0, remaining=0, wait_seconds=0),
    )
    document = document_of(used)
    assert document["limits"]["rate"] == []
    assert document["usage"]["requests_per_second"] == {"limit": -1, "usage": 0}
    assert document["usage"]["concurrent_calls"] == {"limit": 0, "usage": 0}


def test_record_adds_the_sizes_of_the_namespace() -> None:
    absolute = document_of(USED, LimitsInForce(limits=Limits(pods=7)), of_record=True)["limits"]["absolute"]
    assert (absolute["maxPods"], absolute["maxCpuMillis"], absolute["maxMemoryMiB"]) == (7, 4000, 4096)


def test_debt_of_ages_has_a_date() -> None:
    used = (LimitUse(name="bytes_per_second", value=1, usage=1e15, remaining=0, wait_seconds=1e15),)
    assert document_of(used)["limits"]["rate"][0]["limit"][0]["next-available"] > "2050"


def test_every_number_has_its_source() -> None:
    sources = {"concurrent_calls": LimitSource.PROJECT_LIMIT, "cpu_millis": LimitSource.REGISTERED_LIMIT}
    in_force = LimitsInForce(limits=Limits(), sources=sources)
    assert document_of(USED, in_force, of_record=True)["sources"] == {
        "functions": "tenant",
        "function_concurrency": "project_limit",
        "function_requests_per_second": "tenant",
        "function_cpu_millis": "registered_limit",
        "function_memory_mib": "tenant",
        "checksum_bytes_per_second": "tenant",
    }
    assert document_of(USED)["sources"] == {
        "function_concurrency": "gateway",
        "function_requests_per_second": "gateway",
        "checksum_bytes_per_second": "gateway",
    }


def test_rate_that_allows_nothing_is_zero_and_not_unlimited() -> None:
    used = (LimitUse(name="requests_per_second", value=NO_RATE, usage=0, remaining=0, wait_seconds=60),)
    document = document_of(used)
    assert document["usage"]["requests_per_second"] == {"limit": 0, "usage": 0}
    assert document["limits"]["rate"] == []
