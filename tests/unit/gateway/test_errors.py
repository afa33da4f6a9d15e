"""How errors look on the wire, and that what is published stays."""

import json
import re
import string

import openstack.exceptions
import pytest
import requests
from keystoneauth1 import exceptions as ksa_exceptions

from gateway.errors import ErrorCode, GatewayError, error_response
from gateway.identity.outage import OutageError

REQUEST_ID = "req-00000000-0000-4000-8000-000000000000"
# Clients match on these. A new one is added here; none is ever changed or taken away.
PUBLISHED = {
    "registry.unavailable": 503,
    "function.source_rejected": 422,
    "trigger.not_found": 404,
    "trigger.rejected": 422,
    "trigger.count_exceeded": 403,
    "trigger.trust_refused": 403,
    "triggers.not_configured": 501,
    "usage.not_configured": 501,
    "usage.store_unavailable": 503,
    "access.denied_by_rule": 403,
    "admin.required": 403,
    "kubernetes.unavailable": 503,
    "registry.login_failed": 401,
    "registry.logins_exceeded": 429,
    "project.conflict": 409,
    "project.not_found": 404,
    "tenant.rejected": 422,
    "digest.mismatch": 412,
    "algorithm.unknown": 400,
    "computation.running": 504,
    "function.busy": 503,
    "function.conflict": 409,
    "function.count_exceeded": 403,
    "logs.exceeded": 429,
    "secret.not_found": 404,
    "secret.precondition": 412,
    "secret.in_use": 409,
    "secret.rejected": 422,
    "secret.count_exceeded": 403,
    "function.not_deployed": 404,
    "function.precondition": 412,
    "function.rejected": 422,
    "function.too_large": 403,
    "function.failed": 502,
    "function.timeout": 504,
    "function.unreachable": 503,
    "service.unavailable": 503,
    "internal": 500,
    "keystone.unavailable": 503,
    "method.not_allowed": 405,
    "object.denied_by_rule": 403,
    "object.changed": 409,
    "object.exists": 409,
    "object.no_capability": 403,
    "object.forbidden": 403,
    "function.not_enabled": 403,
    "function.not_found": 404,
    "function.not_running": 503,
    "function.quota_exceeded": 429,
    "request.body_too_large": 413,
    "request.media_type": 415,
    "version.not_acceptable": 406,
    "directory.unavailable": 503,
    "object.no_ec2_credential": 403,
    "object.not_found": 404,
    "object.unsupported": 422,
    "concurrency.exceeded": 429,
    "rate.exceeded": 429,
    "bulk.exceeded": 429,
    "bytes.exceeded": 429,
    "object.truncated": 502,
    "expectation.failed": 417,
    "request.head_too_large": 431,
    "request.malformed": 400,
    "request.target_too_long": 414,
    "request.timeout": 408,
    "request.transfer_coding": 501,
    "role.missing": 403,
    "route.not_found": 404,
    "service.not_listed": 403,
    "store.unavailable": 503,
    "tenant.not_onboarded": 403,
    "tenant.suspended": 403,
    "token.ambiguous": 400,
    "token.invalid": 401,
    "token.missing": 401,
    "token.wrong_scope": 403,
    "operation.not_configured": 501,
    "operation.store_unavailable": 503,
    "operation.not_found": 404,
    "operation.unfinished": 409,
    "operation.without_result": 409,
    "operation.conflict": 409,
    "operation.queue_full": 429,
    "operation.body_too_large": 413,
    "operation.result_too_large": 502,
    "operation.storage_refused": 403,
    "operation.body_changed": 409,
    "operation.result_not_stored": 502,
    "operation.result_changed": 410,
    "object.quota_exceeded": 413,
    "operation.no_delegation": 403,
    "operation.authority_lost": 403,
    "operation.outcome_unknown": 502,
    "operation.worker_lost": 502,
    "operation.unreachable": 502,
    "object.corrupt": 502,
    "sweep.dump_rejected": 422,
    "sweep.results_changed": 409,
    "idempotency.running": 409,
    "idempotency.conflict": 422,
    "callback.rejected": 400,
}


def example(kind: ErrorCode) -> GatewayError:
    words = {name: 7 for _, name, _, _ in string.Formatter().parse(kind.value.sentence) if name}
    return GatewayError(kind, **words)


def as_requests(error: GatewayError, *, method: str = "GET") -> requests.Response:
    """The answer as keystoneauth's and openstacksdk's HTTP library has it."""
    answer = error_response(error, request_id=REQUEST_ID)
    response = requests.Response()
    response.status_code = answer.status_code
    response._content = bytes(answer.body)
    response.headers.update({**answer.headers, "x-openstack-request-id": REQUEST_ID})
    response.url = "http://faas.test/v1/"
    response.request = requests.Request(method, response.url).prepare()
    return response


def test_published_codes_are_frozen() -> None:
    assert {kind.code: kind.status for kind in ErrorCode} == PUBLISHED


