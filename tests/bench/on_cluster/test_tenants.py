"""P9 on a cluster: what a call and the control plane cost beside many idle tenants, and with one alone."""

from __future__ import annotations

import copy
import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from localcloud.seed import Keystone
from policies.names import ProjectId, namespace_of
from tests.bench.measure import Comparison, Goal
from tests.cluster.commands import wait_until
from tests.cluster.product import SYSTEM
from tests.cluster.progress import say, step
from tests.cluster.test_end_to_end import assert_right, content, new_project

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.cluster.product import Product

TENANTS = int(os.environ.get("BENCH_TENANTS", "200"))
CALLS = 300
RUNS = 3
# Longer than a resync interval of the controllers, so that one resync is in it.
IDLE_SECONDS = 330
SETTLE_SECONDS = 120 + 6 * TENANTS
# Otherwise every function starts once when it is made. Three fit on the node at once and each is a minute and a half on
# its way, so that 200 would take hours.
_STARTS_NONE = '{"data": {"initial-scale": "0"}}'
_STARTS_ONE = '{"data": {"initial-scale": "1"}}'

pytestmark = pytest.mark.timeout(SETTLE_SECONDS + 2400)


@dataclass(frozen=True)
class Cost:
    """One state of the cluster.

    Attributes:
        p95: of a call, seconds, one for each run.
        cpu: of all controllers, millicores while nothing changes and no tenant was changed shortly before.
        memory: of all controllers, MiB.
    """

    p95: list[float]
    cpu: float
    memory: float


@pytest.fixture
def project(product: Product) -> tuple[str, str]:
    """The tenant who calls: its project and a token. It stays, as the others do: the cluster ends with the bench."""
    made, session = new_project(product.openstack.outside, "carol")
    container = f"{product.openstack.outside.swift_url}/v1/AUTH_{made}/box"
    session.put(container)
    session.put(f"{container}/note", data=content("carol"))
    product.osfaas("tenant", "onboard", made)
    return made, str(session.get_token())


def test_what_idle_tenants_cost_a_call_and_the_controllers(
    product: Product, project: tuple[str, str], figures: list[Comparison]
) -> None:
    """Measured with one tenant, then with all; between the two nothing else changes."""
    one = measure(product, project[1])
    with step(f"{TENANTS - 1} more tenants"), new_functions_asleep(product):
        onboard_many(product, project[0])
    many = measure(product, project[1])
    say(f"one tenant {one}; {TENANTS} tenants {many}")
    what = f"{TENANTS} tenants on the cluster"
    figures += [
        Comparison(
            "P9", f"95th percentile of a checksum, {what}", "ms", [s * 1000 for s in many.p95],
            {"1 tenant": [s * 1000 for s in one.p95]}, Goal(1.1),
        ),
        Comparison(
            "P9", f"CPU of the idle controllers, {what}", "mCPU", [many.cpu], {"1 tenant": [one.cpu]}, Goal(1.2)
        ),
        Comparison(
            "P9", f"memory of the controllers, {what}", "MiB", [many.memory], {"1 tenant": [one.memory]}, Goal(1.1)
        ),
    ]  # fmt: skip


@contextmanager
def new_functions_asleep(product: Product) -> Iterator[None]:
    """Functions that are made meanwhile start no pod before their first call."""
    patch = ("patch", "configmap", "config-autoscaler", "-n", "knative-serving", "--type=merge", "--patch")
    product.cluster.kubectl(*patch, _STARTS_NONE)
    try:
        yield
    finally:
        product.cluster.kubectl(*patch, _STARTS_ONE)


def measure(product: Product, token: str) -> Cost:
    """Calls of a warm function through the edge, one at a time; then the controllers at rest."""
    p95 = []
    with product.caller("carol", token=token) as caller:
        for _ in range(20):
            called(caller)
        for _ in range(RUNS):
            seconds = []
            for _ in range(CALLS):
                started = time.perf_counter()
                called(caller)
                seconds.append(time.perf_counter() - started)
            p95.append(statistics.quantiles(seconds, n=20)[-1])
    # The first resync after a change reads each tenant once more.
    time.sleep(IDLE_SECONDS)
    before, begun = controllers(product), time.monotonic()
    time.sleep(IDLE_SECONDS)
    after, ended = controllers(product), time.monotonic()
    return Cost(p95, (after[0] - before[0]) / (ended - begun) * 1000, after[1])


def called(caller: httpx.Client) -> None:
    """A checksum that is computed each time, and right."""
    wanted = {"bucket": "box", "file": "note", "algorithm": "adler32,sha1", "force": "true"}
    assert_right(caller.get("/checksums/", params=wanted), content("carol"))


def controllers(product: Product) -> tuple[float, float]:
    """CPU seconds since their start, and memory (working set, MiB), of the controller's pods, by the kubelet."""
    node = product.cluster.kubectl.get("nodes")["items"][0]["metadata"]["name"]
    listed = json.loads(product.cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))["pods"]
    ours = [
        pod
        for pod in listed
        if pod["podRef"]["namespace"] == SYSTEM and pod["podRef"]["name"].startswith("osfaas-controller")
    ]
    assert ours, "the kubelet knows no controller"
    cpu = sum(pod["cpu"]["usageCoreNanoSeconds"] for pod in ours) / 1e9
    return cpu, sum(pod["memory"]["workingSetBytes"] for pod in ours) / (1 << 20)


def onboard_many(product: Product, like: str) -> None:
    """Real projects in Keystone, and records like that of an onboarded one; returns when all are Ready and asleep."""
    cloud, kubectl = product.openstack.outside, product.cluster.kubectl
    keystone = Keystone(cloud.session("admin"), cloud.auth_url)
    pattern = kubectl.get("tenant", namespace_of(ProjectId(like)))

    def record(number: int) -> None:
        project = keystone.create("project", name=f"idle-{number:04}", domain_id="default")["id"]
        tenant = copy.deepcopy(pattern)
        tenant["metadata"] = {"name": namespace_of(ProjectId(project))}
        tenant["spec"] |= {"projectID": project, "displayName": f"idle-{number:04}"}
        tenant.pop("status", None)
        kubectl.apply(tenant)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(record, range(TENANTS - 1)))

    def ready() -> bool:
        listed = kubectl.get("tenants")["items"]
        conditions = [{c["type"]: c["status"] for c in each.get("status", {}).get("conditions", [])} for each in listed]
        return len(listed) >= TENANTS and all(each.get("Ready") == "True" for each in conditions)

    wait_until("all are ready", ready, seconds=SETTLE_SECONDS)
    own = namespace_of(ProjectId(like))

    def asleep() -> bool:
        pods = kubectl.get("pods", "-A", "-l", "serving.knative.dev/service=checksums")["items"]
        return not [pod for pod in pods if pod["metadata"]["namespace"] != own]

    wait_until("all are asleep", asleep, seconds=120)
