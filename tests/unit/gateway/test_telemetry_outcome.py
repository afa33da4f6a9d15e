"""What came of a request, and whose doing it was."""

import pytest

from gateway.errors import ErrorCode
from gateway.telemetry.outcome import Outcome, outcome_of


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        (499, "caller.gone", "gone"),
        (200, "reply.truncated", "function"),
        (500, ErrorCode.INTERNAL.code, "fault"),
        (503, ErrorCode.KEYSTONE_UNAVAILABLE.code, "backend"),
        (503, ErrorCode.STORE_UNAVAILABLE.code, "backend"),
        (502, ErrorCode.FUNCTION_FAILED.code, "function"),
        (500, None, "function"),
        (429, ErrorCode.RATE_EXCEEDED.code, "limited"),
        (429, ErrorCode.CONCURRENCY_EXCEEDED.code, "limited"),
        (429, None, "refused"),
        (404, ErrorCode.OBJECT_NOT_FOUND.code, "refused"),
        (200, None, "answered"),
        (101, None, "answered"),
        (101, "reply.truncated", "function"),
        (101, ErrorCode.TOKEN_INVALID.code, "refused"),
        (200, ErrorCode.TENANT_SUSPENDED.code, "refused"),
        (304, None, "answered"),
    ],
)
def test_outcome_names_whose_doing_it_was(status: int, error: str | None, outcome: str) -> None:
    assert outcome_of(status, error) == outcome


def test_every_error_has_an_outcome_that_is_no_answer() -> None:
    assert all(outcome_of(kind.status, kind.code) is not Outcome.ANSWERED for kind in ErrorCode)
