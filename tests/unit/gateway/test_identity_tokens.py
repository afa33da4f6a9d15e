"""What can be said of a token without asking Keystone."""

import base64
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.identity.tokens import MAX_TOKEN_CHARS, fernet_issued_at, reject_malformed, token_of
from gateway.settings.identity import IdentitySettings

NOW = 1_800_000_000


def form(*, max_age: int, skew: int) -> IdentitySettings:
    return IdentitySettings(token_max_age_seconds=max_age, clock_skew_seconds=skew, token_max_chars=8_192)


def head(*fields: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead("GET", b"/", b"", fields)


def fernet(issued_at: int = NOW, *, blocks: int = 4, version: int = 0x80, extra: int = 0) -> str:
    raw = struct.pack(">BQ", version, issued_at) + os.urandom(16 + 16 * blocks + 32 + extra)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refusal(*fields: tuple[bytes, bytes]) -> ErrorCode:
    with pytest.raises(GatewayError) as caught:
        token_of(head(*fields))
    return caught.value.kind


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([], id="no-field"),
        pytest.param([(b"x-auth-token", b"")], id="empty"),
        pytest.param([(b"x-auth-token", b"  ")], id="blank"),
        pytest.param([(b"authorization", b"Bearer")], id="bearer-alone"),
        pytest.param([(b"authorization", b"Bearer ")], id="bearer-empty"),
        pytest.param([(b"authorization", b"Basic YTpi")], id="other-scheme"),
        pytest.param([(b"authorization", b"")], id="no-scheme"),
    ],
)
def test_no_token_is_missing(fields: list[tuple[bytes, bytes]]) -> None:
    assert refusal(*fields) is ErrorCode.TOKEN_MISSING


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([(b"x-auth-token", b"one"), (b"x-auth-token", b"two")], id="two-tokens"),
        pytest.param([(b"x-auth-token", b"one"), (b"x-auth-token", b"one")], id="one-token-twice"),
        pytest.param([(b"x-auth-token", b"one"), (b"authorization", b"Bearer one")], id="both-ways"),
        pytest.param([(b"authorization", b"Bearer one"), (b"authorization", b"bearer two")], id="two-bearers"),
        pytest.param([(b"x-auth-token", b"one"), (b"authorization", b"Basic YTpi")], id="token-and-other-scheme"),
        pytest.param([(b"authorization", b"Bearer a"), (b"authorization", b"Basic b")], id="bearer-and-other-scheme"),
        pytest.param([(b"x-auth-token", b""), (b"authorization", b"Bearer one")], id="empty-and-bearer"),
    ],
)
def test_more_than_one_token_is_ambiguous(fields: list[tuple[bytes, bytes]]) -> None:
    assert refusal(*fields) is ErrorCode.TOKEN_AMBIGUOUS


@pytest.mark.parametrize(
    "value",
    [b"two words", b"a\x00b", b"a\x1fb", b"a\x7fb", b"\xc3\xa4", b"a\x85b", b"a" * (MAX_TOKEN_CHARS + 1)],
)
@pytest.mark.parametrize("field", ["x-auth-token", "authorization"])
def test_what_cannot_be_a_token_is_invalid(field: str, value: bytes) -> None:
    prefix = b"Bearer " if field == "authorization" else b""
    assert refusal((field.encode(), prefix + value)) is ErrorCode.TOKEN_INVALID


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
def test_token_comes_in_either_field(scheme: bytes) -> None:
    assert token_of(head((b"x-auth-token", b"gAAAA-_"))) == "gAAAA-_"
    assert token_of(head((b"authorization", scheme + b"  gAAAA-_ "))) == "gAAAA-_"
    longest = b"a" * MAX_TOKEN_CHARS
    assert token_of(head((b"x-auth-token", longest))) == longest.decode()


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("garbage", id="garbage"),
        pytest.param("", id="empty"),
        pytest.param("0123456789abcdef0123456789abcdef", id="uuid"),
        pytest.param("!" * 120, id="not-base64"),
        pytest.param("ä" * 120, id="not-ascii"),
        pytest.param("=" * 120, id="padding-only"),
        pytest.param("A" * 121, id="impossible-length"),
        pytest.param(fernet(version=0x81), id="other-version"),
        pytest.param(fernet(blocks=0), id="no-block"),
        pytest.param(fernet(extra=1), id="broken-block"),
        pytest.param(fernet()[:60], id="cut"),
        pytest.param(" " + fernet(), id="blank"),
        pytest.param(fernet()[:40] + "..!." + fernet()[40:], id="characters-that-decoders-skip"),
        pytest.param(fernet() + "\n", id="newline"),
        pytest.param("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", id="jws"),
    ],
)
def test_what_has_not_fernets_form_is_refused_unasked(token: str) -> None:
    with pytest.raises(ValueError, match=r"base64|form"):
        fernet_issued_at(token)
    with pytest.raises(GatewayError) as caught:
        reject_malformed(token, form(max_age=0, skew=0), now=NOW)
    assert caught.value.kind is ErrorCode.TOKEN_INVALID


