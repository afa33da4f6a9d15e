"""What is authorised is what is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.invoke.target import target_of


def head(path: bytes, query: bytes = b"") -> RequestHead:
    return RequestHead("GET", path, query, ())


_SEGMENTS = st.sampled_from(
    [b"a", b".", b"..", b"%2e", b"%2E.", b"..;", b"%2f", b"%5C", b"", b"%20", b"%252e", b"...", b"a;b"]
)


@given(st.lists(_SEGMENTS, max_size=6), st.sampled_from([b"", b"x=1", b"/../"]))
def test_target_is_the_rest_of_the_path_or_nothing(segments: list[bytes], query: bytes) -> None:
    rest = b"/" + b"/".join(segments)
    try:
        target = target_of(head(b"/v1/invoke/f" + rest, query))
    except GatewayError:
        resolved = rest.lower().replace(b"%2e", b".")
        dots = [segment for segment in resolved.split(b"/") if segment.split(b";")[0] in {b".", b".."}]
        assert dots or b"%2f" in resolved or b"%5c" in resolved
    else:
        assert target.path_and_query == rest + (b"?" + query if query else b"")
        assert not {b".", b"..", b"%2e", b"%2E.", b"..;", b"%2f", b"%5C"} & set(segments)


@pytest.mark.parametrize("path", [b"/v1/invoke/f", b"/v1/invoke/f/"])
def test_function_alone_is_its_root(path: bytes) -> None:
    assert target_of(head(path)).path_and_query == b"/"


@pytest.mark.parametrize(
    "name", [b"", b"F", b"1f", b"f.ns", b"f:80", b"f@x", b"-f", b"f-", b"f" * 64, b"f%2d", b"f_g", b"..", b"%66"]
)
def test_name_of_a_function_is_a_dns_label_as_it_stands(name: bytes) -> None:
    """It becomes part of a Host, by which the ingress finds a namespace."""
    with pytest.raises(GatewayError):
        target_of(head(b"/v1/invoke/" + name + b"/x"))


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        (b"/v1/%69nvoke/f/x", ErrorCode.ROUTE_NOT_FOUND, "There is no such route. The API starts at /v1/."),
        (b"/v1/invoke/F/x", ErrorCode.ROUTE_NOT_FOUND, "There is no such route. The API starts at /v1/."),
        (
            b"/v1/invoke/f/a%2Fb",
            ErrorCode.REQUEST_MALFORMED,
            "The request is malformed: a slash or backslash in the path is percent-encoded.",
        ),
        (
            b"/v1/invoke/f/a%5cb",
            ErrorCode.REQUEST_MALFORMED,
            "The request is malformed: a slash or backslash in the path is percent-encoded.",
        ),
        (
            b"/v1/invoke/f/a/%2e.;x;y/b",
            ErrorCode.REQUEST_MALFORMED,
            "The request is malformed: the path has a segment of dots.",
        ),
    ],
)
def test_caller_is_told_what_is_wrong_with_the_path(path: bytes, kind: ErrorCode, message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        target_of(head(path))
    assert (caught.value.kind, caught.value.message) == (kind, message)


@pytest.mark.parametrize("name", [b"f", b"f" * 63, b"f-1", b"f0"])
def test_name_that_is_a_label_is_the_functions(name: bytes) -> None:
    target = target_of(head(b"/v1/invoke/" + name + b"/a//b/v1/invoke/?", b"x"))
    assert (target.function, target.path_and_query) == (name.decode(), b"/a//b/v1/invoke/??x")
