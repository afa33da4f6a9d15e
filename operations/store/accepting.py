"""What the gateway does in the store: accept, look up, list, cancel, retry. Each function is one transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from operations.store import objects
from operations.store.clock import now_ms
from operations.store.errors import DelegationEndedError, KeyInUseError, KeyReusedError
from operations.store.model import (
    RETRIABLE,
    UNFINISHED,
    CallbackState,
    NewOperation,
    Operation,
    Result,
    State,
    fields_of,
    fields_text,
    operation_of,
)
from operations.store.schema import callbacks, delegations, operations, queues, requests, result_objects, results

_T = operations.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a project has in the store: unfinished operations, and bytes of all requests and results."""

    unfinished: int
    bytes_stored: int


def accept(connection: Connection, new: NewOperation) -> Operation:
    """Stores an operation; or finds it, if it is there already with this id or this idempotency key.

    Raises:
        KeyReusedError: the key belongs to a request with another fingerprint.
        KeyInUseError: the operation of the key has not ended.
        DelegationEndedError: its delegation is gone.
    """
    known = _known(connection, new)
    if known is not None:
        return known
    if new.delegation_id is not None:
        _use_delegation(connection, new.delegation_id)
    add_queues(connection, [new.project_id])
    try:
        # A savepoint: in PostgreSQL a failed statement ends the transaction.
        with connection.begin_nested():
            insert_new(connection, [new])
    except IntegrityError:
        # Another request with the same key was faster; its transaction has been committed.
        known = _known(connection, new)
        if known is None:
            raise
        return known
    found = find(connection, new.project_id, new.id)
    assert found is not None
    return found


def insert_new(connection: Connection, news: Sequence[NewOperation]) -> None:
    """Inserts operations that are not there yet, each table at once.

    Raises:
        IntegrityError: one of them is there already.
    """
    now: int = connection.execute(select(now_ms())).scalar_one()
    connection.execute(insert(operations), [_operation_row(new, now) for new in news])
    connection.execute(insert(requests), [_request_row(new) for new in news])
    for new in news:
        objects.add_request(connection, new.id, new.request)
    due = [_callback_row(new) for new in news if new.callback_url is not None]
    if due:
        connection.execute(insert(callbacks), due)


def _operation_row(new: NewOperation, now: int) -> dict[str, Any]:
    return {
        "id": new.id,
        "project_id": new.project_id,
        "user_id": new.user_id,
        "kind": new.kind,
        "subject": new.subject,
        "state": State.QUEUED,
        "request_id": new.request_id,
        "idempotency_key": new.idempotency_key,
        "fingerprint": new.fingerprint,
        "repeatable": new.repeatable,
        "delegation_id": new.delegation_id,
        "created_at": now,
        "due_at": now,
        "expires_at": now + new.max_age_ms,
        "retention_ms": new.retention_ms,
        "bytes_stored": len(new.request.body),
    }


def _request_row(new: NewOperation) -> dict[str, Any]:
    request = new.request
    return {
        "operation_id": new.id,
        "method": request.method,
        "target": (request.target if request.stored is None else objects.stand_in(new.id)).decode("ascii"),
        "fields": fields_text(request.fields),
        "body": request.body,
    }


def _callback_row(new: NewOperation) -> dict[str, Any]:
    return {
        "operation_id": new.id,
        "project_id": new.project_id,
        "url": new.callback_url,
        "state": CallbackState.WAITING,
        "due_at": 0,
    }


def _known(connection: Connection, new: NewOperation) -> Operation | None:
    found = find(connection, new.project_id, new.id)
    if found is not None or new.idempotency_key is None:
        return found
    return replayed(connection, new.project_id, new.user_id, new.idempotency_key, new.fingerprint)


def replayed(connection: Connection, project_id: str, user_id: str, key: str, fingerprint: str) -> Operation | None:
    """The operation that the same request with this key became before; None: the key is new.

    Raises:
        KeyReusedError, KeyInUseError: as `accept`.
    """
    found = find_by_key(connection, project_id, user_id, key)
    if found is None:
        return None
    if found.fingerprint != fingerprint:
        raise KeyReusedError(found.id)
    if not found.finished:
        raise KeyInUseError(found.id)
    return found


def live_delegations(connection: Connection, ids: Collection[str]) -> frozenset[str]:
    """Those that have not ended. They are locked against their end until the operations are stored."""
    wanted = select(delegations.c.id).where(delegations.c.id.in_(ids), delegations.c.ending.is_(False))
    return frozenset(connection.execute(wanted.with_for_update(read=True)).scalars()) if ids else frozenset()


def _use_delegation(connection: Connection, delegation_id: str) -> None:
    if not live_delegations(connection, [delegation_id]):
        raise DelegationEndedError(delegation_id)


def add_queues(connection: Connection, project_ids: Collection[str]) -> None:
    """Makes the queues that projects do not have yet."""
    known = select(queues.c.project_id).where(queues.c.project_id.in_(project_ids))
    for project_id in set(project_ids).difference(connection.execute(known).scalars()):
        try:
            with connection.begin_nested():
                connection.execute(insert(queues).values(project_id=project_id))
        except IntegrityError:
            pass


