"""P9 for a region: a gateway that follows ten thousand Tenant records of a real API server, beside one with one tenant.

All tenants but the caller's are asleep: a record, and no namespace.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml
from kubernetes import client

from localcloud import LocalCloud, local_cloud
from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import gateway_service, running
from policies.labels import API_GROUP, API_VERSION, TENANT_KIND
from policies.names import ProjectId, namespace_of
from tests.bench.load import send_requests
from tests.bench.measure import Comparison, Goal, Pairs, cpu_seconds, resident_mib
from tests.bench.stage import SUBJECTS
from tests.cluster.commands import wait_until
from tests.cluster.product import installed_controller_stopped
from tests.cluster.progress import say, step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.testbed import Testbed

RECORDS = int(os.environ.get("BENCH_RECORDS", "10000"))
# Each is one write to etcd; two cores serve some hundred a second.
SETTLE_SECONDS = 60 + RECORDS // 20
CHANGES = min(RECORDS, 1_000)
REQUESTS = 2_000
RUNS = 5
LABEL = "bench.osfaas.dev/records"
OBJECTS = (API_GROUP, API_VERSION, "tenants")

pytestmark = pytest.mark.timeout(SETTLE_SECONDS * 4 + 600)


@dataclass(frozen=True)
class Gateways:
    """One that follows the cluster and one with a tenants file, before the same function."""

    crowded: Service
    alone: Service
    token: str

    def request(self, service: Service) -> bytes:
        return (
            f"GET /v1/invoke/echo/ HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nX-Auth-Token: {self.token}\r\n\r\n"
        ).encode("ascii")

    def answers(self, name: str) -> bool:
        """Whether the one that follows the cluster knows a function of the caller's tenant."""
        url = f"http://127.0.0.1:{self.crowded.port}/v1/invoke/{name}/"
        return httpx.get(url, headers={"X-Auth-Token": self.token}, timeout=30).status_code == httpx.codes.OK

    def p95_ms(self, service: Service) -> float:
        return send_requests(service.port, self.request(service), connections=1, requests=REQUESTS).p95_seconds * 1000


@pytest.fixture
def records(cluster: Testbed, tenants_known: None) -> Iterator[client.CustomObjectsApi]:
    """The API of the records; those with the label go at the end."""
    api = client.CustomObjectsApi(cluster.api)
    with installed_controller_stopped(cluster):
        try:
            yield api
        finally:
            api.delete_collection_cluster_custom_object(*OBJECTS, label_selector=LABEL)


def record(project: ProjectId, **limits: int) -> dict[str, object]:
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": TENANT_KIND,
        "metadata": {"name": namespace_of(project), "labels": {LABEL: ""}},
        "spec": {"projectID": project, "displayName": "bench", "functions": ["checksums"], "limits": limits},
    }


