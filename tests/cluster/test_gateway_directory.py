"""The gateway's directory against the real API server: new records are served at once, an outage changes nothing."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from kubernetes import client, config

from policies.labels import API_GROUP, API_VERSION
from policies.names import ProjectId, namespace_of
from tenancy.directory.kubernetes_directory import KubernetesDirectory
from tenancy.kubernetes.client import Cluster
from tenancy.kubernetes.informer import WatchIntervals
from tenancy.model.errors import DirectoryError, NotOnboardedError
from tests.cluster.progress import say
from tests.machine import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.testbed import Testbed

_INGRESS = "http://knative-local-gateway.istio-system.svc.cluster.local"


class Cable:
    """A TCP relay before the API server that can be pulled: connections break, and new ones are refused or unheard."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._plugged = True
        threading.Thread(target=self._accept, daemon=True).start()

    def pull(self) -> None:
        self._plugged = False
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def plug(self) -> None:
        self._plugged = True

    def close(self) -> None:
        self.pull()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self._plugged:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._target_port))
                self._open += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class Records:
    """Tenant records of this test, as an administrator writes them; all are removed at the end."""

    def __init__(self, cluster: Testbed) -> None:
        self._api = client.CustomObjectsApi(cluster.api)
        self._made: set[str] = set()

    def create(self, **spec: Any) -> ProjectId:
        project = ProjectId(secrets.token_hex(16))
        name = namespace_of(project)
        self._made.add(name)
        kind = {"apiVersion": f"{API_GROUP}/{API_VERSION}", "kind": "Tenant"}
        # A level that no controller of another test run on this cluster would have to build much for.
        body = {**kind, "metadata": {"name": name}, "spec": {"projectID": project, "isolation": "L1", **spec}}
        self._api.create_cluster_custom_object(API_GROUP, API_VERSION, "tenants", body)
        return project

    def change(self, project: ProjectId, **spec: Any) -> None:
        name = namespace_of(project)
        self._api.patch_cluster_custom_object(API_GROUP, API_VERSION, "tenants", name, {"spec": spec})

    def report(self, project: ProjectId, **status: Any) -> None:
        name = namespace_of(project)
        self._api.patch_cluster_custom_object_status(API_GROUP, API_VERSION, "tenants", name, {"status": status})

    def delete(self, project: ProjectId) -> None:
        name = namespace_of(project)
        with contextlib.suppress(client.ApiException):
            self._api.delete_cluster_custom_object(API_GROUP, API_VERSION, "tenants", name)
        self._made.discard(name)

    def delete_all(self) -> None:
        for name in list(self._made):
            with contextlib.suppress(client.ApiException):
                self._api.delete_cluster_custom_object(API_GROUP, API_VERSION, "tenants", name)


@pytest.fixture
def records(cluster: Testbed, tenants_known: None) -> Iterator[Records]:
    made = Records(cluster)
    yield made
    made.delete_all()


@pytest.fixture
def cable(cluster: Testbed) -> Iterator[Cable]:
    made = Cable(urlsplit(cluster.api.configuration.host).port or 0)
    yield made
    made.close()


@pytest.fixture
def by_cable(cluster: Testbed, cable: Cable) -> Cluster:
    """The API server, reached through the cable alone."""
    configuration = client.Configuration()
    file = str(cluster.running.layout.host_kubeconfig)
    config.load_kube_config(file, client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.host = f"https://127.0.0.1:{cable.port}"
    return Cluster(client.ApiClient(configuration))


@pytest.fixture
def directory(by_cable: Cluster) -> Iterator[KubernetesDirectory]:
    made = KubernetesDirectory(
        by_cable, local_gateway_url=_INGRESS, intervals=WatchIntervals(first_pause=0.2, max_pause=1)
    )
    made.start()
    yield made
    made.close()


def known(directory: KubernetesDirectory, project: ProjectId) -> bool:
    try:
        directory.tenant_of(project)
    except (DirectoryError, NotOnboardedError):
        return False
    return True


def seconds_until(true: Callable[[], bool], *, within: float) -> float:
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < scaled(within)
        time.sleep(0.005)
    return time.monotonic() - started


def test_a_new_record_is_served_a_suspended_one_refused_and_a_deleted_one_unknown_within_a_second(
    records: Records, directory: KubernetesDirectory
) -> None:
    seconds_until(lambda: directory.sync_age_seconds() is not None, within=20)
    started = time.monotonic()
    project = records.create(limits={"concurrentCalls": 3})
    seconds_until(lambda: known(directory, project), within=1)
    new = time.monotonic() - started
    tenant = directory.tenant_of(project)
    assert tenant.functions["checksums"].host == f"checksums.{namespace_of(project)}.svc.cluster.local"
    assert tenant.limits is not None
    assert tenant.limits.concurrent_calls == 3
    records.change(project, suspended="unpaid")
    suspended = seconds_until(lambda: directory.tenant_of(project).suspended == "unpaid", within=1)
    records.delete(project)
    gone = seconds_until(lambda: not known(directory, project), within=1)
    say(
        f"new record {new * 1000:.0f} ms (with its writing), suspension {suspended * 1000:.0f} ms, "
        f"deletion {gone * 1000:.0f} ms"
    )


def test_what_the_controller_reports_of_a_function_is_known_within_a_second(
    records: Records, directory: KubernetesDirectory
) -> None:
    project = records.create()
    seconds_until(lambda: known(directory, project), within=20)
    full = {"name": "checksums", "ready": True, "callable": True, "reason": "ExceededQuota", "message": "no room"}
    records.report(project, functions=[full])
    seconds_until(lambda: directory.tenant_of(project).functions["checksums"].problem is not None, within=1)
    assert directory.tenant_of(project).functions["checksums"].callable


@pytest.mark.parametrize("seconds", [15, pytest.param(60, marks=pytest.mark.long)])
def test_an_outage_of_the_api_server_changes_nothing_and_what_came_meanwhile_is_known_after_it(
    records: Records, directory: KubernetesDirectory, cable: Cable, seconds: int
) -> None:
    """The tenants stay served, and the age of the last contact says how long it lasts."""
    before, removed = records.create(), records.create()
    seconds_until(lambda: known(directory, before) and known(directory, removed), within=20)
    cable.pull()
    meanwhile = records.create()
    records.delete(removed)
    down = time.monotonic()
    while time.monotonic() - down < seconds:
        assert known(directory, before)
        assert known(directory, removed)
        assert not known(directory, meanwhile)
        time.sleep(0.5)
    assert (directory.sync_age_seconds() or 0) > seconds - 5
    cable.plug()
    back = seconds_until(lambda: known(directory, meanwhile) and not known(directory, removed), within=5)
    say(f"after {seconds} s without the API server: everything known {back:.2f} s after its return")
    assert known(directory, before)
    assert (directory.sync_age_seconds() or 60) < 5


def test_without_the_api_server_from_the_start_nobody_is_called_unknown(
    by_cable: Cluster, cable: Cable, records: Records
) -> None:
    cable.pull()
    fresh = KubernetesDirectory(by_cable, local_gateway_url=_INGRESS, intervals=WatchIntervals(max_pause=0.5))
    fresh.start()
    time.sleep(1)
    with pytest.raises(DirectoryError):
        fresh.tenant_of(ProjectId("0" * 32))
    assert fresh.sync_age_seconds() is None
    cable.plug()
    seconds_until(lambda: fresh.sync_age_seconds() is not None, within=5)
    with pytest.raises(NotOnboardedError):
        fresh.tenant_of(ProjectId("0" * 32))
    fresh.close()
