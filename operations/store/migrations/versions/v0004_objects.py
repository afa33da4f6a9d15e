"""Bodies of requests and results in objects of the caller's project."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OPTIONS: dict[str, Any] = {
    f"{name}_{key}": value
    for name in ("mysql", "mariadb")
    for key, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "operation_request_objects",
        sa.Column("operation_id", sa.String(36), primary_key=True),
        sa.Column("target", sa.Text, nullable=False),
        *_reference(),
        **_OPTIONS,
    )
    op.create_table(
        "operation_result_objects",
        sa.Column("operation_id", sa.String(36), primary_key=True),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("fields", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
        *_reference(),
        **_OPTIONS,
    )


def _reference() -> list[sa.Column[Any]]:
    return [
        sa.Column("container", sa.String(256), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("etag", sa.String(255), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
    ]
