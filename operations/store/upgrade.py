"""Upgrades and checks the tables.

A new version is installed by `osfaas db upgrade`, while the old version still runs, and only then started. So a
migration adds: tables, indices, and columns that are nullable or have a default. What nobody uses any more is removed
by a later release than the one that stopped using it. A test holds the
migrations to that.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from operations.store.errors import SchemaError
from operations.store.schema import metadata

VERSION_TABLE = "operations_version"
_LOCK_SECONDS = 60
_LOCK = "osfaas_db_upgrade"
_LOCK_NUMBER = 4_021_938_117


def newest() -> str:
    """The version that this code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def current(connection: Connection) -> str | None:
    """The version of the tables; None if there are none."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Brings the tables to the newest version; returns the version before and after.

    Raises:
        SchemaError: another upgrade runs for too long, or the tables are of a later release.
    """
    with engine.connect() as connection, _alone(connection):
        before = current(connection)
        _reject_unknown(before)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
        after = current(connection)
        connection.commit()
        assert after is not None
        return before, after


def check(connection: Connection) -> str:
    """Checks that this code can use the tables; returns their version.

    A later version is fine as long as it has only added: what this code uses may be removed by the release after the
    next.

    Raises:
        SchemaError: they are too old or too new, or there are none; the message says what to do.
    """
    found = current(connection)
    if found is None:
        raise SchemaError("the database has no tables of this service: run 'osfaas db upgrade'")
    if found < newest():
        raise SchemaError(f"the tables have version {found}, and {newest()} is needed: run 'osfaas db upgrade'")
    if found > newest() and (missing := _missing(connection)):
        raise SchemaError(
            f"the tables have version {found}, of a later release, which has removed {', '.join(missing)}: "
            f"this release, with version {newest()}, cannot use them any more. Run a later release"
        )
    return found


def _missing(connection: Connection) -> list[str]:
    """Tables and columns that this code uses and the database does not have."""
    inspector = inspect(connection)
    tables = set(inspector.get_table_names())
    missing = [name for name in metadata.tables if name not in tables]
    for name, table in metadata.tables.items():
        if name in tables:
            columns = {column["name"] for column in inspector.get_columns(name)}
            missing += [f"{name}.{column.name}" for column in table.columns if column.name not in columns]
    return missing


def problems(connection: Connection) -> list[str]:
    """Settings of the database with which an accepted operation could be lost, as sentences."""
    found = []
    name = connection.dialect.name
    if name == "postgresql":
        for setting in ("synchronous_commit", "fsync"):
            value = connection.execute(text(f"SHOW {setting}")).scalar_one()
            if value == "off":
                found.append(f"{setting} is off: what the database has confirmed may be lost when its machine fails")
    elif name in {"mysql", "mariadb"}:
        value = connection.execute(text("SELECT @@innodb_flush_log_at_trx_commit")).scalar_one()
        if str(value) != "1":
            found.append(
                f"innodb_flush_log_at_trx_commit is {value}: what the database has confirmed may be lost when its "
                "machine fails"
            )
    return found


def _reject_unknown(found: str | None) -> None:
    if found is not None and found > newest():
        raise SchemaError(
            f"the tables have version {found}, which is later than {newest()}: they belong to a later release"
        )


@contextlib.contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Lets one upgrade run at a time."""
    name = connection.dialect.name
    if name == "postgresql":
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _LOCK_NUMBER})
        connection.commit()
        try:
            yield
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": _LOCK_NUMBER})
            connection.commit()
    elif name in {"mysql", "mariadb"}:
        parameters: dict[str, Any] = {"name": _LOCK, "seconds": _LOCK_SECONDS}
        if not connection.execute(text("SELECT GET_LOCK(:name, :seconds)"), parameters).scalar_one():
            raise SchemaError("another upgrade is running")
        try:
            yield
        finally:
            with contextlib.suppress(SQLAlchemyError):
                connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": _LOCK})
    else:
        yield  # SQLite's transactions exclude each other


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config
