"""The pages of usage are asked for at the gateway itself, wherever its links point."""

import pytest

from client.usage import next_query


@pytest.mark.parametrize(
    ("link", "query"),
    [
        ("", None),
        ('<https://faas.test/v1/usage?group_by=user&marker=a%20b>; rel="next"', "group_by=user&marker=a+b"),
        ('<https://elsewhere.test/steal?marker=x>; rel="next"', "marker=x"),
        ('<https://faas.test/v1/usage?marker=x>; rel="prev"', None),
    ],
)
def test_only_the_query_of_a_link_is_used(link: str, query: str | None) -> None:
    assert next_query(link) == query