def test_each_code_is_published_once() -> None:
    # An Enum makes an alias of an equal value, silently: names have to be as many as codes.
    assert len({kind.code for kind in ErrorCode}) == len(ErrorCode.__members__) == len(PUBLISHED)


@pytest.mark.parametrize("kind", ErrorCode)
def test_sentence_survives_keystoneauth(kind: ErrorCode) -> None:
    error = example(kind)
    seen = ksa_exceptions.http.from_response(as_requests(error), "GET", "http://faas.test/v1/")
    assert seen.http_status == kind.status
    assert error.message in str(seen)
    assert seen.request_id == REQUEST_ID


@pytest.mark.parametrize("kind", ErrorCode)
def test_sentence_survives_openstacksdk_and_is_shown_once(kind: ErrorCode) -> None:
    error = example(kind)
    with pytest.raises(openstack.exceptions.HttpException) as caught:
        openstack.exceptions.raise_from_response(as_requests(error))
    assert str(caught.value).count(error.message) == 1
    assert caught.value.status_code == kind.status


@pytest.mark.parametrize("kind", ErrorCode)
def test_sentence_has_no_hole_and_ends(kind: ErrorCode) -> None:
    message = example(kind).message
    assert "{" not in message
    assert message.endswith(".") or "{" in kind.value.sentence


def test_body_has_both_shapes_and_the_request_id() -> None:
    answer = error_response(example(ErrorCode.ROUTE_NOT_FOUND), request_id=REQUEST_ID)
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == {
        "error": {"code": 404, "title": "Not Found", "message": ErrorCode.ROUTE_NOT_FOUND.value.sentence},
        "errors": [
            {
                "request_id": REQUEST_ID,
                "code": "route.not_found",
                "status": 404,
                "title": "Not Found",
                "detail": ErrorCode.ROUTE_NOT_FOUND.value.sentence,
            }
        ],
    }


def test_storage_clients_get_one_sentence_of_plain_text() -> None:
    error = example(ErrorCode.OBJECT_CHANGED)
    answer = error_response(error, request_id=REQUEST_ID, plain=True)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert bytes(answer.body).decode() == error.message + "\n"
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("kind", ErrorCode)
def test_retry_after_is_whole_seconds_and_only_where_coming_back_can_help(kind: ErrorCode) -> None:
    field = error_response(example(kind), request_id=REQUEST_ID).headers.get("retry-after")
    assert (field is not None) == (kind.value.retry_after_seconds is not None)
    assert field is None or field.isdigit()
    if kind.status in {429, 503}:
        assert field


def test_retry_after_of_this_error_beats_that_of_its_kind() -> None:
    error = GatewayError(ErrorCode.KEYSTONE_UNAVAILABLE, retry_after_seconds=42)
    assert error_response(error, request_id=REQUEST_ID).headers["retry-after"] == "42"


def test_braces_in_words_are_not_filled_again() -> None:
    error = GatewayError(ErrorCode.REQUEST_MALFORMED, why="{kind} {0} {why.__class__}")
    assert error.message == "The request is malformed: {kind} {0} {why.__class__}."


def test_remembered_error_says_the_same_again() -> None:
    first = GatewayError(ErrorCode.TOKEN_WRONG_SCOPE, scope="unscoped")
    again = GatewayError.of(first.kind, first.words)
    assert again is not first
    assert again.message == first.message


def test_an_error_cannot_be_changed_because_several_callers_may_have_it() -> None:
    """Whoever wants another field takes a copy, which has everything else of the first, the cause too."""
    first = GatewayError(ErrorCode.RATE_EXCEEDED, retry_after_seconds=7, whose="project p", limit=3)
    first.__cause__ = cause = ValueError("why")
    given = {"Allow": "GET"}
    assert GatewayError(ErrorCode.METHOD_NOT_ALLOWED, headers=given, method="PUT").headers is not given
    with pytest.raises(TypeError):
        first.headers["Connection"] = "close"  # type: ignore[index]
    with pytest.raises(TypeError):
        first.words["limit"] = 4  # type: ignore[index]

    second = first.with_headers({"Connection": "close"})

    assert second is not first
    assert (dict(first.headers), dict(second.headers)) == ({}, {"Connection": "close"})
    assert (second.kind, second.words, second.message) == (first.kind, first.words, first.message)
    assert (second.retry_after_seconds, second.__cause__, second.args) == (7, cause, first.args)


def test_a_copy_of_an_outage_is_an_outage() -> None:
    assert isinstance(OutageError(retry_after_seconds=3).with_headers({"A": "b"}), OutageError)


def test_codes_are_a_subject_and_its_problem_and_no_two_are_the_same() -> None:
    assert len(ErrorCode.__members__) == len(list(ErrorCode)), "two members with one value are one member"
    for code in (kind.code for kind in ErrorCode if kind is not ErrorCode.INTERNAL):
        subject, _, problem = code.partition(".")
        assert re.fullmatch(r"[a-z]+\.[a-z0-9_]+", code), code
        assert subject not in problem.split("_"), code
