"""What a worker does in the store: claim, renew, mark, finish, reap. Each function is one transaction.

A claim has a number, the fence. Whatever a worker says about an operation counts only with the number of the current
claim, so a worker that was taken for dead and lives on changes nothing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, delete, exists, func, insert, select, tuple_, update

from operations.store import objects
from operations.store.accepting import end_callback
from operations.store.clock import now_ms
from operations.store.model import (
    UNFINISHED,
    CallbackState,
    Claim,
    Failure,
    Result,
    State,
    fields_text,
)
from operations.store.schema import (
    callbacks,
    delegations,
    operations,
    queues,
    request_objects,
    requests,
    result_objects,
    results,
    sweeps,
)

_T = operations.c
_PORTION = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """How much one claim may take.

    Attributes:
        limit: operations, of all projects together.
        per_project: maximum running operations of one project, on all workers.
    """

    limit: int
    per_project: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """What the store says about a worker's claims: those it has lost, and those to cancel."""

    lost: frozenset[str]
    cancelled: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped:
    """How many leases had expired, and what became of them; how many queued operations were too old."""

    requeued: int
    failed: int
    cancelled: int
    expired: int


def claim(connection: Connection, worker: str, turns: Turns, *, lease_ms: int) -> list[Claim]:
    """Claims due operations: of the projects that were served least recently first, and of each the oldest ones.

    The rows of the projects are locked until the commit, so that workers that claim at the same time count correctly
    and serve different projects.
    """
    now = connection.execute(select(now_ms())).scalar_one()
    due = exists().where(
        _T.project_id == queues.c.project_id, _T.state == State.QUEUED, _T.due_at <= now, _T.expires_at > now
    )
    running = (
        select(func.count()).where(_T.project_id == queues.c.project_id, _T.state == State.RUNNING).scalar_subquery()
    )
    wanted = (
        select(queues.c.project_id, running.label("running"))
        .where(queues.c.resume_at <= now, due, running < turns.per_project)
        .order_by(queues.c.served_at, queues.c.project_id)
        .limit(turns.limit)
        .with_for_update(of=queues, skip_locked=True)
    )
    projects = connection.execute(wanted).all()
    found: list[str] = []
    for served, (project_id, running_now) in enumerate(projects):
        share = math.ceil((turns.limit - len(found)) / (len(projects) - served))
        found += _of_project(connection, project_id, min(share, turns.per_project - running_now), now)
        # The position, so that of those that were served in one millisecond the order is known.
        connection.execute(update(queues).where(queues.c.project_id == project_id).values(served_at=now + served))
    if not found:
        return []
    connection.execute(
        update(operations)
        .where(_T.id.in_(found))
        .values(
            state=State.RUNNING,
            worker=worker,
            fence=_T.fence + 1,
            attempts=_T.attempts + 1,
            sent=False,
            started_at=func.coalesce(_T.started_at, now),
            lease_until=now + lease_ms,
        )
    )
    return _claims(connection, found, now)


