"""For all tests: the longest time that one may take scales with the speed of the machine, as all deadlines do."""

import pytest

from tests.machine import scaled


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.timeout is None:
        config.option.timeout = scaled(float(config.getini("timeout")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("timeout"):
            item.add_marker(pytest.mark.timeout(scaled(mark.args[0])), append=False)
            break
