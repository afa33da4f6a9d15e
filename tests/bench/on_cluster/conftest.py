"""Where the figures of the cluster go: a table at the end, JSON, and the page of the documents if it is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bench.report import CLUSTER_MARKS, document, put_into, table, write_json
from tests.cluster.layout import CHECKOUT
from tests.cluster.product import CHECKSUMS_IMAGE, product_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.measure import Comparison
    from tests.cluster.openstack import OpenStack
    from tests.cluster.product import Product
    from tests.cluster.testbed import Testbed

OUT = CHECKOUT / ".cache" / "bench" / "cluster.json"


@pytest.fixture(scope="session")
def product(cluster: Testbed, openstack: OpenStack) -> Iterator[Product]:
    """As an operator's first: the function has the settings that it has when platform.yaml says nothing."""
    platform = {"functions": {"checksums": {"image": CHECKSUMS_IMAGE}}}
    with product_on(cluster, openstack, platform, stays=True) as installed:
        yield installed


@pytest.fixture(scope="session")
def figures() -> Iterator[list[Comparison]]:
    """The tests add to it what they measured."""
    found: list[Comparison] = []
    yield found
    shown = table(found)
    print(f"\n{shown}")
    write_json(OUT, document(found, effort={}))
    if page := os.environ.get("BENCH_DOCS"):
        put_into(Path(page), shown, CLUSTER_MARKS)
