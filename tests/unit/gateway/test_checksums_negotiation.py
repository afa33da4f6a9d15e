"""Which digests are wanted, and how they are written, for the clients of the storage world."""

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.checksums.negotiation import (
    NegotiatedDigests,
    digest_fields,
    names_json,
    negotiate,
    parse_want_digest,
    parse_want_repr_digest,
    prefers_text,
)
from gateway.digests import ALGORITHMS, BY_WIRE_NAME, digest_value, is_digest
from gateway.errors import ErrorCode, GatewayError

CONTENT = b"Wikipedia"
VALUES = {
    **{name: "0" * (2 * algorithm.size) for name, algorithm in ALGORITHMS.items()},
    "adler32": f"{zlib.adler32(CONTENT):08x}",
    "crc32": f"{zlib.crc32(CONTENT):08x}",
    "crc32c": "0a1b2c3d",
    "md5": hashlib.md5(CONTENT).hexdigest(),
    "sha1": hashlib.sha1(CONTENT).hexdigest(),
    "sha256": hashlib.sha256(CONTENT).hexdigest(),
    "sha512": hashlib.sha512(CONTENT).hexdigest(),
}
MD5_64 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()
SHA_64 = base64.b64encode(hashlib.sha1(CONTENT).digest()).decode()
SHA256_64 = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()


def wanted(
    *ordered: str, want: str | None = None, want_repr: str | None = None, default: tuple[str, ...] = ("adler32", "md5")
) -> NegotiatedDigests:
    return negotiate(ordered=ordered, want_digest=want, want_repr_digest=want_repr, default=default)


def fields(*ordered: str, **kwargs: str) -> dict[str, str]:
    return digest_fields(wanted(*ordered, **kwargs), VALUES)


@pytest.mark.parametrize(
    "word", ["sha3", "md4", "md 5", "adler-32", "*", "md5;q=1", "__class__", "\N{KELVIN SIGN}", "md5\0"]
)
def test_unknown_algorithm_in_an_order_is_an_error_that_names_the_known_ones(word: str) -> None:
    with pytest.raises(GatewayError) as caught:
        wanted(f"md5,{word}")
    assert caught.value.kind is ErrorCode.ALGORITHM_UNKNOWN
    assert "adler32, " in caught.value.message


def test_more_names_than_there_are_algorithms_by_far_are_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        wanted(",".join(["md5"] * 60), "sha1,sha1,sha1,sha1,sha1")
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED
    assert wanted(",".join(["md5"] * 64)).algorithms == ("md5",)


@pytest.mark.parametrize("name", ["want", "want_repr"])
def test_wish_at_length_is_refused_unread(name: str) -> None:
    """RFC 9110, 5.4: a field that is larger than a server wishes to process is an error, not ignored."""
    with pytest.raises(GatewayError) as caught:
        wanted(**{name: "md5=1, " * 73 + "a=1"})
    assert caught.value.kind is ErrorCode.REQUEST_HEAD_TOO_LARGE
    assert wanted(**{name: "md5=1, " * 72 + "md5=1"}).algorithms in {("md5",), ()}


@pytest.mark.parametrize("accept", ["text/plain," * 94, ("a/b," * 32) + "text/plain", "text/plain" + "," * 1_015])
def test_accept_at_length_asks_for_nothing(accept: str) -> None:
    assert not prefers_text(accept)


def test_sentence_does_not_repeat_all_of_a_long_name() -> None:
    with pytest.raises(GatewayError) as caught:
        wanted("x" * 10_000)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "want", ["unknown", "sha3-256, crc64", "md5;q=0", "adler32;q=0.0, md5;q=0.000", "", ",", ";q=1", "md5;q=x"]
)
def test_wish_that_names_nothing_we_know_gets_no_digest_field(want: str) -> None:
    assert fields(want=want) == {}
    assert wanted(want=want).algorithms == ()


@pytest.mark.parametrize(
    "want",
    ["unknown=1", "md5=0", "md5", "md5=?1", "md5=11", "md5=-1", "md5=0.5", "md5=()", "((", "é=1", "md5=1,,"],
)
def test_wish_by_rfc_9530_that_says_nothing_valid_gets_no_digest_field(want: str) -> None:
    assert fields(want_repr=want) == {}
    assert wanted(want_repr=want).algorithms == ()


