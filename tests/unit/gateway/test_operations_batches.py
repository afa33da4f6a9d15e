"""Calls that wait for the database: whose they are, and what is left of those whose callers have left."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from gateway.operations.batches import Acceptances
from operations.store.batches import Outcome
from operations.store.errors import DatabaseUnavailableError
from operations.store.model import NewOperation, Request, new_id
from tests.machine import scaled

MOST, MOST_WAITING = 64, 128


def call(project_id: str = "a") -> NewOperation:
    return NewOperation(
        id=new_id(),
        project_id=project_id,
        user_id="u",
        kind="invoke",
        subject="f",
        request_id="req-1",
        request=Request(method="POST", target=b"/v1/invoke/f", fields=(), body=b""),
        fingerprint="f" * 64,
        repeatable=False,
        delegation_id=None,
        max_age_ms=1,
        retention_ms=1,
    )


class SlowDatabase:
    """Commits a transaction when a test says so; outcomes are the ids."""

    def __init__(self) -> None:
        self.transactions: list[list[NewOperation]] = []
        self.commits = asyncio.Semaphore(0)

    async def run(self, _work: Callable[..., Any], news: Sequence[NewOperation]) -> list[Outcome]:
        self.transactions.append(list(news))
        await self.commits.acquire()
        return [new.id for new in news]  # type: ignore[misc]


@pytest.fixture
def database() -> SlowDatabase:
    return SlowDatabase()


@pytest.fixture
def acceptances(database: SlowDatabase) -> Acceptances:
    return Acceptances(database)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def waiting(acceptances: Acceptances, news: Sequence[NewOperation]) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Callers whose calls wait, or are in a transaction if there was none."""
    tasks = [asyncio.create_task(acceptances.accept(new)) for new in news]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def stored(database: SlowDatabase, task: asyncio.Task[Any]) -> Any:
    """What the task has got once the database has committed whatever it was given."""
    for _ in range(10):
        database.commits.release()
    async with asyncio.timeout(scaled(10)):
        return await task


async def leave(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_calls_that_wait_share_the_next_transaction(database: SlowDatabase, acceptances: Acceptances) -> None:
    first, news = call(), [call() for _ in range(MOST + 1)]
    async with waiting(acceptances, [first]), waiting(acceptances, news) as tasks:
        assert [await stored(database, task) for task in tasks] == [new.id for new in news]
    assert [len(each) for each in database.transactions] == [1, MOST, 1]


async def test_one_too_many_is_refused(database: SlowDatabase, acceptances: Acceptances) -> None:
    news = [call() for _ in range(MOST_WAITING)]
    async with waiting(acceptances, [call()]), waiting(acceptances, news), asyncio.timeout(scaled(10)):
        with pytest.raises(DatabaseUnavailableError):
            await acceptances.accept(call())


async def test_callers_who_left_take_no_place_from_others(database: SlowDatabase, acceptances: Acceptances) -> None:
    """Their slots are free again: whoever leaves and comes again would fill the waiting list for everybody."""
    first, gone, other = call(), [call() for _ in range(MOST_WAITING)], call("b")
    async with waiting(acceptances, [first]), waiting(acceptances, gone) as left:
        await leave(left)
        async with waiting(acceptances, [other]) as (task,):
            assert await stored(database, task) == other.id
    assert database.transactions == [[first], [other]]


async def test_call_in_a_transaction_is_stored_although_its_caller_left(
    database: SlowDatabase, acceptances: Acceptances
) -> None:
    first, other = call(), call("b")
    async with waiting(acceptances, [first]) as left:
        await leave(left)
        async with waiting(acceptances, [other]) as (task,):
            assert await stored(database, task) == other.id
    assert database.transactions == [[first], [other]]
