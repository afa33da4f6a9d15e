"""Operations, their requests and results, queues, delegations, callbacks."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMBLOB, MEDIUMTEXT

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_OPTIONS: dict[str, Any] = {
    f"{name}_{key}": value
    for name in ("mysql", "mariadb")
    for key, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
_LONG_TEXT = sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")
_LONG_BYTES = sa.LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb")
_ZERO = sa.text("0")


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "operations",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(255), nullable=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("repeatable", sa.Boolean, nullable=False),
        sa.Column("delegation_id", sa.String(36), nullable=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=True),
        sa.Column("finished_at", sa.BigInteger, nullable=True),
        sa.Column("keep_until", sa.BigInteger, nullable=True),
        sa.Column("retention_ms", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=_ZERO),
        sa.Column("fence", sa.Integer, nullable=False, server_default=_ZERO),
        sa.Column("worker", sa.String(64), nullable=True),
        sa.Column("lease_until", sa.BigInteger, nullable=True),
        sa.Column("sent", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("bytes_done", sa.BigInteger, nullable=False, server_default=_ZERO),
        sa.Column("objects_done", sa.BigInteger, nullable=False, server_default=_ZERO),
        sa.Column("bytes_stored", sa.BigInteger, nullable=False, server_default=_ZERO),
        sa.Column("error_code", sa.String(64), nullable=True),
        sa.Column("error_message", sa.Text, nullable=True),
        sa.UniqueConstraint("project_id", "user_id", "idempotency_key", name="operations_idempotency"),
        **_OPTIONS,
    )
    op.create_index("operations_queue", "operations", ["project_id", "state", "due_at"])
    op.create_index("operations_leases", "operations", ["state", "lease_until"])
    op.create_index("operations_age", "operations", ["state", "expires_at"])
    op.create_index("operations_retention", "operations", ["keep_until"])
    op.create_index("operations_delegation", "operations", ["delegation_id", "state"])
    op.create_table(
        "operation_requests",
        sa.Column("operation_id", sa.String(36), primary_key=True),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("fields", _LONG_TEXT, nullable=False),
        sa.Column("body", _LONG_BYTES, nullable=False),
        **_OPTIONS,
    )
    op.create_table(
        "operation_results",
        sa.Column("operation_id", sa.String(36), primary_key=True),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("fields", _LONG_TEXT, nullable=False),
        sa.Column("body", _LONG_BYTES, nullable=False),
        **_OPTIONS,
    )
    op.create_table(
        "operation_queues",
        sa.Column("project_id", sa.String(64), primary_key=True),
        sa.Column("served_at", sa.BigInteger, nullable=False, server_default=_ZERO),
        sa.Column("resume_at", sa.BigInteger, nullable=False, server_default=_ZERO),
        **_OPTIONS,
    )
    op.create_table(
        "operation_delegations",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("trust_id", sa.String(64), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("roles", sa.String(255), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger, nullable=False),
        sa.Column("ending", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("due_at", sa.BigInteger, nullable=False, server_default=_ZERO),
        **_OPTIONS,
    )
    op.create_index("operation_delegations_of", "operation_delegations", ["project_id", "user_id"])
    op.create_table(
        "operation_callbacks",
        sa.Column("operation_id", sa.String(36), primary_key=True),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=_ZERO),
        sa.Column("fence", sa.Integer, nullable=False, server_default=_ZERO),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=True),
        sa.Column("last_error", sa.String(255), nullable=True),
        **_OPTIONS,
    )
    op.create_index("operation_callbacks_due", "operation_callbacks", ["state", "due_at"])