def test_what_ten_thousand_records_cost_a_gateway(
    cluster: Testbed, records: client.CustomObjectsApi, figures: list[Comparison]
) -> None:
    """Memory, the time of a call, CPU of a change, and a call while records change."""
    projects = [ProjectId(secrets.token_hex(16)) for _ in range(RECORDS - 1)]
    with local_cloud() as cloud, gateways(cluster, cloud, records) as both:
        few = resident_mib(both.crowded.pid)
        with step(f"{len(projects)} more records"):
            create(records, projects)
            # The watch brings changes in their order, and this is the last.
            report(records, ProjectId(cloud.users["alice"].project_id), "echo", "last")
            wait_until("the gateway has them", lambda: both.answers("last"), seconds=SETTLE_SECONDS)
        many = resident_mib(both.crowded.pid)
        quiet = Pairs(RUNS).measure(crowded=lambda: both.p95_ms(both.crowded), alone=lambda: both.p95_ms(both.alone))
        before = cpu_seconds(both.crowded.pid)
        change(records, projects[:CHANGES])
        each = (cpu_seconds(both.crowded.pid) - before) / CHANGES * 1000
        with changing(records, projects):
            busy = Pairs(RUNS).measure(crowded=lambda: both.p95_ms(both.crowded), alone=lambda: both.p95_ms(both.alone))
        with step("the gateway starts anew and lists them"):
            both.crowded.kill()
            both.crowded.restart()
            wait_until("the gateway has them", lambda: both.answers("last"), seconds=SETTLE_SECONDS)
    what = f"{RECORDS:,} Tenant records"
    say(f"memory {few:.0f} → {many:.0f} MiB; a changed record {each:.2f} ms of CPU")
    figures += [
        Comparison(
            "P9", f"95th percentile of an invocation, {what}", "ms", quiet["crowded"],
            {"a file with 1 tenant": quiet["alone"]}, Goal(1.1),
        ),
        Comparison(
            "P9", f"the same while two records a second change, {what}", "ms", busy["crowded"],
            {"a file with 1 tenant": busy["alone"]}, None,
        ),
        Comparison(
            "P9", f"memory of the gateway, {what}", "MiB", [many], {"1 record": [few]}, Goal(250, of_ratio=False)
        ),
    ]  # fmt: skip


@contextmanager
def gateways(cluster: Testbed, cloud: LocalCloud, records: client.CustomObjectsApi) -> Iterator[Gateways]:
    """Both have alice's project as a tenant, whose function answers at once."""
    project = ProjectId(cloud.users["alice"].project_id)
    records.create_cluster_custom_object(*OBJECTS, record(project, requestsPerSecond=100_000))
    report(records, project, "echo")
    ports = free_ports(3)
    url = f"http://127.0.0.1:{ports[0]}"
    tenants = cloud.state / "one.yaml"
    functions = {"echo": {"url": url, "callable": True}}
    tenants.write_text(yaml.safe_dump({"tenants": [{"project_id": project, "functions": functions}]}), encoding="utf-8")
    follows = {
        "OSFAAS_TENANT_SOURCE": "kubernetes",
        "OSFAAS_KUBECONFIG": str(cluster.running.layout.host_kubeconfig),
        "OSFAAS_LOCAL_GATEWAY_URL": url,
    }
    responder = [sys.executable, str(SUBJECTS / "responder.py"), str(ports[0])]
    with (
        running(Service("responder", responder, ports[0], cloud.state)),
        running(gateway_service(cloud, tenants=tenants, name="crowded", port=ports[1], env=follows)) as crowded,
        running(gateway_service(cloud, tenants=tenants, name="alone", port=ports[2])) as alone,
    ):
        yield Gateways(crowded, alone, cloud.token("alice"))


def report(records: client.CustomObjectsApi, project: ProjectId, *functions: str) -> None:
    """What the controller would say: the functions that the tenant's members may call."""
    ready = {"ready": True, "callable": True, "reason": "", "message": ""}
    status = {"functions": [{"name": name, **ready} for name in functions]}
    records.patch_cluster_custom_object_status(*OBJECTS, namespace_of(project), {"status": status})


def create(records: client.CustomObjectsApi, projects: list[ProjectId]) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: records.create_cluster_custom_object(*OBJECTS, record(each)), projects))


def change(records: client.CustomObjectsApi, projects: list[ProjectId]) -> None:
    """Another limit for each."""
    spec = {"limits": {"pods": secrets.randbelow(9) + 1}}
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda each: records.patch_cluster_custom_object(*OBJECTS, namespace_of(each), {"spec": spec}), projects
            )
        )


@contextmanager
def changing(records: client.CustomObjectsApi, projects: list[ProjectId]) -> Iterator[None]:
    """Two records change each second, more than all onboardings and reports of a region."""
    stop = threading.Event()

    def go() -> None:
        number = 0
        while not stop.wait(0.5):
            change(records, [projects[number % len(projects)]])
            number += 1

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
