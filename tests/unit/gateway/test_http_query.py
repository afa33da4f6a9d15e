"""Parameters of a query: what is not known is refused, with the name that was probably meant."""

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.http.query import MAX_PARAMETERS, one_value, parse_query

KNOWN = ("algorithm", "version-id", "force")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (b"algoritm=sha256", "unknown query parameter 'algoritm' (did you mean 'algorithm'?)"),
        (b"Algorithm=sha256", "(did you mean 'algorithm'?)"),
        (b"force=1&version_id=2", "(did you mean 'version-id'?)"),
        (b"x=1", "(known: algorithm, force, version-id)"),
        (b"=1", "unknown query parameter ''"),
        (b"x" * 8000, "unknown query parameter 'xxx"),
    ],
)
def test_unknown_parameter_is_refused_with_the_one_that_was_meant(query: bytes, why: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_query(query, KNOWN)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED
    assert why in caught.value.message
    assert len(caught.value.message) < 300


def test_path_without_parameters_says_so() -> None:
    with pytest.raises(GatewayError) as caught:
        parse_query(b"algorithm=md5", ())
    assert "takes no parameters" in caught.value.message
    assert parse_query(b"", ()) == {}


@pytest.mark.parametrize("query", [b"force=%FF", b"&".join([b"force=1"] * (MAX_PARAMETERS + 1))])
def test_query_that_is_not_utf8_or_too_long_is_refused(query: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_query(query, KNOWN)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


def test_every_value_of_a_parameter_is_kept_in_order() -> None:
    query = b"algorithm=md5&force=&algorithm=adler32%2Csha"
    assert parse_query(query, KNOWN) == {"algorithm": ["md5", "adler32,sha"], "force": [""]}
    assert len(parse_query(b"&".join([b"force=1"] * MAX_PARAMETERS), KNOWN)["force"]) == MAX_PARAMETERS


def test_parameter_that_may_be_there_once_is_refused_twice() -> None:
    assert one_value({"force": ["1"]}, "force") == "1"
    assert one_value({}, "force") is None
    with pytest.raises(GatewayError):
        one_value({"force": ["1", "1"]}, "force")
