"""Parses the query of an invocation: the objects that it names, and the rest, which is the function's. Pure.

Only a function that takes objects gives up the three parameters; the query of every other one is its own. What is
left is sent byte for byte.
"""

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

from gateway.compute.bindings import Binding, Bindings
from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.objects.model import ObjectRef

METHOD = "POST"
INPUT, OUTPUT, OVERWRITE = "input", "output", "overwrite"
# Servers of functions bound a field (8,190 bytes) and a head (32 KiB). A name is in a field as a URL and as text.
MAX_NAMES_BYTES = 7_168
_NAMES = frozenset(name.encode("ascii") for name in (INPUT, OUTPUT, OVERWRITE))
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_BOOLEANS = {"true": True, "false": False}


def objects_in(head: RequestHead, *, most: int) -> tuple[Bindings, bytes] | None:
    """The objects that a request names, and the rest of its query; None if it names none.

    Args:
        head: of a request to a function that takes objects.
        most: maximum number of objects.

    Raises:
        GatewayError: REQUEST_MALFORMED, REQUEST_HEAD_TOO_LARGE.
    """
    ours: dict[str, list[str]] = {INPUT: [], OUTPUT: [], OVERWRITE: []}
    rest = []
    for pair in head.query.split(b"&"):
        name, _, value = pair.partition(b"=")
        decoded = _decoded(name)
        if decoded in _NAMES:
            ours[decoded.decode("ascii")].append(_text(value))
        else:
            rest.append(pair)
    count = len(ours[INPUT]) + len(ours[OUTPUT])
    if not count:
        return None
    if head.method != METHOD:
        raise _malformed(f"inputs and outputs need the method {METHOD}")
    if count > most:
        raise _malformed(f"it names {count} inputs and outputs, and {most} is the maximum")
    bindings = Bindings(
        inputs=_bindings(INPUT, ours[INPUT]),
        outputs=_bindings(OUTPUT, ours[OUTPUT]),
        overwrite=_boolean(ours[OVERWRITE]),
    )
    _check(bindings)
    return bindings, b"&".join(rest)


def _bindings(role: str, values: Iterable[str]) -> tuple[Binding, ...]:
    """Each value is `[name:]container/object`; without a name, the position is the name, from 1."""
    found: dict[str, Binding] = {}
    for position, value in enumerate(values, start=1):
        container, _, name = value.partition("/")
        label, colon, rest = container.partition(":")
        if not colon:
            label, rest = str(position), container
        elif not _LABEL.fullmatch(label):
            raise _malformed(f"the name before the colon of an {role} must match {_LABEL.pattern}")
        if label in found:
            raise _malformed(f"two of the parameters '{role}' have the name '{label}'")
        found[label] = Binding(label, ObjectRef(rest, name))
    return tuple(found.values())


def _check(bindings: Bindings) -> None:
    read, written = ([each.ref for each in group] for group in (bindings.inputs, bindings.outputs))
    if len(set(written)) < len(written) or set(read) & set(written):
        raise _malformed("an output is named twice, or is also an input")
    names = [part for ref in (*read, *written) for part in (ref.container, ref.name)]
    size = sum(len(quote(name)) + len(json.dumps(name)) for name in names)
    if size > MAX_NAMES_BYTES:
        why = f"the names of inputs and outputs take more than {MAX_NAMES_BYTES} bytes"
        raise GatewayError(ErrorCode.REQUEST_HEAD_TOO_LARGE, why=why)


def _boolean(values: list[str]) -> bool:
    if len(values) > 1 or any(value not in _BOOLEANS for value in values):
        raise _malformed(f"the parameter '{OVERWRITE}' must be true or false, once")
    return bool(values) and _BOOLEANS[values[0]]


def _decoded(part: bytes) -> bytes:
    return unquote_to_bytes(part.replace(b"+", b" "))


def _text(value: bytes) -> str:
    try:
        return _decoded(value).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed("a name is not UTF-8") from error


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
