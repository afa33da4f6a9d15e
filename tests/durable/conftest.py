"""Databases of the tests of durable work."""

from collections.abc import Iterator

import pytest

# The fixtures of the integration tests, by their names.
from conftest import alice, bucket, cloud, function, start_gateway
from databases import NAMES, Databases, TestDatabase, databases
from echo import Echo, echo
from worker import Stage, stage

from localcloud.services import Service
from operations.store.database import Database
from operations.store.upgrade import upgrade

__all__ = ["alice", "bucket", "cloud", "function", "start_gateway"]


@pytest.fixture(scope="session")
def servers() -> Iterator[Databases]:
    with databases() as made:
        yield made


@pytest.fixture(params=NAMES)
def raw(request: pytest.FixtureRequest, servers: Databases) -> TestDatabase:
    """An empty database."""
    return servers.new(request.param)


@pytest.fixture
def db(raw: TestDatabase) -> Iterator[Database]:
    """A database with the tables."""
    made = Database(raw.url, connections=4)
    upgrade(made.engine)
    yield made
    made.close()


@pytest.fixture(scope="module")
def backend() -> Iterator[Echo]:
    with echo() as made:
        yield made


@pytest.fixture(scope="module", params=NAMES)
def durable(request: pytest.FixtureRequest, servers: Databases, start_gateway, cloud, backend: Echo) -> Iterator[Stage]:
    """A gateway with a database."""
    database = servers.new(request.param)
    made = Database(database.url, connections=1)
    upgrade(made.engine)
    made.close()
    with stage(start_gateway, cloud, backend, database) as running:
        yield running


@pytest.fixture(scope="module")
def worker(durable: Stage) -> Iterator[Service]:
    with durable.worker() as running:
        yield running


@pytest.fixture
def token(cloud) -> str:
    return cloud.token("alice")
