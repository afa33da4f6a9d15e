"""A store that is silent is left alone for a moment, by the project that has seen it and by no other."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.circuit import CircuitRules
from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.objects.circuit_breaking import CircuitBreakingStore
from gateway.objects.http import StoreUnreachableError, refused
from gateway.objects.model import ObjectRef
from policies.names import ProjectId

REF = ObjectRef("c", "o")


class Store:
    """A store that fails as it is told, and counts how often it was asked."""

    def __init__(self, failure: GatewayError | None) -> None:
        self.failure = failure
        self.asked = 0

    async def stat(self, caller: Caller, ref: ObjectRef) -> Any:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return "stat"


def caller(project: str) -> Caller:
    return Caller("t", "u", "u", ProjectId(project), project, frozenset(), 0)


async def refusals(breaking: CircuitBreakingStore, project: str, times: int) -> list[GatewayError]:
    found = []
    for _ in range(times):
        with pytest.raises(GatewayError) as caught:
            await breaking.stat(caller(project), REF)
        found.append(caught.value)
    return found


async def test_silent_store_is_not_asked_after_some_times() -> None:
    store = Store(StoreUnreachableError())
    found = await refusals(CircuitBreakingStore(store, CircuitRules(failures=3, seconds=60)), "a", 10)  # type: ignore[arg-type]
    assert {error.kind for error in found} == {ErrorCode.STORE_UNAVAILABLE}
    assert all(error.retry_after_seconds for error in found)
    assert store.asked == 3


async def test_one_project_does_not_close_the_store_to_another() -> None:
    """How long a stat takes depends on the object too, and objects are of the tenants' own making."""
    store = Store(StoreUnreachableError())
    breaking = CircuitBreakingStore(store, CircuitRules(failures=3, seconds=60))  # type: ignore[arg-type]
    await refusals(breaking, "a", 5)
    store.failure = None
    assert await breaking.stat(caller("b"), REF) == "stat"


async def test_store_that_says_no_is_not_silent() -> None:
    """A 503 for one object is an answer."""
    store = Store(GatewayError(ErrorCode.STORE_UNAVAILABLE))
    await refusals(CircuitBreakingStore(store, CircuitRules(failures=3, seconds=60)), "a", 10)  # type: ignore[arg-type]
    assert store.asked == 10


class Returning(Store):
    """A store that comes back after some failures."""

    def __init__(self, *failures: GatewayError) -> None:
        super().__init__(None)
        self._failures = list(failures)

    async def stat(self, caller: Caller, ref: ObjectRef) -> Any:
        self.failure = self._failures.pop(0) if self._failures else None
        return await super().stat(caller, ref)


RULES = CircuitRules(failures=2, seconds=60)


@pytest.mark.parametrize(
    "failure", [GatewayError(ErrorCode.OBJECT_NOT_FOUND), GatewayError(ErrorCode.STORE_UNAVAILABLE)]
)
async def test_answer_of_the_store_is_not_asked_for_again(failure: GatewayError) -> None:
    """An unexpected status, like a redirect, will be the same in a moment."""
    store = Returning(failure)
    await refusals(CircuitBreakingStore(store, RULES, retry_seconds=60), "a", 1)  # type: ignore[arg-type]
    assert store.asked == 1


async def test_attempts_of_one_lookup_are_one_question_of_the_circuit_and_end_with_their_time() -> None:
    store = Store(StoreUnreachableError())
    breaking = CircuitBreakingStore(store, RULES, retry_seconds=0.5)  # type: ignore[arg-type]
    await refusals(breaking, "a", 2)
    asked = store.asked
    assert 2 < asked < 12
    await refusals(breaking, "a", 3)
    assert store.asked == asked


async def test_store_that_comes_back_is_waited_for() -> None:
    store = Returning(StoreUnreachableError(), refused(503), StoreUnreachableError())
    breaking = CircuitBreakingStore(store, RULES, retry_seconds=60)  # type: ignore[arg-type]
    assert await breaking.stat(caller("a"), REF) == "stat"
    assert store.asked == 4


async def test_objects_that_cannot_be_opened_open_the_circuit_as_those_that_cannot_be_looked_up() -> None:
    class Opening(Store):
        @contextlib.asynccontextmanager
        async def opening(self, who: Caller, ref: ObjectRef, _max_bytes: int) -> AsyncIterator[Any]:
            yield await self.stat(who, ref)

    store = Opening(StoreUnreachableError())
    breaking = CircuitBreakingStore(store, CircuitRules(failures=3, seconds=60))  # type: ignore[arg-type]
    for _ in range(10):
        with pytest.raises(GatewayError) as caught:
            async with breaking.opening(caller("a"), REF, 9):
                pass
        assert caught.value.kind is ErrorCode.STORE_UNAVAILABLE
    assert store.asked == 3
    store.failure = None
    async with breaking.opening(caller("b"), REF, 9) as opened:
        assert opened == "stat"
    # What a caller does with an open object is no evidence about the store.
    for _ in range(5):
        with contextlib.suppress(StoreUnreachableError):
            async with breaking.opening(caller("b"), REF, 9):
                raise StoreUnreachableError
    async with breaking.opening(caller("b"), REF, 9) as opened:
        assert opened == "stat"
