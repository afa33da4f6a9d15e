"""The queue: once, one at a time, later and later."""

import threading

import pytest

from tenancy.controller.work_queue import FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS, WorkQueue


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock=clock)


def is_empty(queue: WorkQueue) -> bool:
    """Whether nothing is due: a thread that asks is still waiting after a moment."""
    taken: list[str | None] = []
    thread = threading.Thread(target=lambda: taken.append(queue.get()))
    thread.start()
    thread.join(0.1)
    waiting = thread.is_alive()
    queue.close()
    thread.join()
    return waiting and taken == [None]


def test_a_name_that_is_added_twice_comes_once(queue: WorkQueue) -> None:
    """Ten changes are one round."""
    for _ in range(10):
        queue.add("a")
    assert queue.get() == "a"
    queue.done("a")
    assert is_empty(queue)


def test_a_name_under_way_does_not_come_again_until_it_is_done(queue: WorkQueue) -> None:
    """Two rounds over one tenant would work against each other."""
    queue.add("a")
    assert queue.get() == "a"
    queue.add("a")
    queue.add("b")
    assert queue.get() == "b"
    queue.done("a")
    assert queue.get() == "a"


def test_the_earlier_wish_stands(queue: WorkQueue, clock: Clock) -> None:
    """A later one does not put it off."""
    queue.add("a", 5)
    queue.add("a", 50)
    queue.add("b", 10)
    clock.now = 60
    assert [queue.get(), queue.get()] == ["a", "b"]


def test_failures_wait_longer_each_time_up_to_a_bound(queue: WorkQueue, clock: Clock) -> None:
    """Until one goes well."""
    queue.add("a")
    delays = []
    for _ in range(12):
        assert queue.get() == "a"
        delays.append(queue.failed("a"))
        clock.now += delays[-1]
    assert delays[:4] == [FIRST_RETRY_SECONDS * factor for factor in (1, 2, 4, 8)]
    assert delays[-1] == MAX_RETRY_SECONDS
    assert queue.get() == "a"
    queue.done("a", again_after=1)
    clock.now += 1
    assert queue.get() == "a"
    assert queue.failed("a") == FIRST_RETRY_SECONDS


def test_a_closed_queue_lets_the_waiting_go(queue: WorkQueue) -> None:
    """With nothing."""
    queue.close()
    assert queue.get() is None
