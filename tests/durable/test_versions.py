"""Code of one release beside tables of another: what a later release adds changes nothing, what it removes is said."""

import dataclasses
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.migration import MigrationContext
from alembic.operations import Operations
from click.testing import CliRunner
from databases import Databases, TestDatabase
from echo import say_what_came
from sqlalchemy import Connection
from test_operations import answering
from test_store import accept, claim
from worker import Stage, status_at_end

from operations.commands import db as db_command
from operations.store import upgrade as versions
from operations.store.database import Database
from operations.store.errors import SchemaError, TablesMissingError
from operations.store.model import new_id
from operations.store.schema import sweeps
from operations.store.upgrade import VERSION_TABLE, check, newest, upgrade
from tests.machine import scaled, wait_until

LATER = "9999"
REMOVED = ("operations", "worker")


def migrate(database: TestDatabase, steps: Callable[[Operations], None]) -> None:
    """Does what the migration of a later release does, and gives the tables its version."""
    made = Database(database.url, connections=1, retry_seconds=30)

    def work(connection: Connection) -> None:
        steps(Operations(MigrationContext.configure(connection)))
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '{LATER}'"))

    made.run_here(work)
    made.close()


def add(op: Operations) -> None:
    """Everything that a migration may do while the release before runs."""
    op.add_column("operations", sa.Column("priority", sa.Integer, nullable=False, server_default=sa.text("7")))
    op.add_column("operation_requests", sa.Column("note", sa.Text, nullable=True))
    op.add_column("operation_results", sa.Column("worker", sa.String(64), nullable=True))
    op.add_column("usage_records", sa.Column("gpu_ms", sa.BigInteger, nullable=False, server_default=sa.text("0")))
    op.create_index("operations_priority", "operations", ["state", "priority"])
    op.create_table("operation_notes", sa.Column("operation_id", sa.String(36), primary_key=True))


def remove(op: Operations) -> None:
    """What a migration may do when the release before has not used it any more."""
    op.drop_column(*REMOVED)
    op.drop_table("operation_sweeps")


def put_back(op: Operations) -> None:
    op.add_column("operations", sa.Column(REMOVED[1], sa.String(64), nullable=True))
    sweeps.create(op.get_bind())


def older(database: TestDatabase, version: str) -> None:
    """Makes the tables of an earlier release."""
    made = Database(database.url, connections=1)
    config = versions._config()
    with made.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        connection.commit()
    made.close()


# --- the check


def test_later_tables_that_have_only_more_are_used(db, raw):
    migrate(raw, add)
    with db.engine.connect() as connection:
        assert check(connection) == LATER
    one = accept(db)
    assert [each.id for each in claim(db)] == [one.id]
    with pytest.raises(SchemaError, match="later release"):
        upgrade(db.engine)


def test_later_tables_without_what_is_used_are_refused_with_its_name(db, raw):
    accept(db)
    migrate(raw, remove)
    with db.engine.connect() as connection, pytest.raises(SchemaError) as refused:
        check(connection)
    assert "operations.worker" in str(refused.value)
    assert "operation_sweeps" in str(refused.value)
    assert f"{LATER}, of a later release" in str(refused.value)
    with pytest.raises(TablesMissingError):
        claim(db)


def test_column_that_is_missing_in_what_is_written_is_known_too(db, raw):
    migrate(raw, lambda op: op.drop_column("operation_requests", "fields"))
    with pytest.raises(TablesMissingError):
        accept(db)


def test_command_says_both_versions(raw, db, monkeypatch):
    monkeypatch.setenv("OSFAAS_DATABASE_URL", raw.url)
    migrate(raw, add)
    done = CliRunner().invoke(db_command, ["check"])
    assert (done.exit_code, done.output) == (0, f"the tables have version {LATER} ({newest()} is needed)\n")
    migrate(raw, remove)
    done = CliRunner().invoke(db_command, ["check"])
    assert done.exit_code == 1
    assert "operations.worker" in done.output


# --- processes


def executed(backend, word: str) -> int:
    return sum(word.encode() in each.line for each in backend.seen)


def test_worker_refuses_older_tables_with_the_command(durable: Stage, servers: Databases):
    raw = servers.new(durable.database.name)
    older(raw, "0003")
    settings = {**durable.settings, "OSFAAS_DATABASE_URL": raw.url}
    status, said = dataclasses.replace(durable, database=raw, settings=settings).refusing_worker()
    assert status == 2
    assert f"osfaas: the tables have version 0003, and {newest()} is needed: run 'osfaas db upgrade'\n" in said


def test_worker_and_gateway_go_on_beside_what_a_later_release_adds(durable: Stage, backend, token):
    """Both run while the tables are upgraded, and can be started again afterwards: as in a rollback."""
    with durable.worker():
        migrate(durable.database, add)
        assert durable.ended(token, durable.accepted(token, "/v1/invoke/echo/running"))["state"] == "succeeded"
    durable.gateway.service.stop()
    durable.gateway.service.restart()
    location = durable.accepted(token, "/v1/invoke/echo/again")
    with durable.worker():
        assert durable.ended(token, location)["state"] == "succeeded"
    assert durable.gateway.get(f"{location}/result", token).json()["line"] == "POST /again HTTP/1.1"


def queue_as_the_later_release(database: TestDatabase, location: str, path: str) -> str:
    """Queues another call like one that there is, with the columns that there are now; returns its path."""
    made = Database(database.url, connections=1, retry_seconds=30)
    known, new = location.rpartition("/")[2], new_id()
    changes = {"operations": {"state": "queued", "fence": 0, "attempts": 0}, "operation_requests": {"target": path}}

    def work(connection: Connection) -> None:
        for name, key in (("operations", "id"), ("operation_requests", "operation_id")):
            table = sa.Table(name, sa.MetaData(), autoload_with=connection)
            row = connection.execute(sa.select(table).where(table.c[key] == known)).mappings().one()
            connection.execute(sa.insert(table).values({**row, **changes[name], key: new}))

    made.run_here(work)
    made.close()
    return f"/v1/operations/{new}"


def test_worker_ends_when_a_later_release_removes_what_it_uses(durable: Stage, backend, token):
    """What it does is finished, what waits is left to a later worker, and no worker of its release starts again."""
    going, waiting, end = f"going-{durable.database.name}", f"waiting-{durable.database.name}", threading.Event()

    def slow(connection, seen):
        end.wait(scaled(600))
        say_what_came(connection, seen)

    with durable.worker() as worker, answering(backend, slow):
        first = durable.accepted(token, f"/v1/invoke/echo/{going}")
        wait_until(lambda: executed(backend, going), what="the call")
        migrate(durable.database, remove)
        second = queue_as_the_later_release(durable.database, first, f"/v1/invoke/echo/{waiting}")
        wait_until(lambda: "'osfaas db check'" in worker.log.read_text(), what="the sentence about the tables")
        end.set()
        assert status_at_end(worker) == 2
        assert f"osfaas: the tables have version {LATER}, of a later release" in worker.log.read_text()
    status, said = durable.refusing_worker()
    assert status == 2
    assert "operations.worker" in said
    assert (executed(backend, going), executed(backend, waiting)) == (1, 0)
    migrate(durable.database, put_back)
    assert durable.show(token, first)["state"] == "succeeded"
    assert durable.show(token, second)["state"] == "queued"
    with durable.worker():
        assert durable.ended(token, second)["state"] == "succeeded"
    assert (executed(backend, going), executed(backend, waiting)) == (1, 1)
