"""Real databases for tests, on loopback, in temporary folders: PostgreSQL, MariaDB, SQLite."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pymysql

from localcloud.ports import free_ports
from tests.machine import wait_until

NAMES = ("postgresql", "mariadb", "sqlite")
USER = "osfaas"
PASSWORD = "secret-database"
# A kill ends a process, and not the machine: what was written survives in memory as well. After a kill a server
# synchronises all its files, which takes minutes on a disk that others use.
MEMORY = Path("/dev/shm")
_START_SECONDS = 180


@dataclass
class DatabaseServer:
    """One server process; it can be killed and started again on its port with the same data.

    Attributes:
        owner: the system's user that runs it, if that is not the caller: PostgreSQL refuses to run as root.
        run: executes a statement as the owner of all databases.
    """

    folder: Path
    port: int
    command: Sequence[str]
    owner: str | None
    run: Callable[[int, str], None]
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, **as_user(self.owner))
        wait_until(
            self._listens, seconds=_START_SECONDS, what=f"the database on port {self.port}, see {self.folder}/log,"
        )

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        # It listens before it can answer.
        with contextlib.suppress(Exception):
            self.execute("SELECT 1")
            return True
        return False

    def execute(self, statement: str) -> None:
        self.run(self.port, statement)

    def kill(self) -> None:
        """As a crash of the machine's process: SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class TestDatabase:
    """A database of one's own."""

    __test__ = False

    name: str
    url: str
    server: DatabaseServer | None = None


@dataclass
class Databases:
    """Starts each kind of server once, and gives out databases in it.

    Attributes:
        parent: folder of the servers' data; None: on the disk.
    """

    stack: contextlib.ExitStack
    parent: Path | None
    servers: dict[str, DatabaseServer] = field(default_factory=dict)
    made: int = 0

    def new(self, name: str) -> TestDatabase:
        self.made += 1
        label = f"test{self.made}"
        if name == "sqlite":
            folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="osfaas-sqlite-"))
            return TestDatabase(name, f"sqlite:///{folder}/operations.db")
        if name not in self.servers:
            self.servers[name] = self.stack.enter_context(START[name](self.parent))
        server = self.servers[name]
        statement = f"CREATE DATABASE {label}"
        server.execute(statement)
        return TestDatabase(name, f"{name}://{USER}:{PASSWORD}@127.0.0.1:{server.port}/{label}", server)


def in_postgresql(port: int, statement: str) -> None:
    dsn = f"host=127.0.0.1 port={port} user={USER} password={PASSWORD} dbname=postgres"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)


def in_mariadb(port: int, statement: str) -> None:
    with pymysql.connect(host="127.0.0.1", port=port, user=USER, password=PASSWORD) as connection:
        connection.cursor().execute(statement)


def as_user(owner: str | None) -> dict[str, object]:
    if owner is None:
        return {}
    entry = pwd.getpwnam(owner)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "cwd": "/"}


def _owner(name: str) -> str | None:
    return name if os.geteuid() == 0 else None


@contextlib.contextmanager
def _folder(owner: str | None, parent: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="osfaas-db-", dir=parent))
    try:
        if owner is not None:
            shutil.chown(folder, owner, pwd.getpwnam(owner).pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def postgresql(parent: Path | None) -> Iterator[DatabaseServer]:
    """PostgreSQL with durable commits, as it is by default."""
    (programs, *_) = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    owner, port = _owner("postgres"), free_ports(1)[0]
    with _folder(owner, parent) as folder:
        data, word = folder / "data", folder / "password"
        word.write_text(PASSWORD)
        word.chmod(0o644)
        subprocess.run(
            [f"{programs}/initdb", "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={word}", "-E", "UTF8"],
            check=True,
            stdout=subprocess.DEVNULL,
            **as_user(owner),
        )
        options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": 200}
        command = [f"{programs}/postgres", "-D", str(data)]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with _running(DatabaseServer(folder, port, command, owner, in_postgresql)) as server:
            yield server


@contextlib.contextmanager
def mariadb(parent: Path | None) -> Iterator[DatabaseServer]:
    """MariaDB with durable commits, as it is by default."""
    owner, port = _owner("mysql"), free_ports(1)[0]
    with _folder(owner, parent) as folder:
        data = folder / "data"
        user = f"--user={owner}" if owner else "--auth-root-authentication-method=normal"
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={data}", user, "--skip-test-db"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        accounts = folder / "accounts.sql"
        accounts.write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1';\n"
        )
        accounts.chmod(0o644)
        command = [
            "/usr/sbin/mariadbd",
            "--no-defaults",
            f"--datadir={data}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            f"--socket={folder}/socket",
            f"--pid-file={folder}/pid",
            f"--init-file={accounts}",
            "--skip-name-resolve",
            "--max-connections=200",
        ]
        with _running(DatabaseServer(folder, port, command, owner, in_mariadb)) as server:
            yield server


@contextlib.contextmanager
def _running(server: DatabaseServer) -> Iterator[DatabaseServer]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


START = {"postgresql": postgresql, "mariadb": mariadb}


@contextlib.contextmanager
def databases(*, on_disk: bool = False) -> Iterator[Databases]:
    with contextlib.ExitStack() as stack:
        yield Databases(stack, None if on_disk or not MEMORY.is_dir() else MEMORY)
