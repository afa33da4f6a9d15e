"""Pages of operations and sweeps: their length, their marker, and the link to the next one."""

from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.operations.answering import next_links, page_limit, parse_marker

LAST = "01a2299c-1524-77bb-a923-ad5a4b07e11f"


@pytest.mark.parametrize("given", ["", "0", "1001", "-1", "x", "1e2", "\u0661", "9" * 5_000])
def test_length_of_a_page_is_a_number_within_bounds(given: str) -> None:
    with pytest.raises(GatewayError) as caught:
        page_limit(given)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


@pytest.mark.parametrize("given", ["", LAST.upper(), f"{LAST}'", LAST[:-1]])
def test_marker_is_an_id(given: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_marker(given)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


def test_next_page_has_the_same_filters() -> None:
    """Otherwise it would list operations that were not asked for."""
    given = {"state": ["failed", "expired"], "subject": ["a b&c/ü"], "marker": ["older"], "limit": ["2"]}
    (link,) = next_links("/v1/operations", given, limit=2, last=LAST)
    parts = urlsplit(link["href"])
    assert (link["rel"], parts.path) == ("next", "/v1/operations")
    assert parse_qs(parts.query) == {**given, "marker": [LAST]}
    assert link["href"].isascii()
