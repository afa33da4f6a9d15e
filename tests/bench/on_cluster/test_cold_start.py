"""P8: from no pod to the answer, the checksums function beside a responder in Go, both in a tenant's namespace."""

from __future__ import annotations

import copy
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from policies.names import ProjectId, namespace_of
from tests.bench.measure import Comparison, Goal
from tests.cluster.commands import wait_until
from tests.cluster.probes import Outcome
from tests.cluster.progress import say
from tests.cluster.test_end_to_end import new_project
from tests.cluster.test_knative import Function

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.product import Product

RUNS = 7
_ROOM = ("--pods", "20", "--cpu-millis", "10000", "--memory-mib", "8000")
_ASLEEP_SECONDS = 120

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True)
class Pair:
    """The tenant's function and the responder beside it."""

    product: Product
    function: Function

    def call_function(self) -> float:
        reply = self.function.call(self.function.host)
        assert (reply.outcome, reply.status) == (Outcome.ANSWERED, 200), reply
        return reply.seconds

    def call_responder(self) -> float:
        cluster = self.product.cluster
        gateway = cluster.service_address("istio-system", "knative-local-gateway")
        host = f"responder.{self.function.namespace}.svc.cluster.local"
        reply = cluster.curl_from_node(f"http://{gateway}/", "--header", f"Host: {host}", seconds=30)
        assert (reply.outcome, reply.status) == (Outcome.ANSWERED, 200), reply
        return reply.seconds

    def sleep(self) -> None:
        """Until nothing of either is left, not even a pod that is ending."""
        words = ("pods", "-n", self.function.namespace)
        wait_until("no pod", lambda: not self.product.cluster.kubectl.get(*words)["items"], seconds=_ASLEEP_SECONDS)


@pytest.fixture
def pair(product: Product) -> Iterator[Pair]:
    """An onboarded project; the responder is its function with another image, and all else the same."""
    project, _ = new_project(product.openstack.outside, "carol")
    namespace = namespace_of(ProjectId(project))
    product.osfaas("tenant", "onboard", project, *_ROOM)
    kubectl = product.cluster.kubectl
    function = kubectl.get("services.serving.knative.dev", "checksums", "-n", namespace)
    kubectl.apply(responder_like(function))
    kubectl("wait", "--for=condition=Ready", "ksvc/responder", "-n", namespace, "--timeout=120s")
    yield Pair(product, Function(product.cluster, namespace, 0.0))
    product.remove_tenant(namespace)


def responder_like(function: dict[str, Any]) -> dict[str, Any]:
    """Kubernetes' own agnhost, a static program, under the settings of the function."""
    template = copy.deepcopy(function["spec"]["template"])
    container = template["spec"]["containers"][0]
    container["image"] = "dev.local/e2e-test-images/agnhost:2.43"
    container["args"] = ["serve-hostname", "--port=8080"]
    container["readinessProbe"]["httpGet"]["path"] = "/healthz"
    container["securityContext"]["runAsUser"] = 65532
    container.pop("env", None)
    labels = {"networking.knative.dev/visibility": "cluster-local"}
    return {
        "apiVersion": function["apiVersion"],
        "kind": function["kind"],
        "metadata": {"name": "responder", "namespace": function["metadata"]["namespace"], "labels": labels},
        "spec": {"template": {"metadata": template.get("metadata", {}), "spec": template["spec"]}},
    }


def test_cold_start_of_the_function(pair: Pair, figures: list[Comparison]) -> None:
    """Both sleep; each is called once, in turns of who comes first; the clock is the caller's."""
    ours: list[float] = []
    theirs: list[float] = []
    for run in range(RUNS):
        pair.sleep()
        first_ours = run % 2 == 0
        if first_ours:
            ours.append(pair.call_function())
        theirs.append(pair.call_responder())
        if not first_ours:
            ours.append(pair.call_function())
    warm = statistics.median(pair.call_function() for _ in range(20))
    say(f"cold starts: {[round(s, 2) for s in ours]}, responder {[round(s, 2) for s in theirs]}, warm {warm:.3f} s")
    figures.append(
        Comparison(
            "P8",
            "cold start: no pod, one call, until its answer",
            "s",
            ours,
            {"a static Go program, same settings": theirs, "ours, warm": [warm] * RUNS},
            Goal(1.25),
        )
    )
