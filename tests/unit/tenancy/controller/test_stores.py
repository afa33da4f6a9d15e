"""The versions that the controller compares: of all watched kinds, or of none."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from policies.model import Manifest
from tenancy.controller.stores import ObservedRecord, TenantStores, observed_record
from tenancy.kubernetes.client import Change, Kind, Listing, ref_of
from tenancy.kubernetes.kinds import NAMESPACE, TENANTS
from tenancy.kubernetes.watches import WATCHED_KINDS
from tenancy.model.errors import ClusterError, ForbiddenError, KindMissingError
from tenancy.model.record import TenantRecord, manifest_of
from tests.machine import scaled
from tests.unit.tenancy.objects import NAME, SPEC, live_of

RECORD = live_of(manifest_of(TenantRecord(SPEC)), generation=1)
SPACE: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME, "resourceVersion": "7"}}
POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")


class Cluster:
    """Lists what it has, in every kind but those that fail; its watches stay silent."""

    def __init__(self, failures: dict[Kind, ClusterError]) -> None:
        self.failures = failures
        self.listed: dict[Kind, str] = {}
        self.ended = threading.Event()

    def list(self, kind: Kind, *, labels: str) -> Listing:
        self.listed[kind] = labels
        if kind in self.failures:
            raise self.failures[kind]
        return Listing(tuple(each for each in (RECORD, SPACE) if ref_of(each).kind == kind), "1")

    def watch(self, kind: Kind, since: str, *, labels: str) -> Iterator[Change]:
        self.ended.wait()
        yield from ()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + scaled(5)
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def started(failures: dict[Kind, ClusterError] | None = None) -> tuple[TenantStores, Cluster]:
    cluster, stop = Cluster(failures or {}), threading.Event()
    stores = TenantStores("team=a", lambda name: None, lambda watched: None)
    anything: Any = cluster
    stores.start(anything, stop)
    until(lambda: len(cluster.listed) == len(WATCHED_KINDS) + 1)
    return stores, cluster


@pytest.mark.parametrize("kind", [TENANTS, NAMESPACE, POLICY], ids=lambda kind: kind.kind)
def test_one_kind_that_cannot_be_listed_makes_all_versions_unknown(kind: Kind) -> None:
    """A part is no answer."""
    stores, cluster = started({kind: ForbiddenError("403")})
    time.sleep(0.05)
    assert stores.versions_of(NAME) is None
    del cluster.failures[kind]
    until(lambda: stores.versions_of(NAME) is not None)


def test_before_the_start_nothing_is_known() -> None:
    stores = TenantStores("", lambda name: None, lambda watched: None)
    assert stores.versions_of(NAME) is None
    assert stores.records() is None


def test_kind_that_is_not_installed_keeps_no_tenant_from_being_known() -> None:
    """Without Istio there are no policies of it, as long as none is wanted."""
    stores, _ = started({Kind("security.istio.io/v1", "AuthorizationPolicy"): KindMissingError("no Istio")})
    until(lambda: stores.versions_of(NAME) is not None)


def test_versions_are_those_of_the_record_and_of_every_watched_kind() -> None:
    stores, cluster = started()
    until(lambda: stores.versions_of(NAME) is not None)
    versions = stores.versions_of(NAME)
    assert versions is not None
    assert len(versions) == len(WATCHED_KINDS) + 1
    assert [dict(each) for each in versions if each] == [{NAME: observed_record(RECORD)}, {NAME: "7"}]
    assert cluster.listed[TENANTS] == "team=a"


def test_malformed_record_is_observed_by_its_version_alone() -> None:
    """Its reconcile reports it; the others are not kept from theirs."""
    broken = {**RECORD, "spec": {"projectID": 7}}
    assert observed_record(broken) == ObservedRecord(NAME, "1")


def test_record_is_observed_with_its_project_and_its_condition() -> None:
    ready = {"type": "Ready", "status": "True", "reason": "AllReady", "message": ""}
    observed = observed_record({**RECORD, "status": {"conditions": [ready]}})
    assert observed == ObservedRecord(NAME, "1", SPEC.project_id, ("True", "AllReady"))