@pytest.mark.parametrize(
    ("want", "digest"),
    [
        pytest.param("adler32", f"adler32={VALUES['adler32']}", id="adler32-in-hex"),
        pytest.param("adler", f"adler={VALUES['adler32']}", id="under-the-callers-name"),
        pytest.param("crc32c", "crc32c=0a1b2c3d", id="crc32c-in-hex"),
        pytest.param("md5", f"md5={MD5_64}", id="md5-in-base64"),
        pytest.param("MD5", f"md5={MD5_64}", id="case"),
        pytest.param("SHA", f"sha={SHA_64}", id="sha-is-sha1"),
        pytest.param("sha-256", f"sha-256={SHA256_64}", id="sha-256"),
        pytest.param("SHA256", f"sha256={SHA256_64}", id="sha256"),
        pytest.param("adler32,md5", f"adler32={VALUES['adler32']},md5={MD5_64}", id="comma-without-a-space"),
        pytest.param(" adler32 , md5 ", f"adler32={VALUES['adler32']},md5={MD5_64}", id="blanks"),
        pytest.param("sha3, md5", f"md5={MD5_64}", id="unknown-is-left-out"),
        pytest.param("md5;q=0.5, adler32;q=1.0", f"adler32={VALUES['adler32']}", id="highest-q"),
        pytest.param("md5;q=0.3, sha3;q=1", f"md5={MD5_64}", id="highest-q-of-the-known"),
        pytest.param("md5;q=0.5,sha;q=0.5", f"md5={MD5_64},sha={SHA_64}", id="shared-q"),
        pytest.param("adler32;q=0, md5;q=0.001", f"md5={MD5_64}", id="q-0-is-unwanted"),
        pytest.param("md5 ; q = 0.7, sha;q=0.6", f"md5={MD5_64}", id="blanks-in-parameters"),
        pytest.param("md5;q=7, sha;q=0.1", f"sha={SHA_64}", id="broken-part-is-passed-over"),
        pytest.param("md5, md5;q=0", f"md5={MD5_64}", id="named-twice"),
    ],
)
def test_want_digest(want: str, digest: str) -> None:
    assert fields(want=want) == {"Digest": digest}


@pytest.mark.parametrize(
    ("want", "digest"),
    [
        pytest.param("sha-256=1", f"sha-256=:{SHA256_64}:", id="byte-sequence"),
        pytest.param("md5=10, sha-256=1", f"md5=:{MD5_64}:", id="highest"),
        pytest.param("md5=3, sha=3", f"md5=:{MD5_64}:, sha=:{SHA_64}:", id="shared"),
        pytest.param(
            "adler=1", f"adler=:{base64.b64encode(bytes.fromhex(VALUES['adler32'])).decode()}:", id="adler-in-base64"
        ),
        pytest.param("sha3=10, md5=1", f"md5=:{MD5_64}:", id="highest-of-the-known"),
    ],
)
def test_want_repr_digest(want: str, digest: str) -> None:
    assert fields(want_repr=want) == {"Repr-Digest": digest}


@pytest.mark.parametrize("want_repr", ["sha-256=10", "((", ""])
def test_want_digest_beats_want_repr_digest(want_repr: str) -> None:
    assert fields(want="md5", want_repr=want_repr) == {"Digest": f"md5={MD5_64}"}
    assert fields(want="unknown", want_repr=want_repr) == {}


def test_without_order_and_wish_the_default_is_given() -> None:
    assert wanted().algorithms == ("adler32", "md5")
    assert fields() == {"Digest": f"adler32={VALUES['adler32']},md5={MD5_64}"}


@pytest.mark.parametrize("ordered", [["adler", "MD5"], ["adler32, md5"], [" Adler ,,md5"], ["adler,md5,adler32,md5"]])
def test_order_by_any_name_in_any_case_keeps_its_order_and_has_each_once(ordered: list[str]) -> None:
    assert wanted(*ordered).algorithms == ("adler32", "md5")


@pytest.mark.parametrize(
    ("ordered", "digest"),
    [
        pytest.param("md5,md5", f"md5={MD5_64}", id="twice"),
        pytest.param("sha-256,sha256", f"sha-256={SHA256_64}", id="under-two-names"),
        pytest.param("sha-256", f"sha-256={SHA256_64}", id="sha-256"),
        pytest.param("SHA,md5", f"sha={SHA_64},md5={MD5_64}", id="several"),
    ],
)
def test_order_without_a_wish_is_in_the_field_once_and_under_the_callers_name(ordered: str, digest: str) -> None:
    assert fields(ordered) == {"Digest": digest}


