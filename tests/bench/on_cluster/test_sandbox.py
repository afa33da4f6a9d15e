"""P12: what the sandbox costs. The checksums function of a tenant at L4 in gVisor, beside the same at L3 on runc."""

from __future__ import annotations

import hashlib
import json
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from policies.names import ProjectId, namespace_of
from tests.bench.measure import Comparison, Goal
from tests.cluster.commands import wait_until
from tests.cluster.platform.sandbox import RUNTIME_CLASS
from tests.cluster.probes import Outcome
from tests.cluster.product import CHECKSUMS_IMAGE, Product, product_on
from tests.cluster.progress import say
from tests.cluster.test_end_to_end import new_project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.openstack import OpenStack
    from tests.cluster.testbed import Testbed

COLD_STARTS, TRANSFERS, CALLS = 7, 5, 30
CONTENT = bytes(range(256)) * (64 * 1024 * 1024 // 256)
_MIB = 1024 * 1024
_ROOM = ("--pods", "4", "--cpu-millis", "6000", "--memory-mib", "4000")
_ASLEEP_SECONDS = 120

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True)
class Sandboxed:
    """The function of one tenant."""

    product: Product
    namespace: str

    def post(self, content: bytes, algorithms: str) -> float:
        """Seconds of one call from the node, through Istio's local gateway; the digest is compared."""
        cluster, etag = self.product.cluster, hashlib.md5(content).hexdigest()
        headers = {
            "Host": f"checksums.{self.namespace}.svc.cluster.local",
            "Content-Type": "application/octet-stream",
            "Expect": "",
            "X-Checksum-Algorithms": algorithms,
            "X-Object-Size": str(len(content)),
            "X-Object-ETag": etag,
        }
        words = [word for name, value in headers.items() for word in ("--header", f"{name}: {value}")]
        gateway = cluster.service_address("istio-system", "knative-local-gateway")
        post = ("--request", "POST", "--data-binary", "@-", *words)
        reply = cluster.curl_from_node(f"http://{gateway}/", *post, seconds=60, data=content)
        assert (reply.outcome, reply.status) == (Outcome.ANSWERED, 200), reply
        assert reply.json()["digests"]["md5"] == etag
        return reply.seconds

    def rate(self) -> float:
        return len(CONTENT) / _MIB / self.post(CONTENT, "adler32,md5")

    def sleep(self) -> None:
        words = ("pods", "-n", self.namespace)
        wait_until("no pod", lambda: not self.product.cluster.kubectl.get(*words)["items"], seconds=_ASLEEP_SECONDS)

    def memory(self) -> float:
        """MiB of the whole pod, as the kubelet counts it."""
        stats = json.loads(self.product.cluster.kubectl("get", "--raw", "/api/v1/nodes/node0/proxy/stats/summary"))
        pods = [pod for pod in stats["pods"] if pod["podRef"]["namespace"] == self.namespace]
        return float(sum(pod["memory"]["workingSetBytes"] for pod in pods) / _MIB)


@pytest.fixture(scope="module")
def pair(cluster: Testbed, openstack: OpenStack) -> Iterator[tuple[Sandboxed, Sandboxed]]:
    """The sandboxed one, and the other."""
    # One processor each: with the default half, the quota would be what is measured.
    function = {"image": CHECKSUMS_IMAGE, "cpu_millis": 1000, "max_scale": 1, "window_seconds": 20}
    platform = {"functions": {"checksums": function}, "sandbox_runtime_class": RUNTIME_CLASS}
    with product_on(cluster, openstack, platform) as product:
        found = []
        for level, runtime_class in (("L4", RUNTIME_CLASS), ("L3", None)):
            project, _ = new_project(openstack.outside, "carol")
            product.osfaas("tenant", "onboard", project, "--isolation", level, *_ROOM)
            each = Sandboxed(product, namespace_of(ProjectId(project)))
            each.post(b"awake", "md5")
            (pod,) = product.pods(each.namespace)
            assert pod["spec"].get("runtimeClassName") == runtime_class
            found.append(each)
        yield found[0], found[1]
        for each in found:
            product.remove_tenant(each.namespace)


def test_cost_of_the_sandbox(pair: tuple[Sandboxed, Sandboxed], figures: list[Comparison]) -> None:
    """Cold starts, digests, a small call, and memory, in turns."""
    ours, theirs = pair
    cold: tuple[list[float], list[float]] = ([], [])
    for _ in range(COLD_STARTS):
        for each, seconds in zip(pair, cold, strict=True):
            each.sleep()
            seconds.append(each.post(b"cold", "md5"))
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(TRANSFERS):
        for each, found in zip(pair, rates, strict=True):
            found.append(each.rate())
    small = tuple([each.post(b"warm", "md5") for _ in range(CALLS)] for each in pair)
    memory = ours.memory(), theirs.memory()
    say(f"cold starts {cold}; MiB/s {rates}; warm {[statistics.median(each) for each in small]}; MiB {memory}")
    peer = "runc, level L3"
    goals = Goal(1.6), Goal(0.8, at_least=True)
    figures.append(Comparison("P12", "cold start in gVisor, level L4", "s", cold[0], {peer: cold[1]}, goals[0]))
    figures.append(
        Comparison("P12", "adler32 and md5 of 64 MiB in gVisor", "MiB/s", rates[0], {peer: rates[1]}, goals[1])
    )
    figures.append(Comparison("P12", "a small call in gVisor", "s", small[0], {peer: small[1]}, None))
    figures.append(Comparison("P12", "memory of the pod in gVisor", "MiB", [memory[0]], {peer: [memory[1]]}, None))
