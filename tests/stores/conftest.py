"""One object suite for all stores, with the real gateway and function; the passed cases side by side at the end."""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest

# The fixtures of the integration tests, by their names.
from conftest import Gateway, StartGateway, alice, cloud, function, start_gateway
from lacks import NAMES
from stores import OF_CEPH, OF_CLOUD, Store

from localcloud import LocalCloud
from localcloud.ceph import Ceph
from localcloud.ceph import ceph as ceph_cluster

__all__ = ["alice", "cloud", "function", "start_gateway"]
BUCKET = "data"


@pytest.fixture(scope="session")
def ceph(cloud: LocalCloud) -> Iterator[Ceph]:
    with ceph_cluster(cloud, progress=lambda line: print(f"  {line}", file=sys.stderr, flush=True)) as running:
        yield running


@pytest.fixture(scope="session", params=NAMES)
def store(request: pytest.FixtureRequest, cloud: LocalCloud) -> Iterator[Store]:
    """Each store in turn, with a bucket `data`."""
    name = request.param
    with OF_CEPH[name](cloud, request.getfixturevalue("ceph")) if name in OF_CEPH else OF_CLOUD[name](cloud) as started:
        started.filler.make(BUCKET)
        yield started


@pytest.fixture(scope="session")
def gateways(store: Store, start_gateway: StartGateway) -> Iterator[Mapping[str, Gateway]]:
    """Gateways in front of the store that know one way of reading each."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(
                # It asks a store that is down again for some seconds only.
                start_gateway(**{**store.settings, "OSFAAS_CAPABILITIES": name, "OSFAAS_RETRY_SECONDS": "2"})
            )
            for name in store.capabilities
        }


@pytest.fixture(scope="session")
def gateway(gateways: Mapping[str, Gateway]) -> Gateway:
    """One of them."""
    return gateways["stream"]


@pytest.fixture(autouse=True)
def named(request: pytest.FixtureRequest) -> None:
    """Says in the report which store the case ran on."""
    if "store" in request.fixturenames:
        request.node.user_properties.append(("store", request.getfixturevalue("store").name))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The numbers of cases by file and store."""
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            name = dict(report.user_properties).get("store")
            if name is not None:
                file = report.nodeid.partition("::")[0].rpartition("/")[2].removeprefix("test_").removesuffix(".py")
                counts.setdefault(file, Counter())[str(name), outcome] += 1
    if not counts:
        return
    width = max(map(len, NAMES)) + 2
    terminalreporter.write_sep("=", "cases passed (failed, skipped) by store")
    terminalreporter.write_line(" " * 16 + "".join(f"{name:>{width}}" for name in NAMES))
    for file, found in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        cells = (f"{found[name, 'passed']} ({found[name, 'failed']}, {found[name, 'skipped']})" for name in NAMES)
        terminalreporter.write_line(f"{file:<16}" + "".join(f"{cell:>{width}}" for cell in cells))
