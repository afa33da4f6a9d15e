"""P12: what the sandbox costs. The checksums function of a tenant at L4 in gVisor, beside the same at L3 on runc."""

from __future__ import annotations

import hashlib
import json
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
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
    from collections.abc import Callable, Iterator

    from tests.cluster.openstack import OpenStack
    from tests.cluster.testbed import Testbed

TURNS, TRANSFERS, CALLS = 5, 3, 30
CONTENT = bytes(range(256)) * (64 * 1024 * 1024 // 256)
_MIB = 1024 * 1024
_ROOM = ("--pods", "4", "--cpu-millis", "6000", "--memory-mib", "4000")
_ASLEEP_SECONDS = 120
# The kubelet counts every ten seconds or so; meanwhile calls keep the pod.
_COUNTED_SECONDS = 60

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
        """MiB of the whole pod, as the kubelet counts it from now on."""
        since, found = datetime.now(UTC), []

        def counted() -> bool:
            self.post(b"warm", "md5")
            stats = json.loads(self.product.cluster.kubectl("get", "--raw", "/api/v1/nodes/node0/proxy/stats/summary"))
            (memory,) = (pod["memory"] for pod in stats["pods"] if pod["podRef"]["namespace"] == self.namespace)
            found.append(memory["workingSetBytes"] / _MIB)
            return datetime.fromisoformat(memory["time"]) > since

        wait_until("memory of the pod", counted, seconds=_COUNTED_SECONDS, pause=1)
        return float(found[-1])


@dataclass(frozen=True)
class Turn:
    """What one pod showed, from its cold start on. The rate is in MiB/s, the memory in MiB, the rest in seconds."""

    cold: float
    rate: float
    small: float
    memory: float


def take_turn(each: Sandboxed, other: Sandboxed) -> Turn:
    """Both sleep first: the node has capacity for one pod of a whole processor; a second one would wait for the end of
    the first."""
    each.sleep()
    other.sleep()
    return Turn(
        cold=each.post(b"cold", "md5"),
        rate=statistics.median(each.rate() for _ in range(TRANSFERS)),
        small=statistics.median(each.post(b"warm", "md5") for _ in range(CALLS)),
        memory=each.memory(),
    )


@pytest.fixture(scope="module")
def pair(cluster: Testbed, openstack: OpenStack) -> Iterator[tuple[Sandboxed, Sandboxed]]:
    """The sandboxed one, and the other."""
    # One processor each: with the default half, the quota would be what is measured.
    function = {"image": CHECKSUMS_IMAGE, "cpu_millis": 1000, "max_scale": 1, "window_seconds": 10}
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
            each.sleep()
        yield found[0], found[1]
        for each in found:
            product.remove_tenant(each.namespace)


def test_cost_of_the_sandbox(pair: tuple[Sandboxed, Sandboxed], figures: list[Comparison]) -> None:
    """Cold starts, digests, small calls, and memory, in turns."""
    (ours, theirs), peer = pair, "runc, level L3"
    in_gvisor: list[Turn] = []
    on_runc: list[Turn] = []
    for _ in range(TURNS):
        for found, each, other in ((in_gvisor, ours, theirs), (on_runc, theirs, ours)):
            found.append(take_turn(each, other))
            say(f"{'gVisor' if each is ours else 'runc'}: {found[-1]}")

    def compare(what: str, unit: str, figure: Callable[[Turn], float], goal: Goal | None = None) -> None:
        mine, its = [figure(turn) for turn in in_gvisor], [figure(turn) for turn in on_runc]
        figures.append(Comparison("P12", what, unit, mine, {peer: its}, goal))

    compare("cold start in gVisor, level L4", "s", lambda turn: turn.cold, Goal(1.6))
    compare("adler32 and md5 of 64 MiB in gVisor", "MiB/s", lambda turn: turn.rate, Goal(0.8, at_least=True))
    compare("a small call in gVisor", "ms", lambda turn: turn.small * 1000)
    compare("memory of the pod in gVisor", "MiB", lambda turn: turn.memory)
