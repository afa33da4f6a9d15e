"""The reply of a function to an order about one object (`docs/reference/checksums-function.md`).

A function belongs to a tenant, so its reply is no more trustworthy than the tenant's pods: its size is limited, and it
is rejected unless it is about the object in the order.
"""

import json
from collections.abc import Mapping
from typing import Any

from gateway.compute.job import CapabilityRefusedError, Contract, Result
from gateway.errors import ErrorCode, GatewayError
from gateway.objects.http import incomplete
from gateway.objects.model import ObjectKind, ObjectStat, is_same_etag, is_weak
from gateway.upstream.function_client import NOBODY_THERE
from gateway.upstream.reply import Reply

MAX_REPLY_BYTES = 65_536
_OK = 200

_ERRORS = {
    "object_changed": ErrorCode.OBJECT_CHANGED,
    "short_read": ErrorCode.OBJECT_TRUNCATED,
    "source_unreachable": ErrorCode.OBJECT_TRUNCATED,
    "too_busy": ErrorCode.FUNCTION_BUSY,
}
# The store did not accept the signed URL; another capability may still work.
_INCOMPLETE = "source_incomplete"
_REFUSED = frozenset(["source_refused", "source_missing", _INCOMPLETE])


def failed(function: str, why: str) -> GatewayError:
    """FUNCTION_FAILED with a reason."""
    return GatewayError(ErrorCode.FUNCTION_FAILED, function=function, why=why)


def strong_etag(stat: ObjectStat) -> str | None:
    """The ETag that a function must require; None for a weak one, which meets no condition."""
    return None if is_weak(stat.etag) else stat.etag


async def read_reply(response: Reply, function: str) -> Mapping[str, Any]:
    """The JSON object of a reply. Its content decides, not the status, which is sent with the first keep-alive.

    Raises:
        GatewayError: FUNCTION_FAILED, FUNCTION_UNREACHABLE.
    """
    body = bytearray()
    async for piece in response.pieces():
        # Keep-alives are blanks before the document.
        body += piece if body else piece.lstrip()
        if len(body) > MAX_REPLY_BYTES:
            raise failed(function, f"its reply is longer than {MAX_REPLY_BYTES} bytes")
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        reply = None
    if isinstance(reply, dict) and (response.status == _OK or "error" in reply):
        return reply
    if response.status in NOBODY_THERE:
        raise GatewayError(ErrorCode.FUNCTION_UNREACHABLE, function=function)
    raise failed(function, f"it returned {response.status} without a result")


def result_of(contract: Contract[Result], reply: Mapping[str, Any], stat: ObjectStat) -> Result:
    """The result in a reply that is about this object and fulfils the contract.

    Raises:
        CapabilityRefusedError: the function may try again with another capability.
        GatewayError: OBJECT_CHANGED, OBJECT_TRUNCATED, OBJECT_UNSUPPORTED, FUNCTION_BUSY, FUNCTION_FAILED.
    """
    _check(reply, stat, contract.function)
    return contract.result(reply, stat)


def _check(reply: Mapping[str, Any], stat: ObjectStat, function: str) -> None:
    error = reply.get("error")
    if error is not None:
        code = error.get("code") if isinstance(error, dict) else None
        if code == _INCOMPLETE and stat.kind is ObjectKind.STATIC_LARGE:
            raise incomplete()
        if isinstance(code, str) and code in _REFUSED:
            raise CapabilityRefusedError
        if isinstance(code, str) and code in _ERRORS:
            raise GatewayError(_ERRORS[code], function=function)
        raise failed(function, "it reported an unknown error")
    if not _is_about(reply.get("etag"), stat) or reply.get("size") != stat.size:
        raise failed(function, "its reply is about another object")


def _is_about(etag: object, stat: ObjectStat) -> bool:
    """Whether a reply names the object's ETag. Where that is weak, the function may have seen none, or a strong one."""
    if etag is None:
        return is_weak(stat.etag)
    return isinstance(etag, str) and is_same_etag(etag, stat.etag)
