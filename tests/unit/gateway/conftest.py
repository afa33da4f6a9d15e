"""A Valkey of the tests' own; and property tests that do not mind a busy machine."""

from collections.abc import Iterator

import hypothesis
import pytest

from tests.valkey import Valkey

hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    server = Valkey()
    server.start()
    yield server
    server.close()
