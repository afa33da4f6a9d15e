"""What is authorised is what is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.invoke.routes import callable_function
from gateway.invoke.target import target_of
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import FunctionAddress, Tenant


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
    "name", [b"", b"F", b"1f", b"f.ns", b"f:80", b"-f", b"f-", b"f" * 64, b"f%2d", b"f_g", b"..", b"%66"]
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


def test_a_tag_names_a_revision_of_the_function() -> None:
    target = target_of(head(b"/v1/invoke/f@canary/a@b"))
    assert (target.function, target.tag, target.path_and_query, target.name) == ("f", "canary", b"/a@b", "f@canary")
    assert target_of(head(b"/v1/invoke/f/x")).tag is None


@pytest.mark.parametrize("name", [b"f@", b"@t", b"f@t@u", b"f%40t", b"f@T", b"f@-t", b"f@t.u", b"f@" + b"a" * 64])
def test_what_is_no_tag_is_no_route(name: bytes) -> None:
    """An escaped sign would be another path to access rules."""
    with pytest.raises(GatewayError) as caught:
        target_of(head(b"/v1/invoke/" + name + b"/"))
    assert caught.value.kind is ErrorCode.ROUTE_NOT_FOUND


ADDRESS = FunctionAddress("http://gateway", "f.ns.svc.cluster.local", callable=True, tags=("canary",))


def address_of(path: bytes, **functions: FunctionAddress) -> FunctionAddress:
    tenant = Tenant(ProjectId("p"), NamespaceName("ns"), {"f": ADDRESS, **functions})
    return callable_function(tenant, target_of(head(b"/v1/invoke/" + path)))


def test_a_tagged_revision_has_a_host_of_its_own() -> None:
    assert address_of(b"f/").host == "f.ns.svc.cluster.local"
    assert address_of(b"f@canary/").host == "canary-f.ns.svc.cluster.local"


@pytest.mark.parametrize("path", [b"f@other/", b"g@canary/"])
def test_a_tag_that_the_status_does_not_report_is_refused(path: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        address_of(path)
    assert caught.value.kind is ErrorCode.FUNCTION_NOT_FOUND


def test_a_tag_does_not_lead_to_a_function_that_may_not_be_called() -> None:
    """Its host would be that of the function `canary-f`."""
    closed = FunctionAddress("http://gateway", "canary-f.ns.svc.cluster.local", callable=False)
    with pytest.raises(GatewayError) as caught:
        address_of(b"f@canary/", **{"canary-f": closed})
    assert caught.value.kind is ErrorCode.FUNCTION_NOT_FOUND
    uncalled = FunctionAddress("http://gateway", "f.ns.svc.cluster.local", callable=False, tags=("canary",))
    with pytest.raises(GatewayError):
        address_of(b"f@canary/", f=uncalled)
