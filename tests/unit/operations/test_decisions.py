"""What becomes of an operation after an attempt."""

import pytest

from gateway.errors import ErrorCode, GatewayError
from operations.decisions import (
    Finish,
    Postpone,
    after_answer,
    after_body,
    after_failure,
    after_unkept_result,
    delay_seconds,
    is_token_rejected,
)
from operations.store.model import Claim, Request, Result, State, StoredObject


def claim(*, repeatable: bool = False, attempts: int = 1) -> Claim:
    return Claim(
        id="i",
        project_id="p",
        user_id="u",
        kind="invoke",
        subject="s",
        fence=1,
        attempts=attempts,
        repeatable=repeatable,
        age_ms=0,
        remaining_ms=1,
        retention_ms=1,
        request=Request(method="POST", target=b"/", fields=(), body=b""),
        trust_id="t",
    )


def answer(status: int, error: str | None = None, retry_after: bytes | None = None) -> Result:
    fields = [(b"osfaas-error", error.encode())] if error else []
    fields += [(b"retry-after", retry_after)] if retry_after else []
    return Result(status=status, fields=tuple(fields), body=b"")


@pytest.mark.parametrize("status", [200, 202, 204, 304])
def test_success_ends_it(status: int) -> None:
    assert after_answer(claim(), answer(status), max_attempts=5) == Finish(state=State.SUCCEEDED, result=answer(status))


@pytest.mark.parametrize("error", ["concurrency.exceeded", "rate.exceeded", "bytes.exceeded", "bulk.exceeded"])
@pytest.mark.parametrize("attempts", [1, 99])
def test_project_without_a_free_slot_pauses_and_the_attempt_does_not_count(error: str, attempts: int) -> None:
    found = after_answer(claim(attempts=attempts), answer(429, error, b"7"), max_attempts=5)
    assert found == Postpone(delay_seconds=7, counted=False, whole_project=True)


def test_function_cannot_pretend_that_it_was_not_called() -> None:
    """Its answer has no `Osfaas-Error`, whatever its body says."""
    found = after_answer(claim(), answer(429, None, b"7"), max_attempts=5)
    assert isinstance(found, Finish)
    assert found.state is State.FAILED


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_only_what_is_repeatable_is_repeated(status: int) -> None:
    assert isinstance(after_answer(claim(repeatable=True), answer(status), max_attempts=5), Postpone)
    assert isinstance(after_answer(claim(repeatable=False), answer(status), max_attempts=5), Finish)
    assert isinstance(after_answer(claim(repeatable=True, attempts=5), answer(status), max_attempts=5), Finish)


def test_refusal_before_the_function_is_repeated_for_every_method() -> None:
    assert isinstance(after_answer(claim(), answer(503, "keystone.unavailable"), max_attempts=5), Postpone)
    assert isinstance(after_answer(claim(), answer(503, "function.unreachable"), max_attempts=5), Finish)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_refusal_is_the_answer(status: int) -> None:
    found = after_answer(claim(repeatable=True), answer(status), max_attempts=5)
    assert found == Finish(state=State.FAILED, result=answer(status), failure=found.failure)


def test_retry_after_is_obeyed_and_bounded() -> None:
    for said, least, most in ((b"50", 50, 50), (b"999999999", 3600, 3600), (b"soon", 0.5, 2)):
        found = after_answer(claim(repeatable=True), answer(503, None, said), max_attempts=5)
        assert isinstance(found, Postpone)
        assert least <= found.delay_seconds <= most


def test_what_may_have_been_executed_is_not_repeated() -> None:
    found = after_failure(claim(), "gone", sent=True, max_attempts=5)
    assert isinstance(found, Finish)
    assert found.failure is not None
    assert found.failure.code == "operation.outcome_unknown"
    assert isinstance(after_failure(claim(), "gone", sent=False, max_attempts=5), Postpone)
    assert isinstance(after_failure(claim(repeatable=True), "gone", sent=True, max_attempts=5), Postpone)
    assert isinstance(after_failure(claim(repeatable=True, attempts=5), "x", sent=True, max_attempts=5), Finish)


def test_delays_grow_differ_and_end_growing() -> None:
    assert all(1 <= delay_seconds(1) <= 2 for _ in range(100))
    assert len({delay_seconds(3) for _ in range(10)}) > 1
    assert delay_seconds(1000) <= 300


def test_rejected_token_is_told_from_a_functions_401() -> None:
    assert is_token_rejected(answer(401, "token.invalid"))
    assert not is_token_rejected(answer(401))


STORED = StoredObject(container="c", name="i/request", etag="e", size=300_000)


@pytest.mark.parametrize("kind", [ErrorCode.STORE_UNAVAILABLE, ErrorCode.KEYSTONE_UNAVAILABLE, ErrorCode.TOKEN_INVALID])
def test_body_that_the_store_does_not_give_now_is_asked_for_again(kind: ErrorCode) -> None:
    """Nothing was sent, so this is true of every method."""
    assert isinstance(after_body(claim(), STORED, GatewayError(kind), max_attempts=5), Postpone)
    assert isinstance(after_body(claim(attempts=5), STORED, GatewayError(kind), max_attempts=5), Finish)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ErrorCode.OBJECT_CHANGED, "operation.body_changed"),
        (ErrorCode.OBJECT_FORBIDDEN, "operation.storage_refused"),
        (ErrorCode.OBJECT_DENIED_BY_RULE, "operation.storage_refused"),
    ],
)
def test_body_that_is_lost_ends_the_operation(kind: ErrorCode, code: str) -> None:
    found = after_body(claim(repeatable=True), STORED, GatewayError(kind), max_attempts=5)
    assert isinstance(found, Finish)
    assert found.failure is not None
    assert (found.state, found.failure.code) == (State.FAILED, code)


def test_answer_that_the_store_does_not_take_is_asked_for_again_only_if_that_is_allowed() -> None:
    outage, refusal = GatewayError(ErrorCode.STORE_UNAVAILABLE), GatewayError(ErrorCode.OBJECT_QUOTA_EXCEEDED)
    assert isinstance(after_unkept_result(claim(repeatable=True), "c", outage, max_attempts=5), Postpone)
    for error, repeatable in ((outage, False), (refusal, True), (refusal, False)):
        found = after_unkept_result(claim(repeatable=repeatable), "c", error, max_attempts=5)
        assert isinstance(found, Finish)
        assert found.failure is not None
        assert found.failure.code == "operation.result_not_stored"
