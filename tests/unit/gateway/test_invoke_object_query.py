"""The objects in a query, and what is left of it for the function; for any bytes that a head may have."""

from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.compute.bindings import Binding, Bindings
from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.invoke.object_query import MAX_NAMES_BYTES, objects_in
from gateway.objects.model import ObjectRef


def head(query: str, method: str = "POST") -> RequestHead:
    return RequestHead(method, b"/v1/invoke/f", query.encode("ascii"), ())


def found(query: str) -> tuple[Bindings, bytes]:
    result = objects_in(head(query), most=8)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("input=", "container"),
        ("input=c", "object"),
        ("input=c/", "object"),
        ("input=/o", "container"),
        ("input=../o", "container"),
        ("input=%FF/o", "UTF-8"),
        ("input=Name:c/o", "name before the colon"),
        ("input=:c/o", "name before the colon"),
        ("input=a%0D%0Ab:c/o", "name before the colon"),
        ("input=a:c/o&input=a:c/p", "have the name 'a'"),
        ("input=c/o&input=1:c/p", "name before the colon"),
        ("output=c/o&output=c/o", "named twice"),
        ("output=a:c/o&output=b:c/%6F", "named twice"),
        ("input=c/o&output=c/o", "also an input"),
        ("input=c/o&overwrite=yes", "overwrite"),
        ("input=c/o&overwrite=true&overwrite=true", "overwrite"),
        ("input=c/o&" * 8 + "output=c/p", "8 is the maximum"),
    ],
)
def test_names_that_mean_nothing_or_two_things_are_rejected(query: str, why: str) -> None:
    with pytest.raises(GatewayError) as caught:
        objects_in(head(query), most=8)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED
    assert why in caught.value.message


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_name_no_objects(method: str) -> None:
    """A call that is repeated after a failure would meet its own output."""
    with pytest.raises(GatewayError, match="POST"):
        objects_in(head("input=c/o", method), most=8)
    assert objects_in(head("a=b", method), most=8) is None


def test_long_names_are_bounded_by_their_length_in_a_url() -> None:
    each = "/".join(["ü" * 10] * 24)
    many = "&".join(f"input=c{number}/{quote(each)}" for number in range(8))
    assert len(quote(each)) * 8 > MAX_NAMES_BYTES
    with pytest.raises(GatewayError) as caught:
        objects_in(head(many), most=8)
    assert caught.value.kind is ErrorCode.REQUEST_HEAD_TOO_LARGE


def test_maximum_of_zero_turns_it_off() -> None:
    with pytest.raises(GatewayError, match="0 is the maximum"):
        objects_in(head("input=c/o"), most=0)


@pytest.mark.parametrize(
    "query", ["", "a=b", "inputs=c/o", "Input=c/o", "overwrite=true", "a=input=c/o", "input%5B%5D=c/o"]
)
def test_query_without_objects_is_the_functions_as_it_is(query: str) -> None:
    assert objects_in(head(query), most=8) is None


@pytest.mark.parametrize(
    ("query", "bindings", "rest"),
    [
        ("input=c/o", Bindings(inputs=(Binding("1", ObjectRef("c", "o")),)), b""),
        ("input=c/a/b%2Fc+d", Bindings(inputs=(Binding("1", ObjectRef("c", "a/b/c d")),)), b""),
        ("in%70ut=a%3Ac%2Fo", Bindings(inputs=(Binding("a", ObjectRef("c", "o")),)), b""),
        ("input=a:b:c/o:p", Bindings(inputs=(Binding("a", ObjectRef("b:c", "o:p")),)), b""),
        (
            "w=1&output=small:c/p&input=c/o&&h=%2f&overwrite=true&input=c/q",
            Bindings(
                inputs=(Binding("1", ObjectRef("c", "o")), Binding("2", ObjectRef("c", "q"))),
                outputs=(Binding("small", ObjectRef("c", "p")),),
                overwrite=True,
            ),
            b"w=1&&h=%2f",
        ),
    ],
)
def test_objects_are_taken_out_and_the_rest_stays_as_it_was_sent(query: str, bindings: Bindings, rest: bytes) -> None:
    assert found(query) == (bindings, rest)


_words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@given(st.lists(st.tuples(_words, _words), max_size=4), _words.filter(lambda word: not {"/", ":"} & set(word)), _words)
def test_function_never_sees_a_parameter_of_the_gateways(
    others: list[tuple[str, str]], container: str, name: str
) -> None:
    """As any server decodes it."""
    if container in {".", ".."}:
        return
    pairs = [*others, ("input", f"x:{container}/{name}")]
    query = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in pairs)
    try:
        bindings, rest = found(query)
    except GatewayError:
        assert {"input", "output", "overwrite"} & {key for key, _ in others}
        return
    assert Binding("x", ObjectRef(container, name)) in bindings.inputs
    left = parse_qsl(rest.decode("ascii"), keep_blank_values=True)
    assert left == [pair for pair in others if pair[0] not in {"input", "output", "overwrite"}]
