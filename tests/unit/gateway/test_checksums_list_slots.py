"""Lists in work are limited for each user, each project and the process, by the bytes of their bodies."""

import dataclasses

import pytest

from gateway.checksums.list_slots import LEAST_BYTES, ListSlots, declared_length
from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.settings.limits import ChecksumSettings
from policies.names import ProjectId

ALICE = Caller("t", "alice", "alice", ProjectId("p"), "demo", frozenset(["member"]), 0)
ALFRED = dataclasses.replace(ALICE, user_id="alfred")
BOB = dataclasses.replace(ALICE, user_id="bob", project_id=ProjectId("q"))
CAROL = dataclasses.replace(ALICE, user_id="carol", project_id=ProjectId("r"))
UNIT = LEAST_BYTES


def slots(*, project: int = 8, process: int = 100, body: int = 4) -> ListSlots:
    return ListSlots(
        ChecksumSettings.model_construct(
            bulk_body_max_bytes=body * UNIT, bulk_project_bytes=project * UNIT, bulk_process_bytes=process * UNIT
        )
    )


def refused(slots: ListSlots, caller: Caller, length: int | None = 1) -> str:
    """The sentence of the refusal; nothing is taken by it."""
    before = slots.taken
    with pytest.raises(GatewayError) as caught, slots.slot(caller, length):
        pass
    assert caught.value.kind is ErrorCode.BULK_EXCEEDED
    assert caught.value.retry_after_seconds
    assert slots.taken == before
    return caught.value.message


def test_one_user_gets_no_more_than_half_of_the_project_and_others_the_rest() -> None:
    harness = slots(project=8)
    with harness.slot(ALICE, 4 * UNIT):
        assert "one user of project p" in refused(harness, ALICE)
        with harness.slot(ALFRED, 4 * UNIT):
            assert harness.taken == 8 * UNIT


def test_one_project_gets_no_more_than_its_own_and_others_the_rest() -> None:
    harness = slots(project=8)
    with harness.slot(ALICE, 4 * UNIT), harness.slot(ALFRED, 4 * UNIT):
        assert "of project p" in refused(harness, dataclasses.replace(ALICE, user_id="anna"))
        with harness.slot(BOB, 4 * UNIT):
            pass


def test_process_takes_no_more_than_it_has() -> None:
    harness = slots(project=8, process=8)
    with harness.slot(ALICE, 4 * UNIT), harness.slot(BOB, 4 * UNIT):
        assert "this gateway" in refused(harness, CAROL)


def test_body_that_does_not_say_its_length_counts_as_the_longest_until_it_is_known() -> None:
    harness = slots(project=8, body=4)
    with harness.slot(ALICE, None) as slot:
        refused(harness, ALICE)
        slot.shrink(10)
        assert harness.taken == UNIT
        with harness.slot(ALICE, 3 * UNIT):
            pass


def test_single_list_of_any_length_is_worked_on() -> None:
    harness = slots(project=2, process=2, body=100)
    with harness.slot(ALICE, 100 * UNIT) as slot:
        slot.shrink(100 * UNIT)
        assert harness.taken == UNIT


def test_all_is_given_back_at_the_end_also_of_a_failure() -> None:
    harness = slots()
    with pytest.raises(ZeroDivisionError), harness.slot(ALICE, UNIT):
        raise ZeroDivisionError
    with harness.slot(ALICE, 2 * UNIT) as slot:
        slot.shrink(UNIT)
    assert harness.taken == 0
    assert not harness._taken


def test_length_is_what_the_head_says() -> None:
    assert declared_length({"content-length": "7"}) == 7
    assert declared_length({"transfer-encoding": "chunked"}) is None
    assert declared_length({}) == 0
