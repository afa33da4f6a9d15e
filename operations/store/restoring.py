"""What an operator does with the operations of a database that was restored from a backup."""

from sqlalchemy import Connection, select, update

from operations.store.accepting import end_callback
from operations.store.clock import now_ms
from operations.store.model import UNFINISHED, State
from operations.store.schema import operations

_T = operations.c
_PORTION = 200


def cancel_unrepeatable(connection: Connection) -> int:
    """Cancels a portion of the unfinished operations that must not be repeated; returns how many.

    Since the backup they may have been executed, and the database does not know. No worker may run.
    """
    wanted = select(_T.id).where(_T.state.in_(UNFINISHED), _T.repeatable.is_(False)).limit(_PORTION).with_for_update()
    ids = list(connection.execute(wanted).scalars())
    for operation_id in ids:
        connection.execute(
            update(operations)
            .where(_T.id == operation_id)
            .values(
                state=State.CANCELLED,
                cancel_requested=True,
                fence=_T.fence + 1,
                lease_until=None,
                finished_at=now_ms(),
                keep_until=now_ms() + _T.retention_ms,
            )
        )
        end_callback(connection, operation_id)
    return len(ids)
