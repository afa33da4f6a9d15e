"""ETags of functions, and the preconditions of a request (RFC 9110, 13.1). Pure.

The ETag is that of the specification. The status changes by itself, and must not make a writer lose.
"""

import re

from control.functions.fields import malformed
from gateway.http.head import RequestHead
from tenancy.function_use_cases import Expectation, version_of
from tenancy.model.function import FunctionRecord

_TAG = re.compile(r'(?:W/)?"([!#-~]{0,128})"')
_MAX_TAGS = 16


def etag_of(record: FunctionRecord) -> str:
    """The ETag of a function."""
    return f'"{version_of(record)}"'


def expectation_of(head: RequestHead, *, present: bool = False) -> Expectation:
    """What `If-Match` and `If-None-Match` expect.

    Args:
        head: the request.
        present: whether the function must exist in any case.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    match, none_match = head.joined(b"if-match"), head.joined(b"if-none-match")
    if none_match not in {None, "*"}:
        raise malformed("'If-None-Match' must be *, which means that there is no function of this name yet")
    if match == "*":
        return Expectation(present=True, absent=none_match is not None)
    return Expectation(versions=None if match is None else _tags(match), absent=none_match is not None, present=present)


def _tags(value: str) -> frozenset[str]:
    parts = [part.strip() for part in value.split(",", _MAX_TAGS)]
    matches = [_TAG.fullmatch(part) for part in parts]
    if len(parts) > _MAX_TAGS or not all(matches):
        raise malformed("'If-Match' must be ETags in quotation marks, or *")
    # A weak one never matches (RFC 9110, 8.8.3.2).
    return frozenset(found[1] for found in matches if found and not found[0].startswith("W/"))
