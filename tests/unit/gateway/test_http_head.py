"""The strict head: what is ambiguous is refused, what claims an identity is dropped, the rest passes byte-exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead, read_head
from gateway.settings.server import RequestSettings

HOST = (b"host", b"faas.example:8788")
LIMITS = RequestSettings(head_max_bytes=4_096, head_max_fields=20)


def scope(
    *fields: tuple[bytes, bytes],
    method: str = "GET",
    path: bytes = b"/v1/",
    query: bytes = b"",
    http_version: str = "1.1",
    host: tuple[bytes, bytes] | None = HOST,
) -> dict[str, object]:
    return {
        "type": "http",
        "method": method,
        "raw_path": path,
        "query_string": query,
        "headers": [*([host] if host else []), *fields],
        "http_version": http_version,
    }


def read(*fields: tuple[bytes, bytes], **kwargs: object) -> RequestHead:
    return read_head(scope(*fields, **kwargs), LIMITS)


def refusal(*fields: tuple[bytes, bytes], **kwargs: object) -> ErrorCode:
    with pytest.raises(GatewayError) as caught:
        read(*fields, **kwargs)
    return caught.value.kind


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([(b"host", b"a"), (b"host", b"b")], id="two"),
        pytest.param([(b"host", b"a"), (b"host", b"a")], id="twice-the-same"),
        pytest.param([], id="none"),
        pytest.param([(b"host", b"")], id="empty"),
        pytest.param([(b"host", b"alice@faas.example")], id="userinfo"),
        pytest.param([(b"host", b"faas.example/path")], id="path"),
        pytest.param([(b"host", b"faas.example, other.example")], id="list"),
        pytest.param([(b"host", b"faas.example:port")], id="port-not-a-number"),
        pytest.param([(b"host", b"faas.example:65536")], id="port-too-large"),
        pytest.param([(b"host", b"faas.example:123456")], id="port-too-long"),
        pytest.param([(b"host", b"faas example")], id="blank"),
        pytest.param([(b"host", b"[::1")], id="bracket-open"),
        pytest.param([(b"host", b"faas.example\n")], id="newline"),
        pytest.param([(b"host", b"f\xc3\xa4s.example")], id="not-ascii"),
    ],
)
def test_host_that_is_not_exactly_one_host_is_refused(fields: list[tuple[bytes, bytes]]) -> None:
    assert refusal(*fields, host=None) is ErrorCode.REQUEST_MALFORMED


@pytest.mark.parametrize(
    "value", [b"faas.example", b"faas.example:", b"faas.example:1", b"10.0.0.1:65535", b"[::1]:8788", b"[fe80::1]"]
)
def test_host_with_an_optional_port_is_accepted(value: bytes) -> None:
    assert read(host=(b"host", value)).all(b"host") == (value.decode(),)


def test_http_1_0_needs_no_host_but_takes_no_two() -> None:
    assert read(host=None, http_version="1.0").all(b"host") == ()
    assert refusal(HOST, http_version="1.0") is ErrorCode.REQUEST_MALFORMED


CL, TE = b"content-length", b"transfer-encoding"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([(CL, b"5"), (TE, b"chunked")], id="length-and-coding"),
        pytest.param([(TE, b"chunked"), (CL, b"0")], id="coding-and-zero-length"),
        pytest.param([(CL, b"5"), (CL, b"6")], id="two-lengths"),
        pytest.param([(CL, b"5"), (CL, b"5")], id="one-length-twice"),
        pytest.param([(CL, b"5, 5")], id="list-of-lengths"),
        pytest.param([(CL, b"0x5")], id="hex-with-prefix"),
        pytest.param([(CL, b"a")], id="hex"),
        pytest.param([(CL, b"+5")], id="plus"),
        pytest.param([(CL, b"-5")], id="minus"),
        pytest.param([(CL, b"5_0")], id="underscore"),
        pytest.param([(CL, b" 5")], id="blank"),
        pytest.param([(CL, b"5\n")], id="newline"),
        pytest.param([(CL, b"\xb2")], id="superscript"),
        pytest.param([(CL, b"")], id="empty"),
        pytest.param([(CL, b"9" * 20)], id="beyond-64-bit"),
        pytest.param([(TE, b"chunked"), (TE, b"chunked")], id="two-codings"),
    ],
)
def test_length_that_two_parsers_could_read_differently_is_refused(fields: list[tuple[bytes, bytes]]) -> None:
    assert refusal(*fields, method="POST") is ErrorCode.REQUEST_MALFORMED


@pytest.mark.parametrize("coding", [b"gzip", b"identity", b"gzip, chunked", b"chunked, chunked", b"xchunked", b""])
def test_transfer_coding_other_than_chunked_is_not_understood(coding: bytes) -> None:
    assert refusal((TE, coding), method="POST") is ErrorCode.REQUEST_TRANSFER_CODING


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("field", [(CL, b"1"), (TE, b"chunked")])
def test_body_of_a_method_that_takes_none_is_refused(method: str, field: tuple[bytes, bytes]) -> None:
    assert refusal(field, method=method) is ErrorCode.REQUEST_MALFORMED


def test_method_goes_on_as_it_was_sent() -> None:
    assert read(method="PROPFIND").method == "PROPFIND"


def test_zero_length_is_no_body_and_a_post_may_have_one() -> None:
    assert read((CL, b"0")).all(CL) == ("0",)
    assert read((TE, b"Chunked"), method="POST").all(TE) == ("Chunked",)
    assert read((CL, b"12"), method="POST").all(CL) == ("12",)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([(b"Host", b"other.example")], id="second-host"),
        pytest.param([(CL, b"1"), (b"Content-Length", b"2")], id="two-lengths"),
        pytest.param([(CL, b"1"), (b"Transfer-Encoding", b"chunked")], id="length-and-coding"),
    ],
)
def test_names_in_capital_letters_are_the_same_names(fields: list[tuple[bytes, bytes]]) -> None:
    assert refusal(*fields, method="POST") is ErrorCode.REQUEST_MALFORMED


def test_only_100_continue_is_an_expectation_that_is_understood() -> None:
    assert refusal((b"expect", b"200-ok")) is ErrorCode.EXPECTATION_FAILED
    assert read((b"expect", b"100-Continue")).all(b"expect") == ("100-Continue",)


@pytest.mark.parametrize("byte", [*range(9), *range(0x0A, 0x20), 0x7F])
def test_control_character_in_a_field_value_is_refused(byte: int) -> None:
    assert refusal((b"x-note", b"a" + bytes([byte]) + b"b")) is ErrorCode.REQUEST_MALFORMED


@pytest.mark.parametrize("name", [b"", b"x note", b"x\tnote", b"x:note", b"x\x00note", b"x\xe4", b"(x)", b"x\n"])
def test_field_name_that_is_no_token_is_refused(name: bytes) -> None:
    assert refusal((name, b"1")) is ErrorCode.REQUEST_MALFORMED


def test_dropped_field_is_checked_before_it_is_dropped() -> None:
    assert refusal((b"x_note", b"a\x00b")) is ErrorCode.REQUEST_MALFORMED


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"*", id="asterisk"),
        pytest.param(b"v1/", id="no-leading-slash"),
        pytest.param(b"http://faas.example/v1/", id="absolute-form"),
        pytest.param("/v1/checksums/c/ä".encode(), id="raw-utf8"),
        pytest.param(b"/v1/checksums/c/\xff", id="raw-latin1"),
        pytest.param(b"/v1/a b", id="blank"),
        pytest.param(b"/v1/a\tb", id="tab"),
        pytest.param(b"/v1/a\n", id="newline"),
        pytest.param(b"/v1/\x00", id="raw-nul"),
        pytest.param(b"/v1/%00", id="escaped-nul"),
        pytest.param(b"/v1/a%00b", id="escaped-nul-inside"),
        pytest.param(b"/v1/%", id="bare-percent"),
        pytest.param(b"/v1/%4", id="half-escape"),
        pytest.param(b"/v1/%zz", id="escape-not-hex"),
        pytest.param(b"/v1/%u0041", id="microsoft-escape"),
        pytest.param(b"/v1\\..\\admin", id="backslash"),
        pytest.param(b"/v1/a?b", id="question-mark"),
        pytest.param(b"/v1/a#b", id="fragment"),
        pytest.param(b'/v1/"a"', id="quote"),
        pytest.param(b"/v1/<a>", id="angle"),
        pytest.param(b"/v1/{a}", id="brace"),
        pytest.param(b"/v1/a|b", id="bar"),
        pytest.param(b"/v1/[a]", id="bracket"),
    ],
)
def test_path_outside_of_the_uri_grammar_is_refused(path: bytes) -> None:
    assert refusal(path=path) is ErrorCode.REQUEST_MALFORMED


@pytest.mark.parametrize(
    "query", [b"a=\xff", b"a=%", b"a=%4", b"a=%0g", b"a=%00", b"a=b c", b"a=b\n", b"a=\\", b"a#b", b"a=[1]", b"a=<"]
)
def test_query_outside_of_the_uri_grammar_is_refused(query: bytes) -> None:
    assert refusal(query=query) is ErrorCode.REQUEST_MALFORMED


def test_too_many_fields_are_refused() -> None:
    fits = [(b"a", b"b")] * (LIMITS.head_max_fields - 1)
    assert len(read(*fits).fields) == LIMITS.head_max_fields
    assert refusal(*fits, (b"a", b"b")) is ErrorCode.REQUEST_HEAD_TOO_LARGE


@pytest.mark.parametrize("where", ["path", "query", "name", "value"])
def test_head_that_is_too_large_is_refused_wherever_its_bytes_are(where: str) -> None:
    room = LIMITS.head_max_bytes - len(b"/v1/") - len(b"".join(HOST))

    def sized(count: int) -> tuple[list[tuple[bytes, bytes]], dict[str, bytes]]:
        if where == "path":
            return [], {"path": b"/v1/" + b"a" * count}
        if where == "query":
            return [], {"query": b"a" * count}
        return ([(b"a" * count, b"")], {}) if where == "name" else ([(b"n", b"a" * (count - 1))], {})

    fields, target = sized(room)
    read(*fields, **target)
    fields, target = sized(room + 1)
    assert refusal(*fields, **target) is ErrorCode.REQUEST_HEAD_TOO_LARGE


@pytest.mark.parametrize(
    "name",
    [
        b"x-user-id",
        b"x-user-name",
        b"x-user-domain-id",
        b"x-user",
        b"x-roles",
        b"x-role",
        b"x-project-id",
        b"x-project-name",
        b"x-tenant-id",
        b"x-tenant",
        b"x-domain-id",
        b"x-identity-status",
        b"x-service-token",
        b"x-service-roles",
        b"x-is-admin-project",
        b"openstack-system-scope",
        b"k-original-host",
        b"k-network-probe",
        b"knative-serving-revision",
        b"knative-serving-namespace",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-client-cert",
        b"forwarded",
        b"x-envoy-original-path",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-http-method-override",
        b"remote-user",
        b"X-User-Id",
        b"K-Original-Host",
        b"x_user_id",
        b"X_Auth_Token",
        b"x-auth_token",
        b"harmless_name",
    ],
)
def test_field_that_claims_an_identity_or_could_be_read_as_one_is_dropped(name: bytes) -> None:
    assert read((name, b"admin"), (b"accept", b"*/*")).fields == (HOST, (b"accept", b"*/*"))


@pytest.mark.parametrize(
    "name",
    [
        b"x-auth-token",
        b"authorization",
        b"want-digest",
        b"x-username-hint",
        b"x-userid",
        b"kind",
        b"x-openstack-request-id",
    ],
)
def test_other_fields_stay(name: bytes) -> None:
    assert read((name, b"value")).all(name) == ("value",)


def test_names_are_lowered_and_values_stay_in_order_and_are_joined_as_a_list() -> None:
    head = read((b"Want-Digest", b"md5"), (b"want-digest", b"adler32"))
    assert head.all(b"want-digest") == ("md5", "adler32")
    assert head.joined(b"want-digest") == "md5, adler32"
    assert head.joined(b"want-repr-digest") is None


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/checksums/c/a//b",
        b"/v1/checksums/c//",
        b"/v1/checksums/c/%2F%2f",
        b"/v1/checksums/c/%C3%A4%20%25",
        b"/v1/checksums/c/~user/.hidden/a..b",
        b"/v1/checksums/c/a!$&'()*+,;=:@b",
        b"/v1/checksums/c/%5C%5c%22",
        b"/v1/checksums/c/%41",
    ],
)
def test_legal_object_name_passes_byte_exact(path: bytes) -> None:
    assert read(path=path).path == path


@given(
    name=st.lists(
        st.one_of(
            st.sampled_from([bytes([b]) for b in b"abzAZ09-._~!$&'()*+,;=:@/"]),
            st.integers(1, 255).map(lambda byte: b"%%%02X" % byte),
            st.integers(1, 255).map(lambda byte: b"%%%02x" % byte),
        ),
        max_size=40,
    ).map(b"".join)
)
def test_every_path_of_the_grammar_passes_byte_exact(name: bytes) -> None:
    head = read(path=b"/" + name, query=name)
    assert (head.path, head.query) == (b"/" + name, name)


@given(
    path=st.binary(max_size=60), query=st.binary(max_size=60), name=st.binary(max_size=20), value=st.binary(max_size=20)
)
def test_whatever_the_bytes_a_head_is_accepted_or_refused_as_ours(
    path: bytes, query: bytes, name: bytes, value: bytes
) -> None:
    try:
        head = read((name, value), path=path, query=query)
    except GatewayError as error:
        assert 400 <= error.kind.status <= 501  # noqa: PT017 - either outcome is fine; the error has to be one of ours
    else:
        assert head.path.isascii()
        assert head.query.isascii()
        assert b"\n" not in head.path + head.query


@pytest.mark.parametrize(
    ("fields", "request_line", "sentence"),
    [
        ([(b"a", b"b")] * 20, {}, "The request head is too large: more than 20 fields."),
        ([(b"a", b"b" * 4_096)], {}, "The request head is too large: more than 4096 bytes."),
        (
            [],
            {"path": b"/a b"},
            "The request is malformed: the path has characters that must be percent-encoded, or a broken escape.",
        ),
        (
            [],
            {"query": b"a b"},
            "The request is malformed: the query has characters that must be percent-encoded, or a broken escape.",
        ),
        ([], {"path": b"/%00"}, "The request is malformed: NUL is not allowed."),
        ([], {"query": b"%00"}, "The request is malformed: NUL is not allowed."),
        (
            [(b"a", b"\r")],
            {},
            "The request is malformed: a header field has a character that is not allowed.",
        ),
        ([HOST], {}, "The request is malformed: exactly one Host is needed."),
        ([(b"host", b"@")], {"host": None}, "The request is malformed: Host is not a host with an optional port."),
        ([(CL, b"1"), (CL, b"1")], {}, "The request is malformed: its length is said more than once."),
        ([(CL, b"x")], {}, "The request is malformed: Content-Length is not a number."),
        (
            [(TE, b"chunked")],
            {"http_version": "1.0"},
            "The request is malformed: HTTP/1.0 has no Transfer-Encoding.",
        ),
        ([(CL, b"1")], {"method": "HEAD"}, "The request is malformed: HEAD takes no body."),
    ],
)
def test_caller_is_told_what_is_wrong_with_the_head(
    fields: list[tuple[bytes, bytes]], request_line: dict[str, object], sentence: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        read(*fields, **request_line)
    assert caught.value.message == sentence


def test_longest_length_that_every_parser_reads_is_accepted_and_no_leading_zero_is() -> None:
    assert read((CL, b"9" * 18), method="POST").all(CL) == ("9" * 18,)
    assert refusal((CL, b"9" * 19), method="POST") is ErrorCode.REQUEST_MALFORMED
    assert refusal((CL, b"05"), method="POST") is ErrorCode.REQUEST_MALFORMED
    assert refusal((CL, b"00")) is ErrorCode.REQUEST_MALFORMED


def test_bytes_of_names_and_values_and_fields_all_count() -> None:
    used = len(b"/v1/") + len(b"a=b") + len(b"".join(HOST))
    for first, second in ((1, LIMITS.head_max_bytes - used - 1), (LIMITS.head_max_bytes - used - 1, 1)):
        assert read((b"n" * first, b"v" * second), query=b"a=b").all(b"n" * first) == ("v" * second,)
        for more in ((1, 0), (0, 1)):
            field = (b"n" * (first + more[0]), b"v" * (second + more[1]))
            assert refusal(field, query=b"a=b") is ErrorCode.REQUEST_HEAD_TOO_LARGE


def test_refusal_that_came_with_the_bytes_is_the_answer() -> None:
    error = GatewayError(ErrorCode.REQUEST_TIMEOUT, part="head")
    with pytest.raises(GatewayError) as caught:
        read_head({**scope(), "osfaas.refusal": error}, LIMITS)
    assert caught.value is error


def test_values_that_are_not_ascii_are_read_as_latin_1() -> None:
    assert read((b"want-digest", b"\xe4")).joined(b"want-digest") == "\xe4"
