"""The store on real databases: what is accepted is done once, in fair turns, and by one worker at a time."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select, update

from operations.store import accepting, callbacks, delegations, objects, working
from operations.store.clock import now_ms
from operations.store.database import Database
from operations.store.delegations import Delegation
from operations.store.errors import (
    DatabaseUnavailableError,
    DelegationEndedError,
    KeyInUseError,
    KeyReusedError,
    SchemaError,
)
from operations.store.model import Failure, NewOperation, Request, Result, State, StoredObject, new_id
from operations.store.schema import metadata, operations, request_objects, requests, result_objects, results
from operations.store.upgrade import VERSION_TABLE, check, newest, problems, upgrade
from operations.store.working import Turns
from tests.machine import scaled

HOUR = 3_600_000
LOST = Failure(code="operation.lost", message="lost")
UNKNOWN = Failure(code="operation.unknown", message="unknown")
ALL_BYTES = bytes(range(256))


def call(project: str = "a", **changes) -> NewOperation:
    request = Request(
        method="POST", target=b"/v1/invoke/hello/x?y=%20", fields=((b"x-latin", b"\xe9\xff"),), body=ALL_BYTES
    )
    values = {
        "id": new_id(),
        "project_id": project,
        "user_id": "u",
        "kind": "invoke",
        "subject": "hello",
        "request_id": "req-1",
        "request": request,
        "fingerprint": "f" * 64,
        "repeatable": False,
        "delegation_id": None,
        "max_age_ms": HOUR,
        "retention_ms": HOUR,
    }
    return NewOperation(**{**values, **changes})


def accept(db: Database, **changes):
    return db.run_here(accepting.accept, call(**changes))


def claim(db: Database, worker: str = "w", limit: int = 10, per_project: int = 10, lease_ms: int = 60_000):
    return db.run_here(working.claim, worker, Turns(limit=limit, per_project=per_project), lease_ms=lease_ms)


def state_of(db: Database, operation):
    found = db.run_here(accepting.find, operation.project_id, operation.id)
    return None if found is None else found.state


def reap(db: Database, max_attempts: int = 3):
    return db.run_here(working.reap, max_attempts=max_attempts, lost=LOST, unknown=UNKNOWN)


# --- tables


def test_migrations_make_the_tables_that_the_code_describes(db):
    with db.engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        assert found == []
        check(connection)
        assert problems(connection) == []


def test_upgrade_twice_changes_nothing_and_says_so(db):
    assert upgrade(db.engine) == (newest(), newest())


def test_upgrades_at_the_same_time_wait_for_each_other(raw):
    engines = [Database(raw.url, connections=1).engine for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(upgrade, engines))
    assert {after for _, after in found} == {newest()}
    assert sum(before is None for before, _ in found) == 1


def test_empty_database_is_refused_with_the_command(raw):
    database = Database(raw.url, connections=1)
    with database.engine.connect() as connection, pytest.raises(SchemaError, match="osfaas db upgrade"):
        check(connection)
    database.close()


def test_clock_is_the_databases_and_in_milliseconds(db):
    found = db.run_here(lambda connection: connection.execute(select(now_ms())).scalar_one())
    assert abs(found - time.time() * 1000) < 60_000


# --- accepting


def test_request_comes_back_byte_for_byte(db):
    accepted = accept(db)
    (claimed,) = claim(db)
    assert claimed.id == accepted.id
    assert claimed.request == call().request


def test_accepting_twice_with_one_id_is_once(db):
    new = call()
    first, second = (db.run_here(accepting.accept, new) for _ in range(2))
    assert first.id == second.id
    assert len(claim(db)) == 1


def test_key_of_a_running_operation_is_refused_of_a_finished_one_finds_it(db):
    first = accept(db, idempotency_key="k")
    with pytest.raises(KeyInUseError) as refused:
        accept(db, idempotency_key="k")
    assert refused.value.operation_id == first.id
    (claimed,) = claim(db)
    assert db.run_here(
        working.finish, claimed.id, claimed.fence, State.SUCCEEDED, result=Result(status=200, fields=(), body=b"x")
    )
    assert accept(db, idempotency_key="k").id == first.id
    with pytest.raises(KeyReusedError):
        accept(db, idempotency_key="k", fingerprint="e" * 64)
    assert accept(db, idempotency_key="k", user_id="other").id != first.id
    assert accept(db, idempotency_key="K").id != first.id


def test_parallel_requests_with_one_key_are_one_operation(db):
    barrier = threading.Barrier(4)

    def attempt(number: int) -> str:
        barrier.wait()
        try:
            return accept(db, idempotency_key=f"key-{number // 4}").id
        except KeyInUseError as error:
            return error.operation_id

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(attempt, range(80)))
    assert len(set(found)) == 20
    for group in range(20):
        assert len(set(found[4 * group : 4 * group + 4])) == 1


def test_another_project_sees_nothing(db):
    one = accept(db, project_id="a")
    assert db.run_here(accepting.find, "b", one.id) is None
    assert db.run_here(accepting.cancel, "b", one.id) is None
    assert db.run_here(accepting.list_operations, "b", limit=10) == []
    assert state_of(db, one) is State.QUEUED


def test_list_goes_on_after_the_marker_and_filters(db):
    made = [accept(db, subject=f"f{number % 2}") for number in range(5)]
    ids = [each.id for each in reversed(made)]
    first = db.run_here(accepting.list_operations, "a", limit=2)
    assert [each.id for each in first] == ids[:2]
    rest = db.run_here(accepting.list_operations, "a", limit=9, marker=first[-1].id)
    assert [each.id for each in rest] == ids[2:]
    assert len(db.run_here(accepting.list_operations, "a", limit=9, subject="f1")) == 2
    assert db.run_here(accepting.list_operations, "a", limit=9, states=[State.FAILED]) == []


def test_usage_counts_operations_and_bytes(db):
    accept(db), accept(db), accept(db, project_id="b")
    used = db.run_here(accepting.usage, "a")
    assert (used.unfinished, used.bytes_stored) == (2, 512)


# --- turns


def test_projects_take_turns_however_many_one_has(db):
    for _ in range(20):
        accept(db, project_id="many")
    late = accept(db, project_id="few")
    taken = claim(db, limit=4)
    assert late.id in {each.id for each in taken}
    assert len(taken) == 4


def test_project_that_was_served_last_waits_for_the_others(db):
    for project in ("a", "b", "c") * 3:
        accept(db, project_id=project)
    order = [each.project_id for _ in range(9) for each in claim(db, limit=1)]
    assert [sorted(order[at : at + 3]) for at in (0, 3, 6)] == [["a", "b", "c"]] * 3


def test_oldest_work_of_a_project_comes_first(db):
    made = [accept(db).id for _ in range(5)]
    time.sleep(0.01)
    assert sorted(each.id for each in claim(db, limit=2)) == made[:2]


def test_project_has_no_more_running_than_its_share(db):
    for _ in range(5):
        accept(db)
    assert len(claim(db, per_project=2)) == 2
    assert claim(db, per_project=2) == []


def test_workers_at_the_same_time_never_claim_the_same(db):
    made = {accept(db, project_id=f"p{number % 7}").id for number in range(60)}
    found, lock = [], threading.Lock()

    def work(name: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            taken = claim(db, name, limit=3, per_project=100)
            with lock:
                found.extend(each.id for each in taken)
                if len(found) >= len(made):
                    return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "wxyz"))
    assert sorted(found) == sorted(made)


def test_project_without_room_pauses_as_a_whole(db):
    accept(db), accept(db), accept(db, project_id="b")
    (first,) = [each for each in claim(db, limit=2) if each.project_id == "a"]
    assert db.run_here(working.postpone, first, delay_ms=0, counted=False, project_ms=HOUR)
    assert claim(db) == []
    assert db.run_here(accepting.find, "a", first.id).attempts == 0


# --- leases and fences


def expire_leases(db):
    db.run_here(lambda connection: connection.execute(update(operations).values(lease_until=1)))


def test_lease_that_ended_gives_a_repeatable_operation_to_another_worker(db):
    one = accept(db, repeatable=True)
    (old,) = claim(db)
    assert db.run_here(working.mark_sent, one.id, old.fence)
    expire_leases(db)
    assert reap(db).requeued == 1
    (new,) = claim(db, "other")
    assert new.fence > old.fence
    assert not db.run_here(working.finish, one.id, old.fence, State.SUCCEEDED)
    assert not db.run_here(working.postpone, old, delay_ms=0)
    assert not db.run_here(working.mark_sent, one.id, old.fence)
    assert state_of(db, one) is State.RUNNING
    assert db.run_here(working.finish, one.id, new.fence, State.SUCCEEDED)


def test_what_may_have_been_executed_is_not_executed_again(db):
    one, two = accept(db), accept(db)
    for each in claim(db):
        if each.id == one.id:
            assert db.run_here(working.mark_sent, each.id, each.fence)
    expire_leases(db)
    found = reap(db)
    assert (found.failed, found.requeued) == (1, 1)
    assert db.run_here(accepting.find, "a", one.id).error_code == UNKNOWN.code
    assert state_of(db, two) is State.QUEUED


def test_leases_end_by_the_databases_clock(db):
    one = accept(db)
    claim(db, lease_ms=1)
    time.sleep(0.05)
    assert reap(db).requeued == 1
    claim(db, lease_ms=60_000)
    assert reap(db).requeued == 0
    assert state_of(db, one) is State.RUNNING


def test_attempts_end(db):
    one = accept(db)
    for _ in range(3):
        assert claim(db)
        expire_leases(db)
        reap(db)
    assert claim(db) == []
    assert state_of(db, one) is State.FAILED


def test_renewal_tells_of_lost_and_cancelled_claims(db):
    one, two, three = accept(db), accept(db), accept(db)
    held = {each.id: each.fence for each in claim(db)}
    assert db.run_here(accepting.cancel, "a", two.id).cancel_requested
    held[three.id] -= 1
    found = db.run_here(working.renew, held, lease_ms=1000, progress={one.id: (5, 1)})
    assert (found.lost, found.cancelled) == ({three.id}, {two.id})
    assert db.run_here(accepting.find, "a", one.id).bytes_done == 5
    expire_leases(db)
    assert reap(db).cancelled == 1
    assert state_of(db, two) is State.CANCELLED


def test_queued_operation_is_cancelled_at_once_and_never_claimed(db):
    one = accept(db)
    assert db.run_here(accepting.cancel, "a", one.id).state is State.CANCELLED
    assert claim(db) == []


def test_old_operation_expires_and_is_not_begun(db):
    one = accept(db, max_age_ms=0)
    assert claim(db) == []
    assert reap(db).expired == 1
    assert state_of(db, one) is State.EXPIRED


def test_result_is_kept_byte_for_byte_and_forgotten_in_time(db):
    one = accept(db, retention_ms=0)
    (claimed,) = claim(db)
    result = Result(status=418, fields=((b"x-a", b"\xff"), (b"x-a", b"")), body=ALL_BYTES)
    for _ in range(2):
        assert db.run_here(working.finish, one.id, claimed.fence, State.SUCCEEDED, result=result)
    assert db.run_here(accepting.result_of, one.id) == result
    time.sleep(0.01)
    assert db.run_here(working.forget) == 1
    assert state_of(db, one) is None
    assert db.run_here(accepting.result_of, one.id) is None


def test_bodies_that_are_objects_are_references_that_end_with_the_operation(db):
    """The row that older code reads has no body, and no target that has a route."""
    where = StoredObject(container="c", name="n/request", etag="e", size=1 << 40)
    request = replace(call().request, body=b"", stored=where)
    result = Result(status=418, fields=((b"x-a", b"\xff"),), body=b"", stored=replace(where, name="n/result-1"))

    def count(table) -> int:
        return db.run_here(lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one())

    def rows() -> list[int]:
        return [count(table) for table in (requests, request_objects, results, result_objects)]

    one = accept(db, request=request, retention_ms=0)
    (claimed,) = claim(db)
    assert claimed.request == request
    known = db.run_here(lambda connection: connection.execute(select(requests)).mappings().one())
    assert (bytes(known["body"]), known["target"]) == (b"", f"/v1/operations/{one.id}/request")
    db.run_here(working.finish, one.id, claimed.fence, State.FAILED, result=result, failure=LOST)
    assert db.run_here(accepting.result_of, one.id) == result
    found = db.run_here(objects.references, one.id)
    assert (found.request, found.result) == (where, result.stored)
    assert db.run_here(accepting.retry, "a", one.id, delegation_id=None, max_age_ms=HOUR)
    assert db.run_here(accepting.result_of, one.id) is None
    (claimed,) = claim(db)
    assert claimed.request == request
    for _ in range(2):
        assert db.run_here(working.finish, one.id, claimed.fence, State.SUCCEEDED, result=result)
    assert rows() == [0, 0, 0, 1]
    time.sleep(0.01)
    assert db.run_here(working.forget) == 1
    assert rows() == [0, 0, 0, 0]


def test_dead_letter_is_tried_again_once(db):
    one = accept(db)
    (claimed,) = claim(db)
    db.run_here(working.finish, one.id, claimed.fence, State.FAILED, failure=LOST)

    def again() -> bool:
        return db.run_here(accepting.retry, "a", one.id, delegation_id=None, max_age_ms=HOUR)

    assert (again(), again()) == (True, False)
    (new,) = claim(db)
    assert new.request == call().request
    assert new.fence > claimed.fence


def test_facts_for_the_operator(db):
    accept(db), accept(db, project_id="b")
    claim(db, limit=1)
    found = db.run_here(working.facts)
    assert (found.queued, found.running, found.dead_letters) == (1, 1, 0)
    assert len(db.run_here(working.oldest_by_project, limit=9)) == 1


# --- callbacks


def test_callback_is_due_after_the_end_and_once(db):
    one = accept(db, callback_url="https://example.org/x")

    def due():
        return db.run_here(callbacks.claim, limit=9, lease_ms=60_000, lifetime_ms=HOUR)

    assert due() == []
    (claimed,) = claim(db)
    db.run_here(working.finish, one.id, claimed.fence, State.SUCCEEDED)
    (delivery,) = due()
    assert (delivery.operation.id, delivery.url) == (one.id, "https://example.org/x")
    assert due() == []
    db.run_here(callbacks.failed, delivery, "no", delay_ms=0)
    (second,) = due()
    db.run_here(callbacks.failed, delivery, "late", delay_ms=None)
    db.run_here(callbacks.delivered, second)
    assert (second.attempts, due()) == (2, [])


def test_callbacks_of_one_project_fill_no_claim(db):
    for number in range(9):
        one = accept(db, project_id="few" if number == 8 else "many", callback_url="https://example.org/x")
        db.run_here(accepting.cancel, one.project_id, one.id)
    due = db.run_here(callbacks.claim, limit=4, lease_ms=60_000, lifetime_ms=HOUR)
    assert "few" in {each.operation.project_id for each in due}


def test_operation_is_not_forgotten_before_its_callback(db):
    one = accept(db, callback_url="https://example.org/x", retention_ms=0)
    db.run_here(accepting.cancel, "a", one.id)
    time.sleep(0.01)
    assert db.run_here(working.forget) == 0
    (delivery,) = db.run_here(callbacks.claim, limit=9, lease_ms=60_000, lifetime_ms=HOUR)
    db.run_here(callbacks.delivered, delivery)
    assert db.run_here(working.forget) == 1


# --- delegations


def test_delegation_lives_as_long_as_an_operation_needs_it(db):
    made = Delegation(id=new_id(), trust_id="t", project_id="a", user_id="u", roles="member")
    db.run_here(delegations.add, made, lifetime_ms=2 * HOUR)

    def usable(roles: str = "member"):
        return db.run_here(delegations.usable, project_id="a", user_id="u", roles=roles, for_ms=HOUR)

    def end():
        return db.run_here(delegations.end_unused, idle_ms=0, lease_ms=0)

    assert (usable(), usable("admin")) == (made.id, None)
    one = accept(db, delegation_id=made.id)
    assert end() == []
    (claimed,) = claim(db)
    assert claimed.trust_id == "t"
    db.run_here(working.finish, one.id, claimed.fence, State.FAILED, failure=LOST)
    assert end() == [made]
    assert usable() is None
    with pytest.raises(DelegationEndedError):
        accept(db, delegation_id=made.id)
    with pytest.raises(DelegationEndedError):
        db.run_here(accepting.retry, "a", one.id, delegation_id=made.id, max_age_ms=HOUR)
    assert end() == [made]
    db.run_here(delegations.remove, made.id)
    assert end() == []


# --- the database itself


async def test_loop_goes_on_while_the_database_works(db):
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await db.run(lambda _: time.sleep(0.5))
    ticking.cancel()
    assert ticks > 5


async def test_too_many_transactions_are_refused_at_once(raw):
    database = Database(raw.url, connections=1)
    blocked = threading.Event()
    waiting = [asyncio.create_task(database.run(lambda _: blocked.wait())) for _ in range(16)]
    await asyncio.sleep(0)
    with pytest.raises(DatabaseUnavailableError):
        await database.run(lambda _: None)
    blocked.set()
    await asyncio.gather(*waiting)
    database.close()


@pytest.mark.parametrize("raw", ["postgresql", "mariadb"], indirect=True)
def test_killed_database_loses_nothing_that_was_accepted(raw):
    database = Database(raw.url, connections=2, retry_seconds=scaled(30))
    upgrade(database.engine)
    made = [accept(database).id for _ in range(5)]
    raw.server.kill()
    threading.Timer(0.5, raw.server.start).start()
    made.append(accept(database).id)
    assert sorted(each.id for each in claim(database)) == sorted(made)
    database.close()


@pytest.mark.parametrize("raw", ["postgresql", "mariadb"], indirect=True)
def test_dead_database_is_said_in_time(raw):
    database = Database(raw.url, connections=2, retry_seconds=0.2)
    upgrade(database.engine)
    raw.server.kill()
    with pytest.raises(DatabaseUnavailableError):
        accept(database)
    raw.server.start()
    assert accept(database)
    database.close()
