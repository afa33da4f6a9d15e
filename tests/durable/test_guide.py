"""The commands of docs/how-to/run-workers.md, as they stand there, on real databases."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select
from test_store import accept, claim

from operations.store.database import Database
from operations.store.model import State
from operations.store.schema import operations

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "run-workers.md"
BLOCKS = re.findall(r"^ *```(bash|sql)\n(.*?)^ *```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def block(word: str) -> str:
    """The only block with a word in it."""
    (found,) = [text for _, text in BLOCKS if word in text]
    return found


def run(text: str, folder: Path, database) -> str:
    """Runs a block in a shell; whatever fails in it fails."""
    (programs, *_) = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    env = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(programs), os.environ["PATH"]]),
        "OSFAAS_DATABASE_URL": database.url,
        "DATABASE": database.url.rpartition("/")[2],
        "HOME": str(folder),
    }
    done = subprocess.run(["bash", "-euc", text], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request, servers, tmp_path):
    made = servers.new(request.param)
    (tmp_path / "osfaas.cnf").write_text(
        f"[client]\nhost=127.0.0.1\nport={made.server.port}\nuser=osfaas\npassword=secret-database\n"
    )
    return made


def test_tables_are_made_and_checked_with_the_commands_of_the_guide(server, tmp_path):
    text = block("osfaas db check").replace("export OSFAAS_DATABASE_URL=", "export EXAMPLE=")
    assert "the tables have version" in run(text, tmp_path, server)


def test_queues_of_projects_are_listed_with_their_ages(server, tmp_path):
    run("osfaas db upgrade", tmp_path, server)
    database = Database(server.url, connections=1)
    for number in range(3):
        accept(database, project_id="many" if number else "one")
    database.close()
    lines = run(block("osfaas db queues"), tmp_path, server).splitlines()
    assert lines[0].split() == ["PROJECT", "QUEUED", "OLDEST"]
    assert {(line.split()[0], line.split()[1]) for line in lines[1:]} == {("one", "1"), ("many", "2")}


def test_growth_of_the_tables_is_shown(server, tmp_path):
    if server.name == "postgresql":
        run("osfaas db upgrade", tmp_path, server)
        assert "operations" in run(f'psql "$OSFAAS_DATABASE_URL" -c "{block("pg_stat_user_tables")}"', tmp_path, server)


def test_restored_backup_repeats_nothing_that_must_not_be_repeated(server, tmp_path):
    """Backup, further work, loss of everything, restore: as the guide says."""
    run("osfaas db upgrade", tmp_path, server)
    database = Database(server.url, connections=1)
    running = accept(database)
    assert [each.id for each in claim(database)] == [running.id]
    safe, _ = accept(database, repeatable=True), accept(database)
    dump, restore = ("pg_dump", "pg_restore") if server.name == "postgresql" else ("mariadb-dump", "mariadb --")
    run(block(f"{dump} "), tmp_path, server)
    database.run_here(lambda connection: connection.execute(operations.delete()))
    database.engine.dispose()
    assert "2 operations were cancelled" in run(block(restore), tmp_path, server)
    wanted = select(operations.c.id, operations.c.state).where(operations.c.keep_until.is_(None))
    with database.engine.begin() as connection:
        assert connection.execute(wanted).all() == [(safe.id, State.QUEUED)]
        count = select(func.count()).where(operations.c.state == State.CANCELLED)
        assert connection.execute(count).scalar_one() == 2
    database.close()
