"""What a caller asks for with `Prefer: respond-async` and the fields beside it. Pure."""

import re
from dataclasses import dataclass
from typing import TypedDict

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead

_RESPOND_ASYNC, _WAIT = "respond-async", "wait"
_SECONDS = re.compile(r"[0-9]{1,9}")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncPreference:
    """A request whose answer is wanted later.

    Attributes:
        wait_seconds: how long the caller waits for the answer before a 202 (RFC 7240, 4.3).
        rest: the other preferences, for the function; None if there are none.
        idempotency_key: None if there is none.
        callback_url: where the end is to be reported.
        retention_seconds: how long the operation is to be kept after its end; None: the default.
    """

    wait_seconds: int = 0
    rest: str | None = None
    idempotency_key: str | None = None
    callback_url: str | None = None
    retention_seconds: int | None = None


class _OtherFields(TypedDict):
    idempotency_key: str | None
    callback_url: str | None
    retention_seconds: int | None


def async_preference(head: RequestHead) -> AsyncPreference | None:
    """The caller's preference; None if the answer is wanted now.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    prefer = head.joined(b"prefer")
    if prefer is None or _RESPOND_ASYNC not in prefer.lower():
        return None
    given = [each.strip() for each in prefer.split(",") if each.strip()]
    named = {_name(each): each for each in reversed(given)}  # the first of two counts (RFC 7240, 2)
    if _RESPOND_ASYNC not in named:
        return None
    rest = [each for each in given if _name(each) not in {_RESPOND_ASYNC, _WAIT}]
    return AsyncPreference(
        wait_seconds=_seconds(named[_WAIT].partition("=")[2].strip().strip('"'), "Prefer: wait")
        if _WAIT in named
        else 0,
        rest=", ".join(rest) or None,
        **_other_fields(head),
    )


def always_async(head: RequestHead) -> AsyncPreference:
    """The preference for a route that has no other way; `Prefer` may be left out.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    return async_preference(head) or AsyncPreference(**_other_fields(head))


def _other_fields(head: RequestHead) -> _OtherFields:
    return {
        "idempotency_key": _key(_only(head, b"idempotency-key")),
        "callback_url": _only(head, b"x-callback-url"),
        "retention_seconds": _retention(_only(head, b"result-retention")),
    }


def _name(preference: str) -> str:
    return re.split(r"[=;]", preference, maxsplit=1)[0].strip().lower()


def _only(head: RequestHead, name: bytes) -> str | None:
    values = head.all(name)
    if len(values) > 1:
        raise _malformed(f"the field {name.decode('ascii')} is there more than once")
    return values[0].strip() if values else None


def _key(value: str | None) -> str | None:
    # A string of structured fields in the draft; most clients send the bare word.
    if value is None:
        return None
    bare = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    if not _KEY.fullmatch(bare):
        raise _malformed("Idempotency-Key must have 1 to 255 printable characters")
    return bare


def _retention(value: str | None) -> int | None:
    return None if value is None else _seconds(value, "Result-Retention")


def _seconds(value: str, what: str) -> int:
    if not _SECONDS.fullmatch(value):
        raise _malformed(f"{what} must be a number of seconds")
    return int(value)


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
