"""Digests that a request asserts, and what the object has."""

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.checksums.assertion import Assertion, check_assertions, parse_assertions
from gateway.digests import ALGORITHMS
from gateway.errors import ErrorCode, GatewayError

CONTENT = b"Wikipedia"
OTHER = b"Wikipedio"


def adler(content: bytes) -> bytes:
    return zlib.adler32(content).to_bytes(4, "big")


def field(**digests: bytes) -> str:
    return ", ".join(
        f"{name.replace('_', '-')}=:{base64.b64encode(value).decode()}:" for name, value in digests.items()
    )


def of(content: bytes) -> dict[str, str]:
    return {"adler32": adler(content).hex(), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "sha-256",
        "sha-256=?1",
        "sha-256=5",
        'sha-256="4c9a82ce72ca2519f38d0af0abbb4cecb9fceca9"',
        "sha-256=(:AAAA:)",
        "adler=:AAAA:",
        "adler=:AAAAAAAA:",
        "adler=:AAA*:",
        "adler=01020304",
        "Adler=:AAAAAA==:",
        "adler=:AAAAAA==:,",
        "adler=:AAAAAA==: sha-256",
        "\N{LATIN SMALL LETTER U WITH DIAERESIS}=:AAAAAA==:",
    ],
)
def test_field_that_is_no_dictionary_of_digests_is_malformed(value: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_assertions(value)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED
    assert "Repr-Digest" in caught.value.message


@pytest.mark.parametrize("value", ["rot13=:AAAA:", field(adler=adler(CONTENT)) + ", unixsum=:AAAA:"])
def test_algorithm_that_is_unknown_is_an_error_so_that_nothing_is_confirmed_uncompared(value: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_assertions(value)
    assert caught.value.kind is ErrorCode.ALGORITHM_UNKNOWN


def test_field_at_length_is_rejected_unparsed() -> None:
    with pytest.raises(GatewayError) as caught:
        parse_assertions("adler=:AAAAAA==:, " * 29)
    assert caught.value.kind is ErrorCode.REQUEST_HEAD_TOO_LARGE


@given(st.text(max_size=600))
def test_any_text_is_parsed_or_rejected_with_a_sentence(value: str) -> None:
    try:
        asserted = parse_assertions(value)
    except GatewayError as error:
        kind = error.kind
    else:
        kind = None
        assert asserted
    assert kind in {
        None,
        ErrorCode.REQUEST_MALFORMED,
        ErrorCode.ALGORITHM_UNKNOWN,
        ErrorCode.REQUEST_HEAD_TOO_LARGE,
    }


def test_without_the_field_nothing_is_asserted() -> None:
    assert parse_assertions(None) == ()
    check_assertions((), {})


def test_a_digest_of_other_content_is_refused_with_the_right_one() -> None:
    asserted = parse_assertions(field(adler=adler(OTHER), sha_256=hashlib.sha256(CONTENT).digest()))
    with pytest.raises(GatewayError) as caught:
        check_assertions(asserted, of(CONTENT))
    error = caught.value
    assert error.kind is ErrorCode.DIGEST_MISMATCH
    assert f"adler32 {adler(CONTENT).hex()}" in error.message
    assert "(adler32)" in error.message
    # Under the names that the caller used.
    right = field(adler=adler(CONTENT), sha_256=hashlib.sha256(CONTENT).digest())
    assert error.headers["Repr-Digest"] == right


@pytest.mark.parametrize("name", ["adler", "adler32"])
def test_adler_and_adler32_are_the_same_algorithm(name: str) -> None:
    asserted = parse_assertions(field(**{name: adler(CONTENT)}))
    assert asserted == (Assertion(name, "adler32", adler(CONTENT).hex()),)
    check_assertions(asserted, of(CONTENT))


def test_one_wrong_name_of_two_for_the_same_algorithm_is_enough() -> None:
    with pytest.raises(GatewayError):
        check_assertions(parse_assertions(field(adler=adler(OTHER), adler32=adler(CONTENT))), of(CONTENT))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_can_be_asserted(name: str) -> None:
    algorithm = ALGORITHMS[name]
    value = bytes(range(algorithm.size))
    encoded = base64.b64encode(value).decode()
    for wire_name in algorithm.wire_names:
        asserted = parse_assertions(f"{wire_name}=:{encoded}:")
        check_assertions(asserted, {name: value.hex()})
