"""Knative Serving's own tests pass in a tenant's namespace as they do on a cluster without our policies."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from policies.names import ProjectId, namespace_of
from tests.cluster.knative_tests import Result, Suite, import_test_images, run_suites
from tests.cluster.progress import say, step
from tests.cluster.test_end_to_end import new_project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.cluster.product import Product
    from tests.cluster.testbed import Testbed

_SUITES = (
    Suite(
        "conformance.test",
        (
            "TestAnnotationPropagation",
            "TestBlueGreenRoute",
            "TestConfigurationGetAndList",
            "TestRevisionGetAndList",
            "TestRevisionTimeout",
            "TestRouteCreation",
            "TestRouteGetAndList",
            "TestServiceBYOName",
            "TestServiceCreateAndUpdate",
            "TestServiceCreateListAndDelete",
            "TestServiceCreateWithEmptyDir",
            "TestServiceCreateWithMultipleContainers",
            "TestServiceGenerateName",
            "TestServiceWithTrafficSplit",
            "TestSingleConcurrency",
            "TestUpdateConfigurationMetadata",
        ),
    ),
    Suite("e2e.test", ("TestFastScaleToZero", "TestHelloWorld", "TestMinScale")),
)
_ROOM = ("--pods", "40", "--cpu-millis", "40000", "--memory-mib", "40000")

pytestmark = pytest.mark.timeout(2400)

# Both of the session's scope, as `product` is: only then are they made in the order in which the test names them, and
# the first one has to see a cluster without the product.


@pytest.fixture(scope="session")
def without_policies(cluster: Testbed) -> Mapping[str, Result]:
    """The results in a namespace of nobody, on a cluster that has none of our policies yet."""
    left = cluster.kubectl("get", "networkpolicies", "-A", "-o", "name")
    assert not left, "the comparison wants a cluster without policies; this one has some"
    import_test_images(cluster)
    ingress = cluster.service_address("istio-system", "istio-ingressgateway")
    with (
        cluster.namespace("conformance") as namespace,
        plain_external_names(cluster),
        step("Knative's own tests, without policies"),
    ):
        return run_suites(cluster, _SUITES, namespace=namespace, ingress=ingress)


@contextmanager
def plain_external_names(cluster: Testbed) -> Iterator[None]:
    """Knative as it is shipped: its tests ask by http, where the product's setting has public names answer by https."""

    def announce(scheme: str) -> None:
        patch = json.dumps({"data": {"default-external-scheme": scheme}})
        cluster.kubectl("patch", "configmap", "config-network", "-n", "knative-serving", "--type=merge", "-p", patch)

    announce("http")
    try:
        yield
    finally:
        announce("https")


@pytest.fixture(scope="session")
def tenant(without_policies: Mapping[str, Result], product: Product) -> Iterator[str]:
    """An onboarded namespace with room for all of the tests at once."""
    project, _ = new_project(product.openstack.outside, "carol")
    namespace = namespace_of(ProjectId(project))
    product.osfaas("tenant", "onboard", project, *_ROOM)
    yield namespace
    product.remove_tenant(namespace)


def test_the_same_tests_pass_with_our_policies(
    without_policies: Mapping[str, Result], product: Product, tenant: str
) -> None:
    """Test by test the same result; and enough of them pass for that to mean something."""
    local = product.cluster.service_address("istio-system", "knative-local-gateway")
    with step("Knative's own tests, in a tenant's namespace"):
        with_policies = run_suites(product.cluster, _SUITES, namespace=tenant, ingress=local)
    for name, results in (("without", without_policies), ("with", with_policies)):
        passed = [test for test, result in results.items() if result is Result.PASS]
        failed = [test for test, result in results.items() if result is Result.FAIL]
        say(f"Knative's own tests {name} our policies: {len(passed)} of {len(results)} pass; failed: {failed}")
    assert with_policies == without_policies
    wanted = sum(len(suite.tests) for suite in _SUITES)
    assert sum(result is Result.PASS for result in without_policies.values()) >= wanted * 0.9
