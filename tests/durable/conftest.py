"""Databases of the tests of durable work."""

from collections.abc import Iterator

import pytest
from databases import NAMES, Databases, TestDatabase, databases

from operations.store.database import Database
from operations.store.upgrade import upgrade


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
