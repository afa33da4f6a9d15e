"""Delegations: trusts of Keystone that unfinished operations of one user in one project share.

A delegation ends when no unfinished operation has it: it is marked, its trust is deleted in Keystone, and then its row.
A marked one is never used again.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, exists, insert, select, update

from operations.store.clock import now_ms
from operations.store.model import UNFINISHED
from operations.store.schema import delegations, operations

_D = delegations.c
_PORTION = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """The authority of a user in a project, given to the workers' user.

    Attributes:
        id: ours.
        trust_id: Keystone's.
        roles: names, sorted, separated by commas.
    """

    id: str
    trust_id: str
    project_id: str
    user_id: str
    roles: str


def add(connection: Connection, delegation: Delegation, *, lifetime_ms: int) -> None:
    """Stores a delegation, unless it is there already."""
    if connection.execute(select(_D.id).where(_D.id == delegation.id)).first() is None:
        connection.execute(
            insert(delegations).values(
                id=delegation.id,
                trust_id=delegation.trust_id,
                project_id=delegation.project_id,
                user_id=delegation.user_id,
                roles=delegation.roles,
                expires_at=now_ms() + lifetime_ms,
                used_at=now_ms(),
            )
        )


def usable(connection: Connection, *, project_id: str, user_id: str, roles: str, for_ms: int) -> str | None:
    """The id of a delegation with exactly these roles that lives long enough; None if there is none."""
    wanted = select(_D.id).where(
        _D.project_id == project_id,
        _D.user_id == user_id,
        _D.roles == roles,
        _D.ending.is_(False),
        _D.expires_at >= now_ms() + for_ms,
    )
    found: str | None = connection.execute(wanted.order_by(_D.expires_at.desc()).limit(1)).scalar_one_or_none()
    return found


def end_unused(connection: Connection, *, idle_ms: int, lease_ms: int) -> list[Delegation]:
    """Marks delegations without unfinished operations, and returns those whose trusts are to be deleted now.

    Args:
        connection: of the transaction.
        idle_ms: how long one is kept after its last use or its creation.
        lease_ms: when another worker may try to delete the same trusts.
    """
    needed = exists().where(operations.c.delegation_id == _D.id, operations.c.state.in_(UNFINISHED))
    wanted = (
        select(delegations)
        .where(_D.due_at <= now_ms(), _D.used_at <= now_ms() - idle_ms, ~needed)
        .limit(_PORTION)
        .with_for_update(of=delegations, skip_locked=True)
    )
    rows = connection.execute(wanted).mappings().all()
    if not rows:
        return []
    # Looked at again now that they are locked: an operation may have been accepted in between.
    ids = [row["id"] for row in rows]
    used = set(
        connection.execute(
            select(operations.c.delegation_id).where(
                operations.c.delegation_id.in_(ids), operations.c.state.in_(UNFINISHED)
            )
        ).scalars()
    )
    ending = [row for row in rows if row["id"] not in used]
    if ending:
        connection.execute(
            update(delegations)
            .where(_D.id.in_([row["id"] for row in ending]))
            .values(ending=True, due_at=now_ms() + lease_ms)
        )
    return [
        Delegation(**{name: row[name] for name in ("id", "trust_id", "project_id", "user_id", "roles")})
        for row in ending
    ]


def remove(connection: Connection, delegation_id: str) -> None:
    """Forgets a delegation whose trust is gone."""
    connection.execute(delete(delegations).where(_D.id == delegation_id, _D.ending.is_(True)))


def refuse(connection: Connection, trust_id: str) -> None:
    """Marks the delegation of a trust that Keystone does not honour any more, so that no operation gets it."""
    connection.execute(update(delegations).where(_D.trust_id == trust_id).values(ending=True))
