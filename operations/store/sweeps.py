"""Positions of sweeps: how far each has come, so that another worker goes on from there."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, case, insert, select, update

from operations.store.clock import now_ms
from operations.store.model import State
from operations.store.schema import operations, sweeps

_T = operations.c


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPosition:
    """A position, as text that only the worker reads, and what people are told.

    Attributes:
        objects_total, bytes_total: of the container, as the store has counted them; None: not known yet.
    """

    text: str
    objects_done: int
    bytes_done: int
    objects_total: int | None
    bytes_total: int | None


def position(connection: Connection, operation_id: str) -> SweepPosition | None:
    """The position of a sweep; None: it has not begun."""
    return positions(connection, [operation_id]).get(operation_id)


def positions(connection: Connection, ids: Collection[str]) -> dict[str, SweepPosition]:
    """The positions of those of the sweeps that have begun."""
    if not ids:
        return {}
    rows = connection.execute(
        select(sweeps, _T.objects_done, _T.bytes_done)
        .join(operations, _T.id == sweeps.c.operation_id)
        .where(sweeps.c.operation_id.in_(ids))
    )
    return {
        row.operation_id: SweepPosition(
            text=row.position,
            objects_done=row.objects_done,
            bytes_done=row.bytes_done,
            objects_total=row.objects_total,
            bytes_total=row.bytes_total,
        )
        for row in rows
    }


def advance(connection: Connection, operation_id: str, fence: int, reached: SweepPosition, *, max_age_ms: int) -> bool:
    """Stores a position; False if the claim is lost. Doing it twice does it once.

    Attempts before it count no more, and its age begins anew: what makes progress is neither given up nor expires.
    """
    mine = (_T.id == operation_id, _T.fence == fence, _T.state == State.RUNNING)
    until = now_ms() + max_age_ms
    changed = connection.execute(
        update(operations)
        .where(*mine)
        .values(
            bytes_done=reached.bytes_done,
            objects_done=reached.objects_done,
            attempts=1,
            expires_at=case((_T.expires_at < until, until), else_=_T.expires_at),
        )
    )
    # MariaDB counts rows that have changed, and a repeated transaction may change none.
    if not changed.rowcount and connection.execute(select(_T.id).where(*mine)).first() is None:
        return False
    values = {
        "position": reached.text,
        "objects_total": reached.objects_total,
        "bytes_total": reached.bytes_total,
    }
    known = select(sweeps.c.operation_id).where(sweeps.c.operation_id == operation_id)
    if connection.execute(known).first() is None:
        connection.execute(insert(sweeps).values(operation_id=operation_id, **values))
    else:
        connection.execute(update(sweeps).where(sweeps.c.operation_id == operation_id).values(**values))
    return True


def holds(connection: Connection, operation_id: str, fence: int) -> bool:
    """Whether a claim is the current one."""
    wanted = select(_T.id).where(_T.id == operation_id, _T.fence == fence, _T.state == State.RUNNING)
    return connection.execute(wanted).first() is not None
