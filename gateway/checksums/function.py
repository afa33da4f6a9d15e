"""Contract of the checksums function (`docs/function.md`), and validation of its replies.

A function belongs to a tenant, so its reply is untrusted: it is read with a size limit, and accepted only if it is
about the requested object and algorithms.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import aiohttp

from gateway.checksums.algorithms import is_digest
from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.invoke.function_client import NOBODY_THERE, FunctionClient
from gateway.limits.background_throttle import PIECE_BYTES
from gateway.objects.http import incomplete
from gateway.objects.model import ByteStream, Capability, ObjectKind, ObjectStat, ObjectStore, is_weak
from tenancy.directory import FunctionAddress

YieldToInteractive = Callable[[], Awaitable[None]]

FUNCTION = "checksums"
MAX_REPLY_BYTES = 65_536
_OK = 200

_KINDS = {
    "object_changed": ErrorCode.OBJECT_CHANGED,
    "short_read": ErrorCode.SHORT_READ,
    "source_unreachable": ErrorCode.SHORT_READ,
    "too_busy": ErrorCode.FUNCTION_BUSY,
}
# The store rejected the signed URL; another capability may work.
_INCOMPLETE = "source_incomplete"
_REFUSED = frozenset(["source_refused", "source_missing", _INCOMPLETE])


class CapabilityRefusedError(Exception):
    """The store refused the capability that the function was given."""


class ChecksumsFunction:
    """Computes digests by calling the tenant's function."""

    def __init__(self, client: FunctionClient, store: ObjectStore) -> None:
        self._client = client
        self._store = store

    @property
    def retry_seconds(self) -> float:
        """How long an interrupted computation is retried."""
        return self._client.retry_seconds

    async def compute(
        self,
        address: FunctionAddress,
        caller: Caller,
        stat: ObjectStat,
        capability: Capability,
        algorithms: Iterable[str],
        *,
        request_id: str,
        yield_to_interactive: YieldToInteractive | None = None,
        permanent_failure: Callable[[], GatewayError | None] = lambda: None,
        timings: dict[str, float] | None = None,
    ) -> dict[str, str]:
        """Digests of the object, lowercase hex by algorithm, of the bytes with the ETag of `stat`.

        Args:
            address: of the function.
            caller: whose token reads the store, if the gateway streams the bytes.
            stat: the object.
            capability: how the function may read it.
            algorithms: names of the digests.
            request_id: ours.
            yield_to_interactive: awaited after each `PIECE_BYTES` of a stream.
            permanent_failure: see `Call`; used only where the function sends keep-alives while it works.
            timings: see `Call`.

        Raises:
            CapabilityRefusedError: retry with another capability.
            GatewayError: OBJECT_CHANGED, SHORT_READ, FUNCTION_*, and errors of reading the store.
        """
        names = tuple(algorithms)
        headers = {"X-Openstack-Request-Id": request_id}
        if isinstance(capability, ByteStream):
            reply = await self._send_bytes(
                address, caller, stat, names, headers, yield_to_interactive=yield_to_interactive
            )
        else:
            order = {
                "source": {"url": capability.url, "etag": _strong(stat), "size": stat.size},
                "algorithms": names,
            }
            headers["Content-Type"] = "application/json"
            async with self._client.post(
                address,
                FUNCTION,
                headers,
                json.dumps(order).encode(),
                permanent_failure=permanent_failure,
                timings=timings,
            ) as response:
                reply = await _read_reply(response)
        return digests_in(reply, stat, names)

    async def _send_bytes(
        self,
        address: FunctionAddress,
        caller: Caller,
        stat: ObjectStat,
        names: tuple[str, ...],
        headers: dict[str, str],
        *,
        yield_to_interactive: YieldToInteractive | None,
    ) -> dict[str, Any]:
        failure: GatewayError | None = None
        passed = 0

        async def watched(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            # The HTTP client wraps exceptions of a body; the store's error must not be lost.
            nonlocal failure, passed
            try:
                async for piece in pieces:
                    yield piece
                    passed += len(piece)
                    if yield_to_interactive is not None and passed >= PIECE_BYTES:
                        passed = 0
                        await yield_to_interactive()
            except GatewayError as error:
                failure = error
                raise

        fields = {
            **headers,
            "Content-Type": "application/octet-stream",
            "Content-Length": str(stat.size),
            "X-Object-Size": str(stat.size),
            **({"X-Object-Etag": etag} if (etag := _strong(stat)) else {}),
            "X-Checksum-Algorithms": ",".join(names),
        }
        async with self._store.reading(caller, stat) as pieces:
            try:
                async with self._client.post(address, FUNCTION, fields, watched(pieces)) as response:
                    reply = await _read_reply(response)
            except GatewayError:
                if failure is not None:
                    raise failure from None
                raise
        if failure is not None:
            raise failure
        return reply


def _strong(stat: ObjectStat) -> str | None:
    """The ETag for the function's If-Match; None for a weak one, which matches no condition."""
    return None if is_weak(stat.etag) else stat.etag


async def _read_reply(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Reads the JSON object of a reply. Its content decides, not the status: keep-alives fix the status early."""
    body = bytearray()
    async for piece in response.content.iter_any():
        # Keep-alives are blanks before the document.
        body += piece if body else piece.lstrip()
        if len(body) > MAX_REPLY_BYTES:
            raise GatewayError(ErrorCode.FUNCTION_FAILED, function=FUNCTION, why="its answer is too long")
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        reply = None
    if isinstance(reply, dict) and (response.status == _OK or "error" in reply):
        return reply
    if response.status in NOBODY_THERE:
        raise GatewayError(ErrorCode.FUNCTION_UNREACHABLE, function=FUNCTION)
    raise GatewayError(
        ErrorCode.FUNCTION_FAILED, function=FUNCTION, why=f"it answered {response.status} without a digest"
    )


def digests_in(reply: dict[str, Any], stat: ObjectStat, names: tuple[str, ...]) -> dict[str, str]:
    """Validates a function's reply, and returns its digests.

    Raises:
        CapabilityRefusedError, GatewayError: see `ChecksumsFunction.compute`.
    """
    error = reply.get("error")
    if error is not None:
        code = error.get("code") if isinstance(error, dict) else None
        if code == _INCOMPLETE and stat.kind is ObjectKind.STATIC_LARGE:
            raise incomplete()
        if isinstance(code, str) and code in _REFUSED:
            raise CapabilityRefusedError
        if isinstance(code, str) and code in _KINDS:
            raise GatewayError(_KINDS[code], function=FUNCTION)
        raise GatewayError(ErrorCode.FUNCTION_FAILED, function=FUNCTION, why="it reported an error of its own")
    expected = (stat.etag,) if _strong(stat) else (stat.etag, None)
    if reply.get("etag") not in expected or reply.get("size") != stat.size:
        raise GatewayError(ErrorCode.FUNCTION_FAILED, function=FUNCTION, why="it answered about another object")
    digests = reply.get("digests")
    if not isinstance(digests, dict) or not all(is_digest(name, digests.get(name)) for name in names):
        raise GatewayError(ErrorCode.FUNCTION_FAILED, function=FUNCTION, why="its digests are incomplete or malformed")
    if any(digests.get(name, value) != value for name, value in stat.native.items()):
        raise GatewayError(
            ErrorCode.FUNCTION_FAILED, function=FUNCTION, why="its digest is not the one that the object store knows"
        )
    return {name: digests[name] for name in names}
