"""Positions of sweeps."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OPTIONS: dict[str, Any] = {
    f"{name}_{key}": value
    for name in ("mysql", "mariadb")
    for key, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    """Creates the table."""
    op.create_table(
        "operation_sweeps",
        sa.Column("operation_id", sa.String(36), primary_key=True),
        sa.Column("position", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
        sa.Column("objects_total", sa.BigInteger, nullable=True),
        sa.Column("bytes_total", sa.BigInteger, nullable=True),
        **_OPTIONS,
    )
