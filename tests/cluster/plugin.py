"""pytest plugin: the fixtures `cluster`, `openstack` and `product`. Load it with `-p tests.cluster.plugin`.

A cluster that already runs in this checkout (`make cluster` in another terminal) is used and left running. Without
one, or with CI=true, the run boots its own and ends it. TEST_CLUSTER_FRESH=1 asks for a fresh one by hand.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.cluster.builds import BuildSite, build_site
from tests.cluster.leftovers import find_leftovers
from tests.cluster.openstack import OpenStack, openstack_of
from tests.cluster.product import Product, know_tenants, product_on
from tests.cluster.progress import say
from tests.cluster.session import ClusterSession, find_running
from tests.cluster.testbed import Testbed

if TYPE_CHECKING:
    from collections.abc import Iterator


def wants_fresh() -> bool:
    """Whether a running cluster must not be used."""
    return os.environ.get("CI", "") not in {"", "0", "false"} or bool(os.environ.get("TEST_CLUSTER_FRESH"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Testbed]:
    """The running cluster, for all tests of this run."""
    running = None if wants_fresh() else find_running()
    if running:
        say(f"using the running cluster {running.identity}")
        yield Testbed(running)
        return
    session = ClusterSession()
    with session as started:
        yield Testbed(started)
    left = find_leftovers(session.identity)
    assert not left, f"the ended cluster left something: {left}"


@pytest.fixture(scope="module")
def tenants_known(cluster: Testbed) -> None:
    """The cluster has the definition of Tenant, without the rest of the product."""
    know_tenants(cluster)


@pytest.fixture(scope="session")
def openstack(cluster: Testbed) -> Iterator[OpenStack]:
    """A real Keystone and a real Swift outside the cluster, reachable from its pods."""
    with openstack_of(cluster) as running:
        yield running


@pytest.fixture(scope="session")
def site(cluster: Testbed, openstack: OpenStack) -> Iterator[BuildSite]:
    """A registry, its token endpoint and an index of packages outside the cluster."""
    with build_site(cluster, openstack) as running:
        yield running


@pytest.fixture(scope="session")
def product(cluster: Testbed, openstack: OpenStack, site: BuildSite) -> Iterator[Product]:
    """The product, installed on the cluster by its own command."""
    with product_on(cluster, openstack, site=site) as installed:
        yield installed