@pytest.mark.parametrize("q", ["1.9", "1.001", "2", "10", "1.0000"])
def test_q_above_one_is_no_wish(q: str) -> None:
    assert parse_want_digest(f"md5;q={q}, sha;q=1.000") == {"sha": 1.0}


def test_order_and_wish_are_both_found_out_and_only_the_wish_goes_into_the_field() -> None:
    both = wanted("sha1", want="md5")
    assert both.algorithms == ("sha1", "md5")
    assert digest_fields(both, VALUES) == {"Digest": f"md5={MD5_64}"}


@given(st.text(max_size=80))
def test_no_wish_is_an_error(value: str) -> None:
    assert all(0 <= q <= 10 for q in parse_want_repr_digest(value).values())
    assert all(0 <= q <= 1 for q in parse_want_digest(value).values())
    assert set(fields(want=value)) <= {"Digest"}
    assert set(fields(want_repr=value)) <= {"Repr-Digest"}


@given(st.text('abcdmeh5=;,()":?*1290.- \t', max_size=30))
def test_no_wish_that_looks_like_one_is_an_error(value: str) -> None:
    parse_want_repr_digest(value)
    parse_want_digest(value)


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        (None, False),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("text/plain", True),
        ("TEXT/PLAIN", True),
        ("text/*", True),
        ("text/plain;q=0", False),
        ("text/plain, application/json", False),
        ("text/plain;q=0.5, application/json;q=0.4", True),
        ("text/plain;q=0.5, */*;q=0.1", True),
        ("text/plain;q=0.1, */*", False),
        ("text/plain;q=bad, */*;q=0.1", False),
        ("image/png", False),
    ],
)
def test_text_only_for_those_who_prefer_it(accept: str | None, text: bool) -> None:
    assert prefers_text(accept) is text


def test_json_by_name_marks_an_api_client() -> None:
    assert names_json("Application/JSON;q=0.5, */*")
    assert not names_json("*/*")
    assert not names_json(None)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("adler", "adler32"),
        ("adler32", "adler32"),
        ("sha", "sha1"),
        ("sha-1", "sha1"),
        ("sha1", "sha1"),
        ("sha-256", "sha256"),
        ("sha256", "sha256"),
        ("sha-512", "sha512"),
        ("sha512", "sha512"),
        ("md5", "md5"),
        ("crc32", "crc32"),
        ("crc32c", "crc32c"),
    ],
)
def test_names_of_the_registries_and_of_the_storage_world(alias: str, name: str) -> None:
    assert BY_WIRE_NAME[alias].name == name


def test_no_two_algorithms_share_a_name() -> None:
    names = [wire for a in ALGORITHMS.values() for wire in {*a.wire_names, a.name}]
    assert len(names) == len(set(names)) == len(BY_WIRE_NAME)
    assert all(name == name.lower() for name in names)


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256", "sha512"])
def test_width_is_that_of_the_algorithm(name: str) -> None:
    assert ALGORITHMS[name].size == hashlib.new(name).digest_size


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        "0123456",
        "012345678",
        "0123456G",
        "0123456A",
        "0x123456",
        " 1234567",
        "1234567\n",
        "\u0661" * 8,
        1,
        None,
    ],
)
def test_digest_is_lowercase_hex_of_full_width(value: object) -> None:
    assert not is_digest("adler32", value)
    assert is_digest("adler32", "0123abcd")


def test_leading_zeros_stay() -> None:
    assert digest_value(ALGORITHMS["adler32"], "00000001") == "00000001"
    assert digest_value(ALGORITHMS["crc32"], "00000001") == "AAAAAQ=="


@pytest.mark.parametrize("want", ["SHA-256=10", "Sha-256=1, MD5=0", "sha-256=1;A=B"])
def test_names_in_a_wish_by_rfc_9530_may_be_in_capitals(want: str) -> None:
    """RFC 9651 has keys in lower case only; those of RFC 3230's field were not, and people write them as before."""
    assert fields(want_repr=want) == {"Repr-Digest": f"sha-256=:{SHA256_64}:"}


def test_adler_is_another_name_of_adler32() -> None:
    assert fields(want_repr="Adler=1")["Repr-Digest"].startswith("adler=:")
    assert fields(want="ADLER")["Digest"] == f"adler={VALUES['adler32']}"
    assert wanted("adler").algorithms == ("adler32",)
