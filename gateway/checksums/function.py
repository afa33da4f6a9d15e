"""The contract with the checksums function (`docs/reference/checksums-function.md`), and the checks of what it answers.

A function belongs to a tenant, so its answer is as trustworthy as the tenant's pods: it is read with a
bound, and counts only if it speaks of the object and the algorithms that were asked about.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import aiohttp

from gateway.budgets.courtesy import PIECE_BYTES
from gateway.checksums.algorithms import is_digest
from gateway.errors import GatewayError, Kind
from gateway.identity.caller import Caller
from gateway.invoke.exchange import NOBODY_THERE, FunctionClient
from gateway.objects.http import incomplete
from gateway.objects.model import ByteStream, Capability, ObjectKind, ObjectStat, ObjectStore, is_weak
from tenancy.directory import FunctionAddress

GiveWay = Callable[[], Awaitable[None]]

FUNCTION = "checksums"
MAX_REPLY_BYTES = 65_536
_OK = 200

_KINDS = {
    "object_changed": Kind.OBJECT_CHANGED,
    "short_read": Kind.SHORT_READ,
    "source_unreachable": Kind.SHORT_READ,
    "too_busy": Kind.FUNCTION_BUSY,
}
# The store did not honour the signed URL; another way of reading may still work.
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
        """How long a computation that broke off may be begun again."""
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
        give_way: GiveWay | None = None,
        lasting: Callable[[], GatewayError | None] = lambda: None,
        timings: dict[str, float] | None = None,
    ) -> dict[str, str]:
        """Digests of the object, lowercase hex by algorithm; its bytes are those of the ETag of `stat`.

        Args:
            address: where the function is.
            caller: for whom the store is read, if the bytes go through here.
            stat: the object.
            capability: how the function may read it.
            algorithms: which digests.
            request_id: ours.
            give_way: awaited after each `PIECE_BYTES` that go through here.
            lasting: see `Call`; asked only where the function shows signs of life while it works.
            timings: see `Call`.

        Raises:
            CapabilityRefusedError: the function may try again with another capability.
            GatewayError: OBJECT_CHANGED, SHORT_READ, FUNCTION_*, and what reading the store raises.
        """
        names = tuple(algorithms)
        headers = {"X-Openstack-Request-Id": request_id}
        if isinstance(capability, ByteStream):
            reply = await self._send_bytes(address, caller, stat, names, headers, give_way=give_way)
        else:
            order = {
                "source": {"url": capability.url, "etag": _strong(stat), "size": stat.size},
                "algorithms": names,
            }
            headers["Content-Type"] = "application/json"
            async with self._client.post(
                address, FUNCTION, headers, json.dumps(order).encode(), lasting=lasting, timings=timings
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
        give_way: GiveWay | None,
    ) -> dict[str, Any]:
        failure: GatewayError | None = None
        passed = 0

        async def watched(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            # The HTTP client wraps what goes wrong in a body; what the store said must not be lost in it.
            nonlocal failure, passed
            try:
                async for piece in pieces:
                    yield piece
                    passed += len(piece)
                    if give_way is not None and passed >= PIECE_BYTES:
                        passed = 0
                        await give_way()
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
    """The ETag that a function is to insist on; a weak one meets no condition."""
    return None if is_weak(stat.etag) else stat.etag


async def _read_reply(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The JSON object of a reply. Its content decides, not the status: signs of life fix the status early."""
    body = bytearray()
    async for piece in response.content.iter_any():
        # Signs of life are blanks before the document.
        body += piece if body else piece.lstrip()
        if len(body) > MAX_REPLY_BYTES:
            raise GatewayError(Kind.FUNCTION_FAILED, function=FUNCTION, why="its answer is too long")
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        reply = None
    if isinstance(reply, dict) and (response.status == _OK or "error" in reply):
        return reply
    if response.status in NOBODY_THERE:
        raise GatewayError(Kind.FUNCTION_UNREACHABLE, function=FUNCTION)
    raise GatewayError(Kind.FUNCTION_FAILED, function=FUNCTION, why=f"it answered {response.status} without a digest")


def digests_in(reply: dict[str, Any], stat: ObjectStat, names: tuple[str, ...]) -> dict[str, str]:
    """The digests in a function's reply, once it is found to be about this object.

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
        raise GatewayError(Kind.FUNCTION_FAILED, function=FUNCTION, why="it reported an error of its own")
    expected = (stat.etag,) if _strong(stat) else (stat.etag, None)
    if reply.get("etag") not in expected or reply.get("size") != stat.size:
        raise GatewayError(Kind.FUNCTION_FAILED, function=FUNCTION, why="it answered about another object")
    digests = reply.get("digests")
    if not isinstance(digests, dict) or not all(is_digest(name, digests.get(name)) for name in names):
        raise GatewayError(Kind.FUNCTION_FAILED, function=FUNCTION, why="its digests are incomplete or malformed")
    if any(digests.get(name, value) != value for name, value in stat.native.items()):
        raise GatewayError(
            Kind.FUNCTION_FAILED, function=FUNCTION, why="its digest is not the one that the object store knows"
        )
    return {name: digests[name] for name in names}
