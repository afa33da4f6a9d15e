"""The tables, as the code of this version reads and writes them. Migrations make them (`migrations/versions`).

Identifiers are compared byte by byte in every database (`utf8mb4_bin` in MariaDB, whose default ignores case).
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.mysql import MEDIUMBLOB, MEDIUMTEXT

metadata = MetaData()

TABLE_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
# The plain types of MariaDB hold 64 KiB.
_LONG_TEXT = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")
_LONG_BYTES = LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb")
_ZERO = text("0")


def _time(name: str, *, nullable: bool = False, **options: Any) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable, **options)


def _stored_object() -> list[Column[Any]]:
    return [
        Column("container", String(256), nullable=False),
        Column("name", String(255), nullable=False),
        Column("etag", String(255), nullable=False),
        Column("size", BigInteger, nullable=False),
    ]


operations = Table(
    "operations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("state", String(16), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("idempotency_key", String(255), nullable=True),
    Column("fingerprint", String(64), nullable=False),
    Column("repeatable", Boolean, nullable=False),
    Column("delegation_id", String(36), nullable=True),
    _time("created_at"),
    _time("due_at"),
    _time("expires_at"),
    _time("started_at", nullable=True),
    _time("finished_at", nullable=True),
    _time("keep_until", nullable=True),
    Column("retention_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=_ZERO),
    Column("fence", Integer, nullable=False, server_default=_ZERO),
    Column("worker", String(64), nullable=True),
    _time("lease_until", nullable=True),
    Column("sent", Boolean, nullable=False, server_default=false()),
    Column("cancel_requested", Boolean, nullable=False, server_default=false()),
    Column("bytes_done", BigInteger, nullable=False, server_default=_ZERO),
    Column("objects_done", BigInteger, nullable=False, server_default=_ZERO),
    Column("bytes_stored", BigInteger, nullable=False, server_default=_ZERO),
    Column("error_code", String(64), nullable=True),
    Column("error_message", Text, nullable=True),
    UniqueConstraint("project_id", "user_id", "idempotency_key", name="operations_idempotency"),
    Index("operations_queue", "project_id", "state", "due_at"),
    Index("operations_leases", "state", "lease_until"),
    Index("operations_age", "state", "expires_at"),
    Index("operations_retention", "keep_until"),
    Index("operations_delegation", "delegation_id", "state"),
    **TABLE_OPTIONS,
)

# The request and the result are apart, so that neither a list nor a claim reads them.
requests = Table(
    "operation_requests",
    metadata,
    Column("operation_id", String(36), primary_key=True),
    Column("method", String(16), nullable=False),
    Column("target", Text, nullable=False),
    Column("fields", _LONG_TEXT, nullable=False),
    Column("body", _LONG_BYTES, nullable=False),
    **TABLE_OPTIONS,
)

results = Table(
    "operation_results",
    metadata,
    Column("operation_id", String(36), primary_key=True),
    Column("status", Integer, nullable=False),
    Column("fields", _LONG_TEXT, nullable=False),
    Column("body", _LONG_BYTES, nullable=False),
    **TABLE_OPTIONS,
)

# Bodies that are objects of the caller's project. The row in `operation_requests` of such a request has an empty body
# and a target without a route: a worker of the release before, which does not read this table, calls no function with
# an empty body, but fails. The row of such a result is here only.
request_objects = Table(
    "operation_request_objects",
    metadata,
    Column("operation_id", String(36), primary_key=True),
    Column("target", Text, nullable=False),
    *_stored_object(),
    **TABLE_OPTIONS,
)

result_objects = Table(
    "operation_result_objects",
    metadata,
    Column("operation_id", String(36), primary_key=True),
    Column("status", Integer, nullable=False),
    Column("fields", _LONG_TEXT, nullable=False),
    *_stored_object(),
    **TABLE_OPTIONS,
)

# One row for each project that ever had an operation. It is locked while work of the project is claimed.
queues = Table(
    "operation_queues",
    metadata,
    Column("project_id", String(64), primary_key=True),
    _time("served_at", server_default=_ZERO),
    _time("resume_at", server_default=_ZERO),
    **TABLE_OPTIONS,
)

# Trusts of Keystone with which workers act. Operations of one user in one project share one.
delegations = Table(
    "operation_delegations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("trust_id", String(64), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("roles", String(255), nullable=False),
    _time("expires_at"),
    _time("used_at"),
    Column("ending", Boolean, nullable=False, server_default=false()),
    _time("due_at", server_default=_ZERO),
    Index("operation_delegations_of", "project_id", "user_id"),
    **TABLE_OPTIONS,
)

callbacks = Table(
    "operation_callbacks",
    metadata,
    Column("operation_id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("url", Text, nullable=False),
    # Waiting for the operation, due, delivered or abandoned.
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=_ZERO),
    Column("fence", Integer, nullable=False, server_default=_ZERO),
    _time("due_at"),
    _time("until", nullable=True),
    Column("last_error", String(255), nullable=True),
    Index("operation_callbacks_due", "state", "due_at"),
    **TABLE_OPTIONS,
)

# How far a sweep has come.
sweeps = Table(
    "operation_sweeps",
    metadata,
    Column("operation_id", String(36), primary_key=True),
    Column("position", _LONG_TEXT, nullable=False),
    Column("objects_total", BigInteger, nullable=True),
    Column("bytes_total", BigInteger, nullable=True),
    **TABLE_OPTIONS,
)

# One row for each call, by the id of its request: what is stored twice counts once.
usage_records = Table(
    "usage_records",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("function", String(64), nullable=False),
    Column("revision", String(128), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("status", Integer, nullable=False),
    _time("started_at"),
    Column("duration_ms", BigInteger, nullable=False),
    Column("function_ms", BigInteger, nullable=False),
    Column("mib_ms", BigInteger, nullable=False),
    Column("cold_start", Boolean, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("request_bytes", BigInteger, nullable=False),
    Column("response_bytes", BigInteger, nullable=False),
    Column("object_bytes", BigInteger, nullable=False),
    Index("usage_records_age", "started_at"),
    **TABLE_OPTIONS,
)

# Their sums by hour. Questions about usage read only these, so their cost does not grow with the number of calls.
usage_hours = Table(
    "usage_hours",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", String(64), primary_key=True),
    Column("function", String(64), primary_key=True),
    Column("revision", String(128), primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("cold_starts", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("function_ms", BigInteger, nullable=False),
    Column("mib_ms", BigInteger, nullable=False),
    Column("request_bytes", BigInteger, nullable=False),
    Column("response_bytes", BigInteger, nullable=False),
    Column("object_bytes", BigInteger, nullable=False),
    Index("usage_hours_hour", "hour"),
    **TABLE_OPTIONS,
)
