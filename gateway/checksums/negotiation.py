"""Content negotiation: which digests, in which header field and which media type.

`Want-Digest` (RFC 3230) and `Want-Repr-Digest` (RFC 9530) are preferences: of the supported algorithms,
those with the highest preference are sent, all of them if several share it; if none is supported, no digest header is
sent. The query parameter `algorithm` is binding: an unknown algorithm is an error.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from http_sfv.dictionary import Dictionary

from gateway.digests import ALGORITHMS, BY_WIRE_NAME, Algorithm, digest_dictionary, digest_value
from gateway.errors import ErrorCode, GatewayError

# Clients name a few algorithms and types; longer fields only consume parsing time.
MAX_PREFERENCE_CHARS = 512
MAX_ALGORITHMS = 64
MAX_ACCEPT_CHARS, MAX_ACCEPT_RANGES = 1_024, 32
_PREFERENCE = re.compile(r"\s*([A-Za-z0-9!#$%&'*+\-.^_`|~]+)\s*(?:;\s*q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?")
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True, slots=True)
class Preference:
    """A requested algorithm, with the name that the caller used."""

    wire_name: str
    algorithm: Algorithm


@dataclass(frozen=True, slots=True)
class NegotiatedDigests:
    """Result of the negotiation.

    Attributes:
        algorithms: names of all requested algorithms, in the order of the answer.
        digest: algorithms for `Digest`.
        repr_digest: algorithms for `Repr-Digest`; one of the two is empty.
    """

    algorithms: tuple[str, ...]
    digest: tuple[Preference, ...] = ()
    repr_digest: tuple[Preference, ...] = ()


def negotiate(
    *,
    ordered: Iterable[str],
    want_digest: str | None,
    want_repr_digest: str | None,
    default: Iterable[str],
) -> NegotiatedDigests:
    """Negotiates the digests of a request.

    Args:
        ordered: values of the query parameter `algorithm`, each a comma list.
        want_digest: the field of that name, or None.
        want_repr_digest: the field of that name, or None. `Want-Digest` has precedence: clients that send both
            read `Digest`.
        default: names used without parameter and field.

    Raises:
        GatewayError: ALGORITHM_UNKNOWN, REQUEST_MALFORMED, REQUEST_HEAD_TOO_LARGE.
    """
    names = parse_algorithms(ordered)
    digest: tuple[Preference, ...] = ()
    repr_digest: tuple[Preference, ...] = ()
    if want_digest is not None:
        digest = _most_preferred(parse_want_digest(short_enough("Want-Digest", want_digest)))
    elif want_repr_digest is not None:
        repr_digest = _most_preferred(parse_want_repr_digest(short_enough("Want-Repr-Digest", want_repr_digest)))
    else:
        names = list(dict.fromkeys(names or default))
        digest = tuple(Preference(ALGORITHMS[name].wire_names[0], ALGORITHMS[name]) for name in names)
    names += [preference.algorithm.name for preference in digest + repr_digest]
    return NegotiatedDigests(tuple(dict.fromkeys(names)), digest, repr_digest)


def parse_algorithms(values: Iterable[str]) -> list[str]:
    """Parses the values of the query parameter `algorithm`, each a comma list.

    Raises:
        GatewayError: ALGORITHM_UNKNOWN, REQUEST_MALFORMED.
    """
    words = [word for value in values for word in value.split(",") if word.strip()]
    if len(words) > MAX_ALGORITHMS:
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why=f"it names more than {MAX_ALGORITHMS} algorithms")
    return list(dict.fromkeys(parse_algorithm(word) for word in words))


def short_enough(field: str, value: str) -> str:
    """The value of a field that names algorithms, if it is short enough to parse.

    Raises:
        GatewayError: REQUEST_HEAD_TOO_LARGE.
    """
    # RFC 9110, 5.4: a field that is too large is rejected, not ignored.
    if len(value) > MAX_PREFERENCE_CHARS:
        raise GatewayError(
            ErrorCode.REQUEST_HEAD_TOO_LARGE, why=f"more than {MAX_PREFERENCE_CHARS} characters of {field}"
        )
    return value


def parse_algorithm(word: str) -> str:
    """The canonical name of a requested algorithm.

    Raises:
        GatewayError: ALGORITHM_UNKNOWN.
    """
    algorithm = BY_WIRE_NAME.get(word.strip().lower())
    if algorithm is None:
        raise GatewayError(ErrorCode.ALGORITHM_UNKNOWN, algorithm=word.strip()[:64], known=", ".join(ALGORITHMS))
    return algorithm.name


def parse_want_digest(value: str) -> dict[str, float]:
    """Preferences by name in lower case; q defaults to 1. Invalid members are ignored."""
    preferences: dict[str, float] = {}
    for part in value.split(","):
        match = _PREFERENCE.fullmatch(part)
        if match:
            preferences.setdefault(match[1].lower(), float(match[2]) if match[2] else 1.0)
    return preferences


def parse_want_repr_digest(value: str) -> dict[str, float]:
    """Preferences, 0 to 10, by name in lower case.

    A field that is not a dictionary is ignored (RFC 9651, 4.2). Keys of a dictionary are in lower case, but the names
    of RFC 3230 were not, and clients still send those; nothing else that counts in the field has letters.
    """
    dictionary = Dictionary()
    try:
        dictionary.parse(value.lower().encode())
    except ValueError:
        return {}
    return {
        name: float(item.value)
        for name, item in dictionary.items()
        if isinstance(getattr(item, "value", None), int) and not isinstance(item.value, bool) and 0 <= item.value <= 10  # noqa: PLR2004 - RFC 9530, 4
    }


def _most_preferred(preferences: Mapping[str, float]) -> tuple[Preference, ...]:
    known = [(name, q) for name, q in preferences.items() if q > 0 and name in BY_WIRE_NAME]
    most = max((q for _, q in known), default=0.0)
    return tuple(Preference(name, BY_WIRE_NAME[name]) for name, q in known if q == most)


def digest_fields(wanted: NegotiatedDigests, digests: Mapping[str, str]) -> dict[str, str]:
    """The header fields that carry the digests (hex, by our names)."""
    if wanted.digest:
        # No space after the comma: davix does not trim.
        entries = (f"{w.wire_name}={digest_value(w.algorithm, digests[w.algorithm.name])}" for w in wanted.digest)
        return {"Digest": ",".join(entries)}
    if wanted.repr_digest:
        values = {preference.wire_name: digests[preference.algorithm.name] for preference in wanted.repr_digest}
        return {"Repr-Digest": digest_dictionary(values)}
    return {}


def prefers_text(accept: str | None) -> bool:
    """Whether text/plain is preferred to application/json; False on a tie, or if the field is too long."""
    ranges = _qualities(accept) if accept is not None else {}
    return _quality(ranges, "text/plain") > _quality(ranges, "application/json")


def names_json(accept: str | None) -> bool:
    """Whether `Accept` names JSON: an API client, which reads errors as JSON."""
    return accept is not None and "application/json" in accept.lower()


def _quality(ranges: Mapping[str, float], media_type: str) -> float:
    """The q of a media type; the most specific range applies (RFC 9110, 12.5.1)."""
    for candidate in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if candidate in ranges:
            return ranges[candidate]
    return 0.0


def _qualities(accept: str) -> dict[str, float]:
    """The q of each range in `Accept`. It is parsed before authentication, so it must be cheap."""
    parts = accept.lower().split(",", MAX_ACCEPT_RANGES) if len(accept) <= MAX_ACCEPT_CHARS else []
    if len(parts) > MAX_ACCEPT_RANGES:
        return {}
    ranges = {}
    for part in parts:
        media_range, *params = (piece.strip() for piece in part.split(";"))
        q = next((param[2:] for param in params if param.startswith("q=")), "1")
        ranges[media_range] = float(q) if _QUALITY.fullmatch(q) else 0.0
    return ranges
