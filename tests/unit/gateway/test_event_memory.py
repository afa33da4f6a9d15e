"""Events that were worked off are remembered, and no project pushes out what others have."""

from gateway.event_memory import EventMemory
from policies.names import ProjectId

ONE, OTHER, THIRD = ProjectId("one"), ProjectId("other"), ProjectId("third")


def key(number: int) -> bytes:
    return number.to_bytes(4, "big")


def test_memory_is_bounded_and_loses_the_oldest() -> None:
    memory = EventMemory(3)
    for number in range(3):
        memory.add(ONE, key(number))
    assert memory.knows(ONE, key(0))
    memory.add(ONE, key(3))
    assert len(memory) == 3
    assert [memory.knows(ONE, key(number)) for number in range(4)] == [True, False, True, True]


def test_project_with_many_events_pushes_out_its_own() -> None:
    memory = EventMemory(100)
    for number in range(30):
        memory.add(OTHER, key(number))
    for number in range(10_000):
        memory.add(ONE, key(number))
    assert len(memory) == 100
    assert all(memory.knows(OTHER, key(number)) for number in range(30))


def test_project_that_comes_late_gets_its_share() -> None:
    memory = EventMemory(90)
    for project in (ONE, OTHER, THIRD):
        for number in range(1_000):
            memory.add(project, key(number))
    kept = [sum(memory.knows(project, key(number)) for number in range(1_000)) for project in (ONE, OTHER, THIRD)]
    assert (sum(kept), min(kept)) == (90, 30)


def test_event_of_one_project_is_unknown_to_another_and_without_memory_nothing_is_known() -> None:
    memory, none = EventMemory(2), EventMemory(0)
    memory.add(ONE, key(1))
    memory.add(ONE, key(1))
    none.add(ONE, key(1))
    assert (len(memory), memory.knows(OTHER, key(1)), none.knows(ONE, key(1))) == (1, False, False)
