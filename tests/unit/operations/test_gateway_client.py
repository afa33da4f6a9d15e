"""What a worker keeps of an answer: nothing about its own request."""

import pytest

from operations.gateway_client import _kept


@pytest.mark.parametrize(
    "name",
    [
        "Access-Control-Allow-Origin",
        "Access-Control-Expose-Headers",
        "RateLimit",
        "X-Openstack-Request-Id",
    ],
)
def test_field_about_the_workers_own_request_is_not_kept(name: str) -> None:
    """The result is read by another request, which may come from another page."""
    field, kept = (name.lower().encode("ascii"), b"https://page.example"), (b"content-type", b"text/plain")
    assert _kept((field, kept)) == (kept,)
