"""Many callers, one piece of work."""

import asyncio
import contextlib

import pytest

from gateway.single_flight import AbandonedError, SingleFlight


class Work:
    """Work that ends when it is told to, and counts its runs and its cancellations."""

    def __init__(self) -> None:
        self.runs = 0
        self.cancelled = 0
        self.finish = asyncio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        run = self.runs
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return run


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_exception_reaches_all_who_wait() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    runs = 0

    async def fail() -> int:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)
        raise LookupError("gone")

    results = await asyncio.gather(*(flights.run("k", fail) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [LookupError] * 5
    assert runs == 1
    assert "k" not in flights


async def test_last_waiters_cancellation_cancels_the_work() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    waiters = [asyncio.create_task(flights.run("k", work)) for _ in range(3)]
    await settle()
    for waiter in waiters:
        waiter.cancel()
    await settle()
    assert all(waiter.cancelled() for waiter in waiters)
    assert (work.runs, work.cancelled) == (1, 1)
    assert "k" not in flights


async def test_one_waiter_that_leaves_does_not_take_the_work_from_the_others() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    starter, other = (asyncio.create_task(flights.run("k", work)) for _ in range(2))
    await settle()
    starter.cancel()
    await settle()
    assert starter.cancelled()
    assert work.cancelled == 0
    work.finish.set()
    assert await other == 1


async def test_work_that_has_begun_continues_after_a_caller_who_will_return() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    waiters = [asyncio.create_task(flights.run("k", work, returning=returning)) for returning in (True, False)]
    await settle()
    flights.begun("k")
    for waiter in waiters:
        waiter.cancel()
        await settle()
    assert work.cancelled == 0
    again = asyncio.create_task(flights.run("k", work))
    await settle()
    work.finish.set()
    assert await again == 1
    assert "k" not in flights


@pytest.mark.parametrize(("returning", "begun"), [(True, False), (False, True)])
async def test_queued_work_and_that_of_a_caller_who_will_not_return_are_cancelled(
    *, returning: bool, begun: bool
) -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    waiter = asyncio.create_task(flights.run("k", work, returning=returning))
    await settle()
    if begun:
        flights.begun("k")
    waiter.cancel()
    await settle()
    assert (work.runs, work.cancelled) == (1, 1)
    assert "k" not in flights


async def test_newcomer_does_not_join_work_that_is_being_cancelled() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    entered, leave = asyncio.Event(), asyncio.Event()

    async def reluctant() -> int:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            await leave.wait()  # cleaning up takes a while
        return 0

    async def fresh() -> int:
        return 7

    waiter = asyncio.create_task(flights.run("k", reluctant))
    await entered.wait()
    waiter.cancel()
    await settle()
    assert "k" not in flights
    assert await flights.run("k", fresh) == 7
    leave.set()
    await settle()
    assert "k" not in flights


async def test_old_works_end_does_not_forget_its_successor() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    leave = asyncio.Event()

    async def reluctant() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            await leave.wait()
        return 0

    old = asyncio.create_task(flights.run("k", reluctant))
    await settle()
    old.cancel()
    await settle()
    work = Work()
    successor = asyncio.create_task(flights.run("k", work))
    await settle()
    leave.set()
    await settle()
    assert "k" in flights
    work.finish.set()
    assert await successor == 1


async def test_many_callers_get_the_result_of_one_run() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    waiters = [asyncio.create_task(flights.run("k", work)) for _ in range(100)]
    await settle()
    assert "k" in flights
    work.finish.set()
    assert await asyncio.gather(*waiters) == [1] * 100
    assert work.runs == 1


async def test_other_keys_do_not_wait_for_each_other() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    waiter = asyncio.create_task(flights.run("slow", work))

    async def quick() -> int:
        return 2

    assert await flights.run("quick", quick) == 2
    assert not waiter.done()
    work.finish.set()
    await waiter


@pytest.mark.parametrize("fails", [False, True])
async def test_nothing_is_remembered_after_the_end(fails: bool) -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    runs = 0

    async def work() -> int:
        nonlocal runs
        runs += 1
        if fails:
            raise LookupError
        return runs

    for _ in range(3):
        await asyncio.gather(flights.run("k", work), return_exceptions=True)
    assert runs == 3


async def test_work_that_is_led_is_joined_and_its_result_is_everybodys() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    with flights.leading(["a", "b"]) as (a, b):
        joined = [asyncio.ensure_future(flights.run(key, work)) for key in ("a", "b", "a")]
        await settle()
        a.set_result(1)
        b.set_result(2)
    assert await asyncio.gather(*joined) == [1, 2, 1]
    assert work.runs == 0
    assert "a" not in flights


async def test_work_that_its_leader_leaves_is_abandoned_and_can_be_started_by_others() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    work.finish.set()
    with contextlib.suppress(ZeroDivisionError), flights.leading(["a", "b"]) as (a, _):
        joined = [asyncio.ensure_future(flights.run(key, work)) for key in ("a", "b")]
        await settle()
        a.set_result(7)
        raise ZeroDivisionError
    results = await asyncio.gather(*joined, return_exceptions=True)
    assert results[0] == 7
    assert isinstance(results[1], AbandonedError)
    assert await flights.run("b", work) == 1


async def test_one_who_joined_and_leaves_does_not_end_the_work_of_the_leader() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    with flights.leading(["a"]) as (a,):
        joined = asyncio.ensure_future(flights.run("a", Work()))
        await settle()
        joined.cancel()
        await settle()
        assert not a.cancelled()
        a.set_result(1)
