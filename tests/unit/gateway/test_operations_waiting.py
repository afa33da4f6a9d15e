"""Callers that wait for operations, and what that costs the database."""

import asyncio
from collections.abc import Collection

import pytest

from gateway.operations.waiting import BATCH, WaitingCallers
from operations.store.errors import DatabaseUnavailableError


class Store:
    """Counts queries; operations end when a test says so."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.queries: list[int] = []
        self.away = False
        self.asked = asyncio.Semaphore(0)

    async def finished_among(self, ids: Collection[str]) -> frozenset[str]:
        self.queries.append(len(ids))
        self.asked.release()
        if self.away:
            raise DatabaseUnavailableError
        return frozenset(self.ended & set(ids))


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def waiting(store: Store) -> WaitingCallers:
    return WaitingCallers(store.finished_among, interval_seconds=0.01)


async def until(store: Store, queries: int) -> None:
    for _ in range(queries):
        await store.asked.acquire()


async def test_many_callers_cost_one_query_at_each_interval(store: Store, waiting: WaitingCallers) -> None:
    callers = [asyncio.create_task(waiting.finished_within(f"o{number}", 60)) for number in range(200)]
    await until(store, 3)
    assert set(store.queries) == {200}
    store.ended.update(f"o{number}" for number in range(200))
    assert await asyncio.gather(*callers) == [True] * 200


async def test_a_query_names_a_bounded_number_of_operations(store: Store, waiting: WaitingCallers) -> None:
    store.ended.update(f"o{number}" for number in range(BATCH + 1))
    callers = [waiting.finished_within(f"o{number}", 60) for number in range(BATCH + 1)]
    assert all(await asyncio.gather(*callers))
    assert max(store.queries) == BATCH


async def test_what_has_not_ended_in_time_is_said_and_forgotten(store: Store, waiting: WaitingCallers) -> None:
    assert not await waiting.finished_within("o", 0.02)
    asked = len(store.queries)
    await asyncio.sleep(0.05)
    assert len(store.queries) <= asked + 1
    assert waiting._waiting == {}


async def test_two_callers_of_one_operation_are_both_told(store: Store, waiting: WaitingCallers) -> None:
    callers = [asyncio.create_task(waiting.finished_within("o", 60)) for _ in range(2)]
    await until(store, 1)
    store.ended.add("o")
    assert await asyncio.gather(*callers) == [True, True]


async def test_one_who_leaves_keeps_no_other_from_the_end(store: Store, waiting: WaitingCallers) -> None:
    leaving, staying = (asyncio.create_task(waiting.finished_within("o", 60)) for _ in range(2))
    await until(store, 1)
    leaving.cancel()
    store.ended.add("o")
    assert await staying


async def test_a_database_that_is_away_ends_the_wait_and_the_next_caller_begins_anew(
    store: Store, waiting: WaitingCallers
) -> None:
    store.away = True
    assert not await waiting.finished_within("o", 60)
    store.away = False
    store.ended.add("o")
    assert await waiting.finished_within("o", 60)