@pytest.mark.parametrize(
    ("issued_at", "max_age", "refused"),
    [
        pytest.param(NOW + 61, 3600, True, id="future"),
        pytest.param(2**64 - 1, 3600, True, id="end-of-time"),
        pytest.param(NOW + 60, 3600, False, id="within-skew"),
        pytest.param(NOW - 3601, 3600, True, id="too-old"),
        pytest.param(NOW - 3600, 3600, False, id="just-young-enough"),
        pytest.param(0, 3600, True, id="1970"),
        pytest.param(0, 0, False, id="no-limit-of-age"),
    ],
)
def test_token_from_the_future_or_too_old_is_refused_unasked(issued_at: int, max_age: int, refused: bool) -> None:
    token = fernet(issued_at)
    assert fernet_issued_at(token) == issued_at
    if refused:
        with pytest.raises(GatewayError) as caught:
            reject_malformed(token, form(max_age=max_age, skew=60), now=NOW)
        assert caught.value.kind is ErrorCode.TOKEN_INVALID
    else:
        reject_malformed(token, form(max_age=max_age, skew=60), now=NOW)


def test_padding_may_be_there_or_not() -> None:
    padded = base64.urlsafe_b64encode(base64.urlsafe_b64decode(fernet() + "==")).decode()
    assert padded.endswith("=")
    assert fernet_issued_at(padded) == fernet_issued_at(padded.rstrip("=")) == NOW


values = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=200).map(base64.urlsafe_b64encode),
    st.binary(max_size=60).map(lambda rest: b"Bearer " + rest),
    st.binary(min_size=64, max_size=140).map(lambda rest: base64.urlsafe_b64encode(b"\x80" + rest)),
)


@given(fields=st.lists(st.tuples(st.sampled_from([b"x-auth-token", b"authorization"]), values), max_size=3))
def test_nothing_in_a_token_field_raises_anything_but_ours(fields: list[tuple[bytes, bytes]]) -> None:
    try:
        token = token_of(head(*fields))
        reject_malformed(token, form(max_age=3600, skew=60), now=NOW)
    except GatewayError as error:
        assert error.kind in {ErrorCode.TOKEN_MISSING, ErrorCode.TOKEN_AMBIGUOUS, ErrorCode.TOKEN_INVALID}  # noqa: PT017
    else:
        assert token.isascii()
        assert len(fields) == 1


def test_a_token_that_is_longer_than_keystones_is_refused_unasked() -> None:
    """Of Fernet's form in all else: what stands before Keystone may answer a long header field in its own way."""
    settings = IdentitySettings(token_max_age_seconds=0)
    reject_malformed(fernet(blocks=20), settings, now=NOW)
    with pytest.raises(GatewayError) as caught:
        reject_malformed(fernet(blocks=21), settings, now=NOW)
    assert caught.value.kind is ErrorCode.TOKEN_INVALID
    reject_malformed("x" * 513, IdentitySettings(token_format="any"), now=NOW)
