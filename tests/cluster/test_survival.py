"""The installed product loses a replica, and then all of its records: users notice neither more than they must."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from policies.names import ProjectId, namespace_of
from tests.cluster.commands import wait_until
from tests.cluster.product import SYSTEM, know_tenants
from tests.cluster.progress import say
from tests.cluster.test_end_to_end import ask, content, new_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    import httpx
    from keystoneauth1.session import Session

    from tests.cluster.product import Product

_USER = "carol"
_CALLERS = 3
# Before the kill, and after it.
_CALLS = 20

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Tenant:
    """An onboarded project of one user, with a container `box`."""

    product: Product
    project: str
    session: Session

    @property
    def namespace(self) -> str:
        return namespace_of(ProjectId(self.project))

    def caller(self) -> AbstractContextManager[httpx.Client]:
        return self.product.caller(_USER, seconds=60, token=str(self.session.get_token()))

    def store(self, name: str, data: bytes = b"") -> None:
        url = f"{self.product.openstack.outside.swift_url}/v1/AUTH_{self.project}/box"
        self.session.put(f"{url}/{name}" if name else url, data=data)


@pytest.fixture(scope="module")
def tenant(product: Product) -> Iterator[Tenant]:
    """A project that no other test knows."""
    made = Tenant(product, *new_project(product.openstack.outside, _USER))
    made.store("")
    product.osfaas("tenant", "onboard", made.project)
    yield made
    product.remove_tenant(made.namespace)


def replicas(product: Product, part: str) -> list[str]:
    """Names of a part's pods that are ready and not on their way out."""
    labels = f"app.kubernetes.io/name=osfaas-{part}"
    pods: list[dict[str, Any]] = product.cluster.kubectl.get("pods", "-n", SYSTEM, "-l", labels)["items"]
    return [pod["metadata"]["name"] for pod in pods if _ready(pod)]


def _ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def leader(product: Product) -> str | None:
    """The ready controller that holds the lease, if it is one of the ready ones."""
    lease = product.cluster.kubectl.get("lease", "osfaas-controller", "-n", SYSTEM)["spec"]
    holder = lease.get("holderIdentity") or ""
    return next((pod for pod in replicas(product, "controller") if holder.startswith(pod)), None)


def kill(product: Product, pod: str) -> None:
    """No farewell: its processes get SIGKILL at once, and its network goes with it."""
    product.cluster.kubectl("delete", "pod", pod, "-n", SYSTEM, "--force", "--grace-period=0")


def stream(tenant: Tenant, numbers: Iterator[int], right: list[float], stop: threading.Event) -> None:
    """One caller after another object; each right answer leaves the time when it came."""
    with tenant.caller() as caller:
        while not stop.is_set():
            number = next(numbers)
            data = content(f"{number}", 20_000)
            tenant.store(f"note-{number}", data)
            answer = ask(caller, f"note-{number}")
            assert answer.status_code == 200, answer.text
            # Not where it came from: the call that is sent again may find what the broken one had computed.
            assert answer.json()["digests"]["sha1"] == hashlib.sha1(data).hexdigest()
            right.append(time.monotonic())


@pytest.mark.parametrize("part", ["gateway", "controller"])
def test_a_replica_that_is_killed_costs_no_call(product: Product, tenant: Tenant, part: str) -> None:
    """A stream of calls goes on while one of the two is killed without a warning; each of them is answered, rightly."""
    wait_until("both replicas are ready", lambda: len(replicas(product, part)) == 2, seconds=120)
    victim = replicas(product, part)[0]
    if part == "controller":
        wait_until("one of them leads", lambda: leader(product) is not None, seconds=60)
        victim = leader(product) or ""
    stop, numbers, right = threading.Event(), itertools.count(), list[float]()
    with ThreadPoolExecutor() as pool:
        callers = [pool.submit(stream, tenant, numbers, right, stop) for _ in range(_CALLERS)]
        try:
            wait_until("calls are answered", lambda: len(right) >= _CALLS, seconds=120)
            kill(product, victim)
            killed = time.monotonic()
            wait_until(
                "calls go on",
                lambda: any(map(Future.done, callers)) or len([at for at in right if at > killed]) >= _CALLS,
                seconds=120,
            )
        finally:
            stop.set()
        for caller in callers:
            caller.result()
    say(f"one {part} of two killed during {len(right)} calls: none failed")
    wait_until("there are two again", lambda: len(replicas(product, part)) == 2, seconds=120)
    assert victim not in replicas(product, part)


def test_after_the_leading_controller_was_killed_drift_is_repaired(product: Product, tenant: Tenant) -> None:
    """The other replica leads after the lease time, and nobody has to tell it what it missed."""
    kubectl = product.cluster.kubectl
    wait_until("both replicas are ready", lambda: len(replicas(product, "controller")) == 2, seconds=120)
    # The leader of before may be gone; its lease has to run out first.
    wait_until("one of them leads", lambda: leader(product) is not None, seconds=60)
    lease = kubectl.get("lease", "osfaas-controller", "-n", SYSTEM)["spec"]
    kill(product, leader(product) or "")
    kubectl("delete", "networkpolicy", "osfaas-deny-all", "-n", tenant.namespace)
    started = time.monotonic()
    wait_until(
        "the policy is back",
        lambda: bool(
            kubectl("get", "networkpolicy", "osfaas-deny-all", "-n", tenant.namespace, "--ignore-not-found").strip()
        ),
        seconds=lease["leaseDurationSeconds"] + 15,
    )
    say(f"leader killed: a deleted policy was back {time.monotonic() - started:.0f} s later")


@contextmanager
def definition_taken_away(product: Product) -> Iterator[None]:
    """Without the definition of Tenant, which is there again for the tests that follow."""
    product.cluster.kubectl("delete", "crd", "tenants.osfaas.dev", "--timeout=60s")
    try:
        yield
    finally:
        know_tenants(product.cluster)


def test_records_that_vanish_with_their_definition_take_no_namespace_along(product: Product, tenant: Tenant) -> None:
    """The CRD is deleted and re-created: no tenant is served without its record, nothing of it is removed, and one
    command brings it back as it was."""
    kubectl = product.cluster.kubectl

    def seen() -> dict[str, str]:
        everything = kubectl.get(
            "services.serving.knative.dev,networkpolicies,resourcequotas,serviceaccounts", "-n", tenant.namespace
        )
        found = {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["uid"] for item in everything["items"]}
        return {**found, "namespace": kubectl.get("namespace", tenant.namespace)["metadata"]["uid"]}

    before = seen()
    assert "Service/checksums" in before
    with definition_taken_away(product), tenant.caller() as caller:
        wait_until("nobody is served without a record", lambda: ask(caller, "note").status_code == 403, seconds=30)
        # The controllers poll, watch and repair in that time, with nothing to go by.
        time.sleep(20)
        assert seen() == before
        product.osfaas("platform", "install", "--overlay", str(product.folder))
        assert seen() == before
        tenant.store("note", content(_USER))
        product.osfaas("tenant", "onboard", tenant.project)
        # The gateways' watches ended with the definition; they look again after a pause of at most 15 seconds.
        wait_until("it is served again", lambda: ask(caller, "note").status_code == 200, seconds=60)
    assert seen() == before
