"""Many operations accepted in one transaction: each statement and each commit is paid once for all of them."""

from collections.abc import Sequence

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from operations.store.accepting import accept, add_queues, insert_new, live_delegations
from operations.store.database import is_temporary
from operations.store.errors import DelegationEndedError, StoreError
from operations.store.model import NewOperation, Operation, operation_of
from operations.store.schema import operations

Outcome = Operation | Exception


def accept_all(connection: Connection, news: Sequence[NewOperation]) -> list[Outcome]:
    """As `accept` for each of them, in their order; what is wrong with one of them is its outcome, and harms no other.

    An outcome that is an error: those of `accept`, or what the database has against this operation alone.
    """
    alone = _to_be_looked_up(connection, news)
    live = live_delegations(connection, {new.delegation_id for new in news if new.delegation_id is not None})
    outcomes: dict[str, Outcome] = {
        new.id: DelegationEndedError(new.delegation_id)
        for new in news
        if new.id not in alone and new.delegation_id is not None and new.delegation_id not in live
    }
    together = [new for new in news if new.id not in alone and new.id not in outcomes]
    if together and not _insert_together(connection, together):
        alone |= {new.id for new in together}
    outcomes |= _stored(connection, [new.id for new in together if new.id not in alone])
    outcomes |= {new.id: _accept_alone(connection, new) for new in news if new.id in alone}
    return [outcomes[new.id] for new in news]


def _to_be_looked_up(connection: Connection, news: Sequence[NewOperation]) -> set[str]:
    """Ids of those whose idempotency key is known, or comes twice."""
    found: set[str] = set()
    seen: set[tuple[str, str, str]] = set()
    for new in news:
        if new.idempotency_key is not None:
            key = (new.project_id, new.user_id, new.idempotency_key)
            if key in seen:
                found.add(new.id)
            seen.add(key)
    if not seen:
        return found
    columns = operations.c
    wanted = select(columns.project_id, columns.user_id, columns.idempotency_key).where(
        columns.project_id.in_({project for project, _, _ in seen}),
        columns.user_id.in_({user for _, user, _ in seen}),
        columns.idempotency_key.in_({key for _, _, key in seen}),
    )
    known = {tuple(row) for row in connection.execute(wanted).all()}
    return found | {new.id for new in news if (new.project_id, new.user_id, new.idempotency_key) in known}


def _insert_together(connection: Connection, news: Sequence[NewOperation]) -> bool:
    """Whether the database has taken all of them; otherwise it has none."""
    add_queues(connection, {new.project_id for new in news})
    try:
        # A savepoint: in PostgreSQL a failed statement ends the transaction.
        with connection.begin_nested():
            # In one order everywhere, so that the transactions of two gateways cannot wait for each other.
            insert_new(connection, sorted(news, key=_order))
    except DBAPIError as error:
        if not isinstance(error, IntegrityError) and is_temporary(error):
            raise
        return False
    return True


def _order(new: NewOperation) -> tuple[str, str, str, str]:
    return (new.project_id, new.user_id, new.idempotency_key or "", new.id)


def _stored(connection: Connection, ids: Sequence[str]) -> dict[str, Outcome]:
    if not ids:
        return {}
    rows = connection.execute(select(operations).where(operations.c.id.in_(ids))).mappings()
    return {row["id"]: operation_of(row) for row in rows}


def _accept_alone(connection: Connection, new: NewOperation) -> Outcome:
    try:
        with connection.begin_nested():
            return accept(connection, new)
    except StoreError as error:
        return error
    except DBAPIError as error:
        if is_temporary(error):
            raise
        return error
