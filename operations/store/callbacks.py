"""Callbacks that are due, for their delivery. Each function is one transaction."""

import math
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from operations.store.clock import now_ms
from operations.store.model import CallbackState, Operation, operation_of
from operations.store.schema import callbacks, operations

_C = callbacks.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A callback to be delivered now.

    Attributes:
        fence: number of this attempt; what an earlier one says does not count.
        elapsed_ms: since the first attempt.
    """

    operation: Operation
    url: str
    fence: int
    attempts: int
    elapsed_ms: int


def claim(connection: Connection, *, limit: int, lease_ms: int, lifetime_ms: int) -> list[Delivery]:
    """Claims callbacks that are due; each is due again when the lease ends.

    Args:
        connection: of the transaction.
        limit: maximum number of callbacks.
        lease_ms: of an attempt.
        lifetime_ms: how long a callback is tried from its first attempt on.
    """
    now = connection.execute(select(now_ms())).scalar_one()
    ids = _due(connection, limit, now)
    if not ids:
        return []
    connection.execute(
        update(callbacks)
        .where(_C.operation_id.in_(ids))
        .values(
            fence=_C.fence + 1,
            attempts=_C.attempts + 1,
            due_at=now + lease_ms,
            until=func.coalesce(_C.until, now + lifetime_ms),
        )
    )
    joined = select(operations, _C.url, _C.fence.label("callback_fence"), _C.attempts.label("tries"), _C.until).join(
        operations, operations.c.id == _C.operation_id
    )
    return [
        Delivery(
            operation=operation_of(row),
            url=row["url"],
            fence=row["callback_fence"],
            attempts=row["tries"],
            elapsed_ms=now - (row["until"] - lifetime_ms),
        )
        for row in connection.execute(joined.where(_C.operation_id.in_(ids))).mappings()
    ]


def _due(connection: Connection, limit: int, now: int) -> list[str]:
    """Due callbacks: each project has an equal share, so that slow receivers of one delay no other's."""
    due = (_C.state == CallbackState.DUE, _C.due_at <= now)
    of_projects = select(_C.project_id).where(*due).group_by(_C.project_id).order_by(func.min(_C.due_at)).limit(limit)
    projects = list(connection.execute(of_projects).scalars())
    ids: list[str] = []
    for served, project_id in enumerate(projects):
        share = math.ceil((limit - len(ids)) / (len(projects) - served))
        wanted = select(_C.operation_id).where(*due, _C.project_id == project_id).order_by(_C.due_at).limit(share)
        ids += connection.execute(wanted.with_for_update(skip_locked=True)).scalars()
    return ids


def delivered(connection: Connection, delivery: Delivery) -> None:
    """The receiver has accepted it."""
    _set(connection, delivery, state=CallbackState.DELIVERED, last_error=None)


def failed(connection: Connection, delivery: Delivery, why: str, *, delay_ms: int | None) -> None:
    """The receiver has not accepted it. `delay_ms`: until the next attempt; None: there is none."""
    if delay_ms is None:
        _set(connection, delivery, state=CallbackState.ABANDONED, last_error=why[:255])
    else:
        _set(connection, delivery, due_at=now_ms() + delay_ms, last_error=why[:255])


def _set(connection: Connection, delivery: Delivery, **values: object) -> None:
    connection.execute(
        update(callbacks)
        .where(
            _C.operation_id == delivery.operation.id,
            _C.fence == delivery.fence,
            _C.state == CallbackState.DUE,
        )
        .values(**values)
    )
