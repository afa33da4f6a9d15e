"""Positions of sweeps in the store, with each of the databases."""

from sqlalchemy import update
from test_store import HOUR, accept, claim, expire_leases, reap, state_of

from operations.store import accepting, sweeps, working
from operations.store.model import State
from operations.store.schema import operations
from operations.store.sweeps import SweepPosition


def reached(objects: int) -> SweepPosition:
    return SweepPosition(
        text=f'{{"objects":{objects}}}', objects_done=objects, bytes_done=1 << 40, objects_total=9, bytes_total=1 << 41
    )


def advance(db, claimed, objects: int, age: int = HOUR) -> bool:
    return db.run_here(sweeps.advance, claimed.id, claimed.fence, reached(objects), max_age_ms=age)


def test_position_survives_the_worker_and_is_forgotten_with_the_operation(db):
    operation = accept(db, repeatable=True, kind="sweep", retention_ms=0)
    assert db.run_here(sweeps.position, operation.id) is None
    (first,) = claim(db, lease_ms=0)
    assert advance(db, first, 1)
    assert advance(db, first, 2)
    assert advance(db, first, 2)
    expire_leases(db)
    reap(db)
    (second,) = claim(db)
    assert db.run_here(sweeps.position, operation.id) == reached(2)
    shown = db.run_here(accepting.find, operation.project_id, operation.id)
    assert (shown.objects_done, shown.bytes_done) == (2, 1 << 40)
    assert db.run_here(working.finish, second.id, second.fence, State.SUCCEEDED)
    db.run_here(working.forget)
    assert db.run_here(sweeps.positions, [operation.id]) == {}


def test_worker_that_has_lost_its_claim_advances_nothing(db):
    accept(db, repeatable=True, kind="sweep")
    (first,) = claim(db, lease_ms=0)
    assert db.run_here(sweeps.holds, first.id, first.fence)
    expire_leases(db)
    reap(db)
    (second,) = claim(db)
    assert not db.run_here(sweeps.holds, first.id, first.fence)
    assert not advance(db, first, 7)
    assert advance(db, second, 1)
    assert db.run_here(sweeps.position, second.id) == reached(1)


def test_progress_lets_neither_attempts_nor_age_end_a_sweep(db):
    operation = accept(db, repeatable=True, kind="sweep")
    for _ in range(5):
        (claimed,) = claim(db, lease_ms=0)
        assert advance(db, claimed, 1)
        expire_leases(db)
        reap(db, max_attempts=3)
    assert state_of(db, operation) is State.QUEUED
    (claimed,) = claim(db)
    soon = update(operations).values(expires_at=operations.c.created_at)
    db.run_here(lambda connection: connection.execute(soon).rowcount)
    assert advance(db, claimed, 2)
    assert db.run_here(working.postpone, claimed, delay_ms=0, counted=False)
    assert len(claim(db)) == 1


def test_without_progress_attempts_end(db):
    operation = accept(db, repeatable=True, kind="sweep")
    for _ in range(3):
        claim(db, lease_ms=0)
        expire_leases(db)
        reap(db, max_attempts=3)
    assert state_of(db, operation) is State.FAILED
