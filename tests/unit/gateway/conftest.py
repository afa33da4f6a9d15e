"""A Valkey of the tests' own; and property tests that do not mind a busy machine."""

from collections.abc import Iterator

import hypothesis
import pytest

from tests.valkey import Valkey

hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    server = Valkey()
    yield server
    server.close()


@pytest.fixture
def valkey(valkey_server: Valkey) -> Valkey:
    """It runs and is empty, whatever the test before did to it."""
    if valkey_server.process is None:
        valkey_server.start()
    valkey_server.empty()
    return valkey_server