def usage(connection: Connection, project_id: str) -> Usage:
    """What a project has in the store."""
    count = select(func.count()).where(_T.project_id == project_id, _T.state.in_(UNFINISHED))
    size = select(func.coalesce(func.sum(_T.bytes_stored), 0)).where(_T.project_id == project_id)
    return Usage(
        unfinished=connection.execute(count).scalar_one(), bytes_stored=int(connection.execute(size).scalar_one())
    )


def find(connection: Connection, project_id: str, operation_id: str) -> Operation | None:
    """An operation of a project; None if it has none of this id."""
    wanted = select(operations).where(_T.id == operation_id, _T.project_id == project_id)
    row = connection.execute(wanted).mappings().first()
    return None if row is None else operation_of(row)


def find_by_key(connection: Connection, project_id: str, user_id: str, key: str) -> Operation | None:
    """The operation that a user asked for with an idempotency key."""
    wanted = select(operations).where(_T.project_id == project_id, _T.user_id == user_id, _T.idempotency_key == key)
    row = connection.execute(wanted).mappings().first()
    return None if row is None else operation_of(row)


def finished_among(connection: Connection, ids: Collection[str]) -> frozenset[str]:
    """Those of the operations that have ended."""
    wanted = select(_T.id).where(_T.id.in_(ids), _T.state.not_in(UNFINISHED))
    return frozenset(connection.execute(wanted).scalars())


def list_operations(
    connection: Connection,
    project_id: str,
    *,
    limit: int,
    marker: str | None = None,
    states: Collection[State] = (),
    kind: str | None = None,
    subject: str | None = None,
    user_id: str | None = None,
) -> list[Operation]:
    """Operations of a project, the youngest first, from the one after the marker on."""
    wanted = select(operations).where(_T.project_id == project_id)
    if marker is not None:
        wanted = wanted.where(_T.id < marker)
    if states:
        wanted = wanted.where(_T.state.in_(states))
    for column, value in ((_T.kind, kind), (_T.subject, subject), (_T.user_id, user_id)):
        if value is not None:
            wanted = wanted.where(column == value)
    rows = connection.execute(wanted.order_by(_T.id.desc()).limit(limit)).mappings()
    return [operation_of(row) for row in rows]


def result_of(connection: Connection, operation_id: str) -> Result | None:
    """The answer of an operation; None if there is none."""
    row = connection.execute(select(results).where(results.c.operation_id == operation_id)).mappings().first()
    if row is None:
        return objects.result_of(connection, operation_id)
    return Result(status=row["status"], fields=fields_of(row["fields"]), body=bytes(row["body"]))


def cancel(connection: Connection, project_id: str, operation_id: str) -> Operation | None:
    """Cancels an operation: at once if it is queued; if it is running, its worker will. None: there is none."""
    wanted = and_(_T.id == operation_id, _T.project_id == project_id)
    queued = connection.execute(
        update(operations)
        .where(wanted, _T.state == State.QUEUED)
        .values(
            state=State.CANCELLED,
            cancel_requested=True,
            finished_at=now_ms(),
            keep_until=now_ms() + _T.retention_ms,
        )
    )
    if queued.rowcount:
        end_callback(connection, operation_id)
    else:
        connection.execute(update(operations).where(wanted, _T.state == State.RUNNING).values(cancel_requested=True))
    return find(connection, project_id, operation_id)


def retry(
    connection: Connection, project_id: str, operation_id: str, *, delegation_id: str | None, max_age_ms: int
) -> bool:
    """Queues a dead letter again, with the authority of the caller that asks for it; False if it is none (any more).

    Raises:
        DelegationEndedError: the delegation is gone.
    """
    if delegation_id is not None:
        _use_delegation(connection, delegation_id)
    changed = connection.execute(
        update(operations)
        .where(_T.id == operation_id, _T.project_id == project_id, _T.state.in_(RETRIABLE))
        .values(
            state=State.QUEUED,
            delegation_id=delegation_id,
            due_at=now_ms(),
            expires_at=now_ms() + max_age_ms,
            attempts=0,
            sent=False,
            started_at=None,
            finished_at=None,
            keep_until=None,
            error_code=None,
            error_message=None,
            cancel_requested=False,
            bytes_done=0,
            objects_done=0,
        )
    )
    if not changed.rowcount:
        return False
    for table in (results, result_objects):
        objects.remove(connection, table, operation_id)
    connection.execute(
        update(callbacks)
        .where(callbacks.c.operation_id == operation_id)
        .values(state=CallbackState.WAITING, attempts=0, fence=callbacks.c.fence + 1, until=None)
    )
    return True


def end_callback(connection: Connection, operation_id: str) -> None:
    """Makes the callback of an operation due, if it has one: the operation has ended."""
    connection.execute(
        update(callbacks)
        .where(callbacks.c.operation_id == operation_id, callbacks.c.state == CallbackState.WAITING)
        .values(state=CallbackState.DUE, due_at=now_ms())
    )
