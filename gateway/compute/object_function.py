"""One order to a tenant's function: with a capability for the object, or with the object's bytes as its body."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.compute.batch import MEDIA_TYPE, BatchOrder
from gateway.compute.job import Job, Result
from gateway.compute.reply import read_reply, result_of, strong_etag
from gateway.errors import GatewayError
from gateway.limits.background_throttle import PIECE_BYTES
from gateway.objects.model import ByteStream, Capability, ObjectStore
from gateway.upstream.function_client import FunctionClient, FunctionRequest
from gateway.upstream.request import never
from tenancy.directory.protocol import FunctionAddress

Pause = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The destination of a job.

    Attributes:
        address: of the function.
        permanent_failure: returns the reason to stop waiting for the function, or None; called while it is silent.
        pause: awaited after each `PIECE_BYTES` of a body; None: no pauses.
    """

    address: FunctionAddress
    permanent_failure: Callable[[], GatewayError | None] = never
    pause: Pause | None = None


class ObjectFunction:
    """Sends orders to functions."""

    def __init__(self, client: FunctionClient, store: ObjectStore) -> None:
        self._client = client
        self._store = store

    @property
    def retry_seconds(self) -> float:
        """How long an interrupted order is retried."""
        return self._client.retry_seconds

    async def compute(self, job: Job[Result], target: Target, capability: Capability) -> Result:
        """The result, computed over the bytes that have the ETag of `job.stat`.

        Raises:
            CapabilityRefusedError: the function may try again with another capability.
            GatewayError: OBJECT_CHANGED, OBJECT_TRUNCATED, FUNCTION_*, and what reading the store raises.
        """
        if isinstance(capability, ByteStream):
            reply = await self._send_bytes(job, target)
        else:
            reply = await self._send_url(job, target, capability.url)
        return result_of(job.contract, reply, job.stat)

    async def compute_batch(self, order: BatchOrder[Result], target: Target) -> list[Result]:
        """The results of many jobs whose objects are in memory, in their order.

        Raises:
            BatchRefusedError: the function does not take batches.
            GatewayError: FUNCTION_*; no job has a result then.
        """
        reply = await self._send(order.loaded[0].job, target, {"Content-Type": MEDIA_TYPE}, order.body())
        return order.results(reply)

    async def _send_url(self, job: Job[Result], target: Target, url: str) -> Mapping[str, Any]:
        source = {"url": url, "etag": strong_etag(job.stat), "size": job.stat.size}
        body = json.dumps({"source": source, **job.contract.order()}).encode()
        return await self._send(job, target, {"Content-Type": "application/json"}, body)

    async def _send_bytes(self, job: Job[Result], target: Target) -> Mapping[str, Any]:
        etag = strong_etag(job.stat)
        fields = {
            "Content-Type": "application/octet-stream",
            "X-Object-Size": str(job.stat.size),
            **({"X-Object-Etag": etag} if etag else {}),
            **job.contract.fields(),
        }
        async with self._store.reading(job.call.caller, job.stat) as pieces:
            return await self._send(job, target, fields, _paced(pieces, target.pause))

    async def _send(
        self, job: Job[Result], target: Target, fields: Mapping[str, str], body: bytes | AsyncIterator[bytes]
    ) -> Mapping[str, Any]:
        context = job.call.context
        request = FunctionRequest(
            job.contract.function,
            fields=[
                (name.encode("ascii"), value.encode("utf-8"))
                for name, value in {"X-Openstack-Request-Id": context.request_id, **fields}.items()
            ],
            body=body,
            length=job.stat.size,
            tracestate=False,
            repeated=True,
            permanent_failure=target.permanent_failure,
            timings=context.timings,
            usage=context.usage,
        )
        async with self._client.exchange(target.address, request) as reply:
            return await read_reply(reply, job.contract.function)


async def _paced(pieces: AsyncIterator[bytes], pause: Pause | None) -> AsyncIterator[bytes]:
    """The bytes of an object, with pauses."""
    passed = 0
    async for piece in pieces:
        yield piece
        passed += len(piece)
        if pause is not None and passed >= PIECE_BYTES:
            passed = 0
            await pause()
