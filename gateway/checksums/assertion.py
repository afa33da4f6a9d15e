"""Digests that a request asserts: `Repr-Digest` (RFC 9530) in a request for an object's digests.

The caller knows what the object should be, and asks whether it is that. The names of the algorithms are those of every
other field, so `adler` and `adler32` are one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from http_sfv.dictionary import Dictionary

from gateway.checksums.negotiation import parse_algorithm, short_enough
from gateway.digests import ALGORITHMS, digest_dictionary, is_digest
from gateway.errors import ErrorCode, GatewayError

FIELD = "Repr-Digest"


@dataclass(frozen=True, slots=True)
class Assertion:
    """One asserted digest: the name that the caller used, our name, and the value in lowercase hex."""

    wire_name: str
    algorithm: str
    value: str


def parse_assertions(value: str | None) -> tuple[Assertion, ...]:
    """The digests in a `Repr-Digest` field; none without a field.

    RFC 9530 lets a recipient ignore members. Nothing is ignored here, because the answer would confirm what was not
    compared.

    Raises:
        GatewayError: REQUEST_MALFORMED, ALGORITHM_UNKNOWN, REQUEST_HEAD_TOO_LARGE.
    """
    if value is None:
        return ()
    dictionary = Dictionary()
    try:
        # Keys are in lower case (RFC 9651, 3.2), but base64 is not: capitals in keys are rejected.
        dictionary.parse(short_enough(FIELD, value).encode())
    except ValueError as error:
        raise _malformed("it is not a dictionary of byte sequences") from error
    if not dictionary:
        raise _malformed("it is empty")
    return tuple(_assertion(name, getattr(item, "value", None)) for name, item in dictionary.items())


def _assertion(wire_name: str, value: object) -> Assertion:
    name = parse_algorithm(wire_name)
    text = value.hex() if isinstance(value, bytes) else None
    if text is None or not is_digest(name, text):
        raise _malformed(f"the value of '{wire_name}' is not a byte sequence of {ALGORITHMS[name].size} bytes")
    return Assertion(wire_name, name, text)


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=f"in {FIELD}, {why}")


def check_assertions(assertions: tuple[Assertion, ...], digests: Mapping[str, str]) -> None:
    """Compares the asserted digests with those of the object (lowercase hex, by our names).

    Raises:
        GatewayError: DIGEST_MISMATCH, with the object's digests in the sentence and in `Repr-Digest`.
    """
    wrong = {each.algorithm for each in assertions if each.value != digests[each.algorithm]}
    if wrong:
        right = ", ".join(f"{name} {digests[name]}" for name in dict.fromkeys(each.algorithm for each in assertions))
        raise GatewayError(
            ErrorCode.DIGEST_MISMATCH,
            headers={FIELD: digest_dictionary({each.wire_name: digests[each.algorithm] for each in assertions})},
            right=right,
            wrong=", ".join(sorted(wrong)),
        )
