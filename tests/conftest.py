"""For all tests: timeouts scale with the speed of the machine, and a thousand sockets may be open, also as a user.

`--store` selects the object store of the suites that run on one of several: tests/clients and tests/faults.
"""

import resource
from collections.abc import Iterator

import pytest

from tests.machine import scaled, slowness_under_load
from tests.stores.lacks import NAMES

OPEN_FILES = 4_096


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--store", choices=NAMES, default="swift", help="object store of tests/clients and tests/faults")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # The soft limit of an ordinary user is often 1,024.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(OPEN_FILES, hard)), hard))
    if config.option.timeout is None:
        config.option.timeout = scaled(float(config.getini("timeout")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("timeout"):
            item.add_marker(pytest.mark.timeout(scaled(mark.args[0])), append=False)
            break


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """The time that a test may take, with the load at its beginning."""
    allowed = item.get_closest_marker("timeout")
    seconds = allowed.args[0] if allowed is not None else item.config.option.timeout
    if seconds:
        more = slowness_under_load() / scaled(1)
        item.add_marker(pytest.mark.timeout(seconds * more), append=False)
    return (yield)
