"""Binds objects to an invocation: stats them as the caller, signs a URL for each, and stats them again afterwards.

The store decides about each object with the caller's token, before the function is called, and says afterwards what
became of it. The function gets no token and no key.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.compute.binding_fields import refusal_fields
from gateway.compute.bindings import (
    Binding,
    Bindings,
    BoundObjects,
    Input,
    InputState,
    ObjectResult,
    ObjectResults,
    Output,
    OutputState,
)
from gateway.errors import ErrorCode, GatewayError
from gateway.objects.model import ObjectRef, ObjectStat, ObjectStore, SignedUrl

Result = TypeVar("Result")


class ObjectBinder:
    """Binds objects to a call with the caller's token, and checks them after it."""

    def __init__(self, admission: Admission, store: ObjectStore, *, clock: Callable[[], float] = time.time) -> None:
        self._admission = admission
        self._store = store
        self._clock = clock

    async def bind(self, call: Call, bindings: Bindings) -> BoundObjects:
        """Stats the objects, and signs a URL for each. Each object counts as one call more.

        Raises:
            GatewayError: OBJECT_EXISTS, OBJECT_NO_CAPABILITY, OBJECT_DENIED_BY_RULE, or as `ObjectStore.stat`, with a
                field that names the object; RATE_EXCEEDED.
        """
        await self._admission.count(call, len(bindings))
        started = time.perf_counter()
        expires_from = self._clock()
        # One after the other: the call holds no slot yet, so it has one request to the store at a time, as any other.
        overwrite = bindings.overwrite
        inputs = [await self._named(call, each, self._input(call, each), of_input=True) for each in bindings.inputs]
        outputs = [
            await self._named(call, each, self._output(call, each, overwrite=overwrite), of_input=False)
            for each in bindings.outputs
        ]
        call.context.timings["stat"] = time.perf_counter() - started
        urls = [each.url for each in inputs] + [each.url for each in outputs]
        seconds = min(url.seconds for url in urls)
        return BoundObjects(inputs=tuple(inputs), outputs=tuple(outputs), expires_at=int(expires_from + seconds))

    async def results(self, call: Call, bound: BoundObjects) -> ObjectResults:
        """What the store says about the objects now. Never raises: a failed stat leaves a state unknown."""
        started = time.perf_counter()
        inputs, outputs = await asyncio.gather(
            asyncio.gather(*(self._of_input(call, each) for each in bound.inputs)),
            asyncio.gather(*(self._of_output(call, each) for each in bound.outputs)),
        )
        call.context.timings["results"] = time.perf_counter() - started
        return ObjectResults(tuple(inputs), tuple(outputs))

    async def _named(
        self, call: Call, binding: Binding, work: Coroutine[Any, Any, Result], *, of_input: bool
    ) -> Result:
        try:
            return await work
        except GatewayError as error:
            raise self._refusal(call, error).with_headers(
                refusal_fields(binding, of_input=of_input)
            ) from error.__cause__

    def _refusal(self, call: Call, error: GatewayError) -> GatewayError:
        rejected = error.kind is ErrorCode.TOKEN_INVALID
        return self._admission.token_rejected(call, error) if rejected else error

    async def _input(self, call: Call, binding: Binding) -> Input:
        stat = await self._store.stat(call.caller, binding.ref)
        async for capability in self._store.capabilities(call.caller, stat, bound=True):
            if isinstance(capability, SignedUrl):
                return Input(binding, stat, capability)
        raise _no_capability(call, "read")

    async def _output(self, call: Call, binding: Binding, *, overwrite: bool) -> Output:
        before = await self._stat_if_exists(call, binding.ref)
        if before is not None and not overwrite:
            raise GatewayError(ErrorCode.OBJECT_EXISTS)
        url = await self._store.write_url(call.caller, binding.ref, new=not overwrite)
        if url is None:
            raise _no_capability(call, "write")
        return Output(binding, before, url)

    async def _stat_if_exists(self, call: Call, ref: ObjectRef) -> ObjectStat | None:
        try:
            return await self._store.stat(call.caller, ref)
        except GatewayError as error:
            if error.kind is ErrorCode.OBJECT_NOT_FOUND:
                return None
            raise

    async def _of_input(self, call: Call, bound: Input) -> ObjectResult:
        name = bound.binding.name
        try:
            now = await self._stat_if_exists(call, bound.binding.ref)
        except GatewayError:
            return ObjectResult(name, InputState.UNKNOWN)
        if now is None:
            return ObjectResult(name, InputState.MISSING)
        unchanged = now.identity == bound.stat.identity
        return ObjectResult(name, InputState.UNCHANGED if unchanged else InputState.CHANGED, now)

    async def _of_output(self, call: Call, bound: Output) -> ObjectResult:
        name = bound.binding.name
        try:
            now = await self._stat_if_exists(call, bound.binding.ref)
        except GatewayError:
            return ObjectResult(name, OutputState.UNKNOWN)
        if now is None:
            return ObjectResult(name, OutputState.MISSING)
        unchanged = bound.before is not None and now.identity == bound.before.identity
        return ObjectResult(name, OutputState.UNCHANGED if unchanged else OutputState.WRITTEN, now)


def _no_capability(call: Call, verb: str) -> GatewayError:
    if call.caller.access_rules is not None:
        return GatewayError(ErrorCode.OBJECT_DENIED_BY_RULE)
    return GatewayError(ErrorCode.OBJECT_NO_CAPABILITY, verb=verb)
