"""Query parameters of a request, checked against the known names."""

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

from gateway.errors import ErrorCode, GatewayError
from gateway.suggestions import unknown_name

MAX_PARAMETERS = 32


def parse_query(query: bytes, known: Collection[str]) -> dict[str, list[str]]:
    """Parses the query. Unknown parameters are errors: ignoring a misspelt one would answer a different request.

    Args:
        query: as it was sent.
        known: names that the route accepts.

    Raises:
        GatewayError: REQUEST_MALFORMED, with the name that was probably meant.
    """
    parameters: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError as error:
        raise _malformed("the query is not UTF-8, or too long") from error
    for name, value in pairs:
        if name not in known:
            raise _malformed(unknown_name("query parameter", name, known) if known else "this path takes no parameters")
        parameters.setdefault(name, []).append(value)
    return parameters


def one_value(parameters: Mapping[str, list[str]], name: str) -> str | None:
    """The value of a parameter that may occur once.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    values = parameters.get(name, [])
    if len(values) > 1:
        raise _malformed(f"the parameter '{name}' is there more than once")
    return values[0] if values else None


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
