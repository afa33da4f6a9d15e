"""What the API server takes of a tenant's record, whoever writes it: removal needs two writes."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from policies.names import ProjectId, namespace_of
from tests.cluster.commands import CommandError
from tests.cluster.product import know_tenants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.testbed import Testbed

ASKED = {"requestedAt": "1970-01-01T00:00:00Z", "graceSeconds": 0}
CONFIRMED = {**ASKED, "confirmed": True}


class Record:
    """A record that no controller looks after, as `kubectl` writes it."""

    def __init__(self, cluster: Testbed) -> None:
        self._kubectl = cluster.kubectl
        self._project = f"record{secrets.token_hex(4)}"
        self.name = namespace_of(ProjectId(self._project))

    def apply(self, **spec: Any) -> None:
        # No controller of this run or of the product has this label's value.
        metadata = {"name": self.name, "labels": {"tests.osfaas.dev/run": self.name}}
        manifest = {"apiVersion": "osfaas.dev/v1alpha1", "kind": "Tenant", "metadata": metadata}
        self._kubectl("apply", "-f", "-", stdin=json.dumps({**manifest, "spec": {"projectID": self._project, **spec}}))

    def patch(self, offboarding: dict[str, Any] | None) -> None:
        patch = json.dumps({"spec": {"offboarding": offboarding}})
        self._kubectl("patch", "tenant.osfaas.dev", self.name, "--type=merge", "-p", patch)

    def offboarding(self) -> Any:
        return self._kubectl.get("tenant.osfaas.dev", self.name)["spec"].get("offboarding")


@pytest.fixture
def record(cluster: Testbed) -> Iterator[Record]:
    """A record that is not there yet, and the CRD."""
    know_tenants(cluster)
    made = Record(cluster)
    yield made
    cluster.kubectl("delete", "tenant.osfaas.dev", made.name, "--ignore-not-found")
    cluster.kubectl("delete", "namespace", made.name, "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize("offboarding", [ASKED, CONFIRMED], ids=["asked", "confirmed"])
def test_a_record_is_not_made_with_an_offboarding(record: Record, offboarding: dict[str, Any]) -> None:
    """It would be the first step and the making in one."""
    with pytest.raises(CommandError, match="cannot be created with an offboarding"):
        record.apply(offboarding=offboarding)


def test_both_steps_are_not_taken_by_one_write(record: Record) -> None:
    """By whoever may write records, in whatever way."""
    record.apply()
    with pytest.raises(CommandError, match="confirmed by another write"):
        record.patch(CONFIRMED)
    with pytest.raises(CommandError, match="confirmed by another write"):
        record.apply(offboarding=CONFIRMED)
    assert record.offboarding() is None


@pytest.mark.parametrize(
    "changed",
    [{"requestedAt": "1960-01-01T00:00:00Z"}, {"graceSeconds": 5}, {"graceSeconds": 5, "confirmed": True}],
    ids=["time", "grace", "with the confirmation"],
)
def test_what_was_asked_for_is_not_changed(record: Record, changed: dict[str, Any]) -> None:
    """A confirmation confirms what was there."""
    record.apply()
    record.patch(ASKED)
    with pytest.raises(CommandError, match="cannot be changed"):
        record.patch({**ASKED, **changed})


def test_two_writes_confirm_it_and_one_takes_it_back(record: Record) -> None:
    """The way that the commands go."""
    record.apply()
    record.patch(ASKED)
    assert record.offboarding() == {**ASKED, "confirmed": False}
    record.patch(CONFIRMED)
    assert record.offboarding() == CONFIRMED
    record.patch(None)
    assert record.offboarding() is None
