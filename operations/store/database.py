"""Connections to the database, used by threads: the event loop never waits for it.

Threads and ordinary drivers, because one code then serves three databases; most of a transaction is waiting for the
database's disk.
"""

import asyncio
import functools
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from operations.store.errors import DatabaseUnavailableError, TablesMissingError

log = logging.getLogger(__name__)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "sqlite": "sqlite+pysqlite",
}
_CONNECT_SECONDS = 5
_STATEMENT_SECONDS = 30
# Waiting transactions for each thread; more are rejected at once.
_QUEUED_PER_THREAD = 16
_FIRST_PAUSE_SECONDS = 0.02
# Serialisation failures and deadlocks: the transaction was rolled back and may be repeated.
_REPEATABLE_POSTGRESQL = frozenset(["40001", "40P01", "55P03"])
_REPEATABLE_MARIADB = frozenset([1205, 1213, 1020])


def database_url(text: str) -> URL:
    """The URL of a database with the driver that is installed.

    Raises:
        ValueError: it is not a URL of PostgreSQL, MariaDB, MySQL or SQLite. The message does not repeat it.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        raise ValueError("not the URL of a database") from None
    driver = _DRIVERS.get(url.get_backend_name())
    if driver is None or url.drivername not in {url.get_backend_name(), driver}:
        raise ValueError("not a URL that begins with postgresql://, mariadb://, mysql:// or sqlite:///")
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        raise ValueError(
            "SQLite needs a file, because several processes use it: sqlite:////var/lib/osfaas/operations.db"
        )
    return url.set(drivername=driver)


def open_engine(url: str, *, connections: int) -> Engine:
    """The engine of a database; it connects when it is used.

    Raises:
        ValueError: as `database_url`.
    """
    target = database_url(url)
    options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_timeout": _STATEMENT_SECONDS}
    if target.get_backend_name() == "sqlite":
        engine = create_engine(target, connect_args={"timeout": _STATEMENT_SECONDS}, **options)
        _prepare_sqlite(engine)
        return engine
    if target.get_backend_name() == "postgresql":
        limits = f"-c statement_timeout={_STATEMENT_SECONDS * 1000} -c lock_timeout={_STATEMENT_SECONDS * 1000}"
        connect = {"connect_timeout": _CONNECT_SECONDS, "options": limits, "application_name": "osfaas"}
    else:
        connect = {
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": _STATEMENT_SECONDS,
            "write_timeout": _STATEMENT_SECONDS,
            "charset": "utf8mb4",
        }
    # Without gaps between the rows that a transaction locks: workers would wait for each other, and deadlock.
    return create_engine(target, isolation_level="READ COMMITTED", connect_args=connect, **options)


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        # The driver would begin transactions by itself, and too late: two readers that go on to write would fail.
        connection.isolation_level = None
        # A commit is on disk when it returns.
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


class Database:
    """Runs transactions in threads of its own."""

    def __init__(self, url: str, *, connections: int = 8, retry_seconds: float = 3) -> None:
        """Connects to nothing yet.

        Args:
            url: see `database_url`.
            connections: and threads.
            retry_seconds: how long a transaction that failed without a fault of its own is repeated.

        Raises:
            ValueError: as `database_url`.
        """
        self.engine = open_engine(url, connections=connections)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="osfaas-database")
        self._most = connections * _QUEUED_PER_THREAD
        self._retry_seconds = retry_seconds
        self._open = 0

    async def run(
        self,
        work: Callable[Concatenate[Connection, Parameters], Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """The result of `work`, committed; it runs in a thread, and again if the database asks for it.

        Work may run twice although it was committed, if the connection ended meanwhile: it must find its own traces.

        Raises:
            DatabaseUnavailableError: the outcome is unknown, if the connection ended during the commit.
            TablesMissingError: there are no tables, or they are of another version.
        """
        if self._open >= self._most:
            raise DatabaseUnavailableError("too many transactions wait for the database")
        self._open += 1
        try:
            call = functools.partial(self.run_here, work, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        finally:
            self._open -= 1

    def run_here(
        self,
        work: Callable[Concatenate[Connection, Parameters], Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """As `run`, in this thread."""
        deadline, pause = time.monotonic() + self._retry_seconds, _FIRST_PAUSE_SECONDS
        while True:
            try:
                with self.engine.begin() as connection:
                    return work(connection, *args, **kwargs)
            except SQLAlchemyError as error:
                if is_unknown_table(error):
                    log.error("the database does not have the tables of this version: run 'osfaas db check'")  # noqa: TRY400
                    raise TablesMissingError(_cause(error)) from error
                if not is_temporary(error):
                    raise
                if time.monotonic() + pause >= deadline:
                    log.error("the database does not answer: %s", _cause(error))  # noqa: TRY400 - the message is enough
                    raise DatabaseUnavailableError(_cause(error)) from error
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause = min(2 * pause, 0.5)

    def close(self) -> None:
        """Waits for running transactions, and closes the connections."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.engine.dispose()


def is_temporary(error: SQLAlchemyError) -> bool:
    """Whether the same transaction may succeed later: a deadlock, a lost connection, a database that is starting."""
    if not isinstance(error, DBAPIError):
        return True  # the pool's own: no connection became free
    cause = error.orig
    state = getattr(cause, "sqlstate", None)
    if state in _REPEATABLE_POSTGRESQL:
        return True
    number = cause.args[0] if cause is not None and cause.args else None
    if number in _REPEATABLE_MARIADB:
        return True
    # SQLite's "database is locked" is one too.
    if isinstance(error, OperationalError | InterfaceError):
        return number not in {1045, 1049}
    return error.connection_invalidated


def is_unknown_table(error: SQLAlchemyError) -> bool:
    """Whether a table or a column is not there: not yet, or not any more."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    number = cause.args[0] if cause is not None and cause.args else None
    return (
        getattr(cause, "sqlstate", None) in {"42P01", "42703"}
        or number in {1054, 1146}
        or "no such table" in str(cause)
        or "no such column" in str(cause)
        or "has no column named" in str(cause)
    )


def _cause(error: SQLAlchemyError) -> str:
    # Neither the statement nor its parameters, which hold requests.
    return str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0][:200]
