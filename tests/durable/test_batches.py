"""Many operations accepted in one transaction: what is wrong with one of them harms no other."""

import contextlib

import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.exc import DBAPIError
from test_store import HOUR, call, claim

from operations.store import accepting, delegations, working
from operations.store.batches import accept_all
from operations.store.delegations import Delegation
from operations.store.errors import DelegationEndedError, KeyInUseError, KeyReusedError
from operations.store.model import Operation, Result, State, new_id
from operations.store.schema import callbacks, operations
from operations.store.schema import delegations as delegation_rows


def accepted(db, *news) -> list:
    return db.run_here(accept_all, list(news))


def count(db, table=operations) -> int:
    return db.run_here(lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one())


def a_delegation(db) -> str:
    made = Delegation(id=new_id(), trust_id="t", project_id="a", user_id="u", roles="member")
    db.run_here(delegations.add, made, lifetime_ms=HOUR)
    return made.id


@contextlib.contextmanager
def inserts(db):
    """The parameters of each statement that inserts operations, as text."""
    found: list[str] = []

    def note(_connection, _cursor, statement, parameters, *_rest) -> None:
        if statement.startswith("INSERT INTO operations "):
            found.append(str(parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


# --- what is wrong with one


def test_one_whose_delegation_has_ended_is_refused_alone(db):
    live, ended = a_delegation(db), a_delegation(db)
    db.run_here(lambda connection: connection.execute(update(delegation_rows).values(ending=True)))
    live = a_delegation(db)
    good, bad, without = call(delegation_id=live), call(delegation_id=ended), call()
    found = accepted(db, bad, good, without)
    assert isinstance(found[0], DelegationEndedError)
    assert [each.id for each in found[1:]] == [good.id, without.id]
    assert count(db) == 2


def test_keys_of_running_and_of_other_requests_are_refused_alone(db):
    (first,) = accepted(db, call(idempotency_key="k"))
    same, other, good = call(idempotency_key="k"), call(idempotency_key="k", fingerprint="e" * 64), call()
    found = accepted(db, same, good, other)
    assert isinstance(found[0], KeyInUseError)
    assert found[0].operation_id == first.id
    assert isinstance(found[2], KeyReusedError)
    assert found[1].id == good.id
    assert count(db) == 2


def test_key_of_an_ended_operation_finds_it(db):
    (first,) = accepted(db, call(idempotency_key="k"))
    (claimed,) = claim(db)
    done = Result(status=200, fields=(), body=b"x")
    assert db.run_here(working.finish, claimed.id, claimed.fence, State.SUCCEEDED, result=done)
    found = accepted(db, call(idempotency_key="k"), call())
    assert found[0].id == first.id
    assert found[0].state is State.SUCCEEDED
    assert count(db) == 2


def test_one_key_twice_in_a_batch_is_one_operation(db):
    first, second = call(idempotency_key="k"), call(idempotency_key="k")
    found = accepted(db, first, second, call("b", idempotency_key="k"), call(user_id="v", idempotency_key="k"))
    assert found[0].id == first.id
    assert isinstance(found[1], KeyInUseError)
    assert count(db) == 3


def test_one_key_twice_does_not_make_the_others_go_one_by_one(db):
    """Whoever sends each key twice would undo what sharing a transaction spares everybody."""
    with inserts(db) as found:
        accepted(db, call(idempotency_key="k"), call(idempotency_key="k"), *(call("b") for _ in range(8)))
    assert len(found) == 1


def test_keys_are_inserted_in_one_order(db):
    """Two gateways that insert the same keys in different orders would wait for each other until one gives up."""
    news = [call(idempotency_key=key) for key in ("key-b", "key-c", "key-a")]
    with inserts(db) as found:
        accepted(db, *news)
    places = [found[0].index(key) for key in ("key-a", "key-b", "key-c")]
    assert places == sorted(places)


def test_what_the_database_does_not_take_is_refused_alone(db):
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite takes text of any length")
    bad, good = call(subject="x" * 300), call()
    found = accepted(db, good, bad)
    assert isinstance(found[1], DBAPIError)
    assert found[0].id == good.id
    assert count(db) == 1


# --- what is right


def test_batch_that_is_repeated_finds_its_traces(db):
    news = [call(), call(callback_url="https://receiver.example/hook"), call(idempotency_key="k")]
    first = accepted(db, *news)
    again = accepted(db, *news[:2])
    assert [each.id for each in again] == [each.id for each in first[:2]]
    assert (count(db), count(db, callbacks)) == (3, 1)


def test_each_outcome_is_in_its_place_and_whole(db):
    news = [call(project, subject=f"{project}-{number}") for number in range(3) for project in ("b", "a")]
    found = accepted(db, *news)
    assert [each.id for each in found] == [new.id for new in news]
    assert all(isinstance(each, Operation) for each in found)
    for new, each in zip(news, found, strict=True):
        assert each == db.run_here(accepting.find, new.project_id, new.id)
        assert (each.subject, each.state, each.expires_at - each.created_at) == (new.subject, State.QUEUED, HOUR)
    assert {claimed.id: claimed.request for claimed in claim(db)} == {new.id: new.request for new in news}
