"""A store that is silent is left alone for a moment, by the project that has seen it and by no other."""

from typing import Any

import pytest

from gateway.circuit import CircuitRules
from gateway.errors import GatewayError, Kind
from gateway.identity.caller import Caller
from gateway.objects.breaking import BreakingStore
from gateway.objects.http import StoreSilentError
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


async def refusals(breaking: BreakingStore, project: str, times: int) -> list[GatewayError]:
    found = []
    for _ in range(times):
        with pytest.raises(GatewayError) as caught:
            await breaking.stat(caller(project), REF)
        found.append(caught.value)
    return found


async def test_silent_store_is_not_asked_after_some_times() -> None:
    store = Store(StoreSilentError())
    found = await refusals(BreakingStore(store, CircuitRules(failures=3, seconds=60)), "a", 10)  # type: ignore[arg-type]
    assert {error.kind for error in found} == {Kind.STORE_UNAVAILABLE}
    assert all(error.retry_after_seconds for error in found)
    assert store.asked == 3


async def test_one_project_does_not_close_the_store_to_another() -> None:
    """How long a stat takes depends on the object too, and objects are of the tenants' own making."""
    store = Store(StoreSilentError())
    breaking = BreakingStore(store, CircuitRules(failures=3, seconds=60))  # type: ignore[arg-type]
    await refusals(breaking, "a", 5)
    store.failure = None
    assert await breaking.stat(caller("b"), REF) == "stat"


async def test_store_that_says_no_is_not_silent() -> None:
    """A 503 for one object is an answer."""
    store = Store(GatewayError(Kind.STORE_UNAVAILABLE))
    await refusals(BreakingStore(store, CircuitRules(failures=3, seconds=60)), "a", 10)  # type: ignore[arg-type]
    assert store.asked == 10