def _of_project(connection: Connection, project_id: str, limit: int, now: int) -> list[str]:
    wanted = (
        select(_T.id)
        .where(_T.project_id == project_id, _T.state == State.QUEUED, _T.due_at <= now, _T.expires_at > now)
        .order_by(_T.due_at, _T.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(wanted).scalars())


def _claims(connection: Connection, ids: list[str], now: int) -> list[Claim]:
    wanted = (
        select(operations, requests, delegations.c.trust_id, *objects.CLAIM_COLUMNS)
        .join(requests, requests.c.operation_id == _T.id)
        .outerjoin(request_objects, request_objects.c.operation_id == _T.id)
        .outerjoin(delegations, delegations.c.id == _T.delegation_id)
        .where(_T.id.in_(ids))
    )
    by_id = {row["id"]: _claim_of(row, now) for row in connection.execute(wanted).mappings()}
    return [by_id[each] for each in ids]


def _claim_of(row: RowMapping, now: int) -> Claim:
    return Claim(
        **{name: row[name] for name in ("id", "project_id", "user_id", "kind", "subject", "fence", "attempts")},
        repeatable=bool(row["repeatable"]),
        age_ms=now - row["created_at"],
        remaining_ms=row["expires_at"] - now,
        retention_ms=row["retention_ms"],
        request=objects.claimed_request(row),
        trust_id=row["trust_id"],
    )


def renew(
    connection: Connection, held: Mapping[str, int], *, lease_ms: int, progress: Mapping[str, tuple[int, int]]
) -> Renewal:
    """Renews the leases of claims, and stores their progress.

    Args:
        connection: of the transaction.
        held: fence by operation.
        lease_ms: from now on.
        progress: bytes and objects by operation.
    """
    if not held:
        return Renewal(lost=frozenset(), cancelled=frozenset())
    mine = tuple_(_T.id, _T.fence).in_(list(held.items()))
    connection.execute(
        update(operations).where(mine, _T.state == State.RUNNING).values(lease_until=now_ms() + lease_ms)
    )
    for operation_id, (size, count) in progress.items():
        connection.execute(
            update(operations)
            .where(_T.id == operation_id, _T.fence == held[operation_id], _T.state == State.RUNNING)
            .values(bytes_done=size, objects_done=count)
        )
    rows = connection.execute(select(_T.id, _T.cancel_requested).where(mine, _T.state == State.RUNNING)).all()
    return Renewal(
        lost=frozenset(held) - {row.id for row in rows},
        cancelled=frozenset(row.id for row in rows if row.cancel_requested),
    )


def mark_sent(connection: Connection, operation_id: str, fence: int) -> bool:
    """Notes that the request is about to be sent; False if the claim is lost or the operation is to be cancelled."""
    wanted = (_T.id == operation_id, _T.fence == fence, _T.state == State.RUNNING)
    found = connection.execute(select(_T.cancel_requested).where(*wanted).with_for_update()).scalar_one_or_none()
    if found is None or found:
        return False
    connection.execute(update(operations).where(*wanted).values(sent=True))
    return True


def finish(
    connection: Connection,
    operation_id: str,
    fence: int,
    state: State,
    *,
    result: Result | None = None,
    failure: Failure | None = None,
) -> bool:
    """Ends an operation; False if the claim is lost. Doing it twice does it once."""
    wanted = (_T.id == operation_id, _T.fence == fence)
    found = connection.execute(select(_T.state, _T.bytes_stored).where(*wanted).with_for_update()).first()
    if found is None:
        return False
    if found.state != State.RUNNING:
        return bool(found.state == state)
    stored = 0
    if result is not None:
        stored = len(result.body)
        _store_result(connection, operation_id, result)
    if state is State.SUCCEEDED:
        # Only a dead letter can be started again.
        for table in (requests, request_objects):
            objects.remove(connection, table, operation_id)
    else:
        stored += found.bytes_stored
    connection.execute(
        update(operations)
        .where(*wanted)
        .values(
            state=state,
            finished_at=now_ms(),
            keep_until=now_ms() + _T.retention_ms,
            bytes_stored=stored,
            lease_until=None,
            error_code=failure.code if failure else None,
            error_message=failure.message if failure else None,
        )
    )
    end_callback(connection, operation_id)
    return True


def _store_result(connection: Connection, operation_id: str, result: Result) -> None:
    if result.stored is not None:
        objects.add_result(connection, operation_id, result, result.stored)
        return
    values = {"status": result.status, "fields": fields_text(result.fields), "body": result.body}
    objects.remove(connection, results, operation_id)
    connection.execute(insert(results).values(operation_id=operation_id, **values))


def postpone(connection: Connection, claim: Claim, *, delay_ms: int, counted: bool = True, project_ms: int = 0) -> bool:
    """Queues a claimed operation again; False if the claim is lost.

    Args:
        connection: of the transaction.
        claim: of the operation.
        delay_ms: until the next attempt.
        counted: whether this attempt counts; not if it never began, because the project had no room.
        project_ms: how long the project gets no turn at all.
    """
    changed = connection.execute(
        update(operations)
        .where(_T.id == claim.id, _T.fence == claim.fence, _T.state == State.RUNNING)
        .values(
            state=State.QUEUED,
            due_at=now_ms() + delay_ms,
            lease_until=None,
            sent=False,
            attempts=_T.attempts - (0 if counted else 1),
        )
    )
    if changed.rowcount and project_ms:
        connection.execute(
            update(queues).where(queues.c.project_id == claim.project_id).values(resume_at=now_ms() + project_ms)
        )
    return bool(changed.rowcount)


def reap(
    connection: Connection,
    *,
    max_attempts: int,
    lost: Failure,
    unknown: Failure,
    can_be_trusted: Callable[[int], bool] = lambda _: True,
) -> Reaped:
    """Takes operations from workers whose leases have expired, and ends queued ones that are too old.

    Args:
        connection: of the transaction.
        max_attempts: after so many an operation is not queued again.
        lost: why it failed, if it had as many.
        unknown: why it failed, if it was sent and must not be sent twice.
        can_be_trusted: is told the time in milliseconds; if False, nothing is done by it.
    """
    now = connection.execute(select(now_ms())).scalar_one()
    if not can_be_trusted(now):
        return Reaped(requeued=0, failed=0, cancelled=0, expired=0)
    wanted = (
        select(_T.id, _T.fence, _T.sent, _T.repeatable, _T.cancel_requested, _T.attempts)
        .where(_T.state == State.RUNNING, _T.lease_until < now)
        .limit(_PORTION)
        .with_for_update(skip_locked=True)
    )
    counts = {"requeued": 0, "failed": 0, "cancelled": 0}
    for row in connection.execute(wanted).all():
        if row.cancel_requested:
            finish(connection, row.id, row.fence, State.CANCELLED)
            counts["cancelled"] += 1
        elif row.sent and not row.repeatable:
            finish(connection, row.id, row.fence, State.FAILED, failure=unknown)
            counts["failed"] += 1
        elif row.attempts >= max_attempts:
            finish(connection, row.id, row.fence, State.FAILED, failure=lost)
            counts["failed"] += 1
        else:
            values = {"state": State.QUEUED, "due_at": now, "lease_until": None, "sent": False}
            connection.execute(update(operations).where(_T.id == row.id).values(**values))
            counts["requeued"] += 1
    return Reaped(**counts, expired=_expire(connection, now))


def _expire(connection: Connection, now: int) -> int:
    wanted = (
        select(_T.id)
        .where(_T.state == State.QUEUED, _T.expires_at <= now)
        .limit(_PORTION)
        .with_for_update(skip_locked=True)
    )
    old = list(connection.execute(wanted).scalars())
    for operation_id in old:
        connection.execute(
            update(operations)
            .where(_T.id == operation_id)
            .values(state=State.EXPIRED, finished_at=now, keep_until=now + _T.retention_ms)
        )
        end_callback(connection, operation_id)
    return len(old)


def forget(connection: Connection) -> int:
    """Deletes records whose retention is over; returns how many. A callback that is still due keeps its operation."""
    undelivered = exists().where(
        callbacks.c.operation_id == _T.id, callbacks.c.state.in_((CallbackState.WAITING, CallbackState.DUE))
    )
    wanted = (
        select(_T.id)
        .where(_T.keep_until <= now_ms(), _T.state.not_in(UNFINISHED), ~undelivered)
        .limit(_PORTION)
        .with_for_update(skip_locked=True)
    )
    old = list(connection.execute(wanted).scalars())
    if old:
        for table in (requests, request_objects, results, result_objects, callbacks, sweeps):
            connection.execute(delete(table).where(table.c.operation_id.in_(old)))
        connection.execute(delete(operations).where(_T.id.in_(old)))
    return len(old)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """What an operator watches, over all projects."""

    queued: int
    running: int
    dead_letters: int
    oldest_queued_ms: int
    callbacks_due: int


def facts(connection: Connection) -> QueueFacts:
    """Counts for metrics."""
    counts = {
        row.state: row.total
        for row in connection.execute(select(_T.state, func.count().label("total")).group_by(_T.state))
    }
    oldest = connection.execute(select(now_ms() - func.min(_T.created_at)).where(_T.state == State.QUEUED)).scalar_one()
    due = select(func.count()).where(callbacks.c.state == CallbackState.DUE)
    return QueueFacts(
        queued=counts.get(State.QUEUED, 0),
        running=counts.get(State.RUNNING, 0),
        dead_letters=counts.get(State.FAILED, 0) + counts.get(State.EXPIRED, 0),
        oldest_queued_ms=max(0, int(oldest or 0)),
        callbacks_due=connection.execute(due).scalar_one(),
    )


def oldest_by_project(connection: Connection, *, limit: int) -> list[tuple[str, int, int]]:
    """Projects with queued work: id, number of operations, age of the oldest in milliseconds; the oldest first."""
    age = (now_ms() - func.min(_T.created_at)).label("age")
    wanted = (
        select(_T.project_id, func.count().label("total"), age)
        .where(_T.state == State.QUEUED)
        .group_by(_T.project_id)
        .order_by(age.desc())
        .limit(limit)
    )
    return [(row.project_id, row.total, int(row.age)) for row in connection.execute(wanted)]
