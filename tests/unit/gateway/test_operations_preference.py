"""What a caller asks for with `Prefer: respond-async`, and what of its request is stored."""

from dataclasses import replace

import pytest

from gateway.errors import GatewayError
from gateway.http.head import RequestHead
from gateway.operations.preference import AsyncPreference, async_preference
from gateway.operations.request import fingerprint_of, request_to_store


def head(*fields: tuple[str, str], method: str = "POST") -> RequestHead:
    return RequestHead(
        method, b"/v1/invoke/f/x", b"a=b", tuple((name.encode(), value.encode()) for name, value in fields)
    )


@pytest.mark.parametrize("value", ["handling=strict", "wait=5", "x-respond-async", 'return="respond-async"', ""])
def test_other_preferences_are_none_of_ours(value: str) -> None:
    assert async_preference(head(("prefer", value))) is None
    assert async_preference(head()) is None


@pytest.mark.parametrize(
    ("value", "wait", "rest"),
    [
        ("respond-async", 0, None),
        ("Respond-Async, wait=10", 10, None),
        ("wait=10,respond-async,wait=20", 10, None),
        ("handling=strict, respond-async, return=minimal", 0, "handling=strict, return=minimal"),
        ('respond-async; x=y, wait="7"', 7, None),
    ],
)
def test_preference_is_read_and_the_rest_is_the_functions(value: str, wait: int, rest: str | None) -> None:
    assert async_preference(head(("prefer", value))) == AsyncPreference(wait_seconds=wait, rest=rest)


@pytest.mark.parametrize(
    "field",
    [
        ("idempotency-key", ""),
        ("idempotency-key", "x" * 256),
        ("idempotency-key", "a b"),
        ("result-retention", "1.5"),
        ("result-retention", ""),
    ],
)
def test_malformed_fields_are_rejected(field: tuple[str, str]) -> None:
    with pytest.raises(GatewayError):
        async_preference(head(("prefer", "respond-async"), field))
    with pytest.raises(GatewayError):
        async_preference(head(("prefer", "respond-async, wait=soon")))
    with pytest.raises(GatewayError):
        async_preference(
            head(("prefer", "respond-async"), ("x-callback-url", "https://a.org"), ("x-callback-url", "b"))
        )


def test_key_may_be_quoted() -> None:
    found = async_preference(head(("prefer", "respond-async"), ("idempotency-key", '"k-1"')))
    assert found is not None
    assert found.idempotency_key == "k-1"


def test_no_credential_and_nothing_about_the_connection_is_stored() -> None:
    given = head(
        ("x-auth-token", "t"), ("authorization", "Bearer t"), ("cookie", "c"), ("x-storage-token", "t"),
        ("x-subject-token", "t"), ("connection", "close, x-mine"), ("x-mine", "1"), ("host", "h"),
        ("expect", "100-continue"),
        ("content-length", "1"), ("transfer-encoding", "chunked"), ("prefer", "respond-async"), ("x-user-id", "admin"),
        ("proxy-authorization", "p"), ("content-type", "a/b"), ("idempotency-key", "k"), ("x-other", "2"),
    )  # fmt: skip
    stored = request_to_store(given, b"body", AsyncPreference(rest="handling=strict"))
    assert stored.fields == (
        (b"content-type", b"a/b"),
        (b"idempotency-key", b"k"),
        (b"x-other", b"2"),
        (b"prefer", b"handling=strict"),
    )
    assert (stored.method, stored.target, stored.body) == ("POST", b"/v1/invoke/f/x?a=b", b"body")


def test_fingerprint_tells_requests_apart() -> None:
    def of(body: bytes = b"x", method: str = "POST", **fields: str) -> str:
        given = head(*((name.replace("_", "-"), value) for name, value in fields.items()), method=method)
        return fingerprint_of(request_to_store(given, body, AsyncPreference()))

    assert of() == of() == of(x_trace="1")
    assert len({of(), of(b"y"), of(method="PUT"), of(content_type="a/b")}) == 4


def test_fingerprint_of_a_long_body_is_that_of_its_digest() -> None:
    """And no body in memory has the same, not even one that is the digest."""
    request = request_to_store(head(), b"", AsyncPreference())
    found = {fingerprint_of(request, digest) for digest in ("ab", "ab", "cd")}
    short = {fingerprint_of(replace(request, body=body)) for body in (b"ab", b"cd", b"", b"ab6:sha256")}
    assert (len(found), len(short)) == (2, 4)
    assert not found & short
