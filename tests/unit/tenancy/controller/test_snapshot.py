"""What is looked at covers what is built, and the controller's role allows it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.tenant import tenant_manifests
from tenancy.controller.leadership import LEASE
from tenancy.kubernetes.client import Kind, ref_of
from tenancy.kubernetes.kinds import DEPLOYMENT, NAMESPACE, OWNED_KINDS, POD, TENANTS
from tests.unit.tenancy.objects import PLATFORM, SPEC

ACCESS = Path(__file__).parents[4] / "manifests" / "controller" / "access.yaml"
WRITES = {"get", "list", "watch", "create", "patch", "delete"}
READS = {"get", "list", "watch"}


def allowed(kind: Kind) -> set[str]:
    """Verbs that the controller has on a kind."""
    group = kind.api_version.rpartition("/")[0]
    plural = kind.kind.lower().removesuffix("y") + ("ies" if kind.kind.endswith("y") else "s")
    roles = [each for each in yaml.safe_load_all(ACCESS.read_text()) if each["kind"] in {"ClusterRole", "Role"}]
    rules: list[dict[str, Any]] = [rule for role in roles for rule in role["rules"]]
    return {
        verb for rule in rules if group in rule["apiGroups"] and plural in rule["resources"] for verb in rule["verbs"]
    }


def test_every_kind_that_is_built_is_looked_at() -> None:
    """What is not looked at is neither repaired nor removed."""
    built = {ref_of(manifest).kind for manifest in tenant_manifests(SPEC, PLATFORM)}
    assert built <= {NAMESPACE, *OWNED_KINDS}


@pytest.mark.parametrize("kind", [NAMESPACE, *OWNED_KINDS], ids=str)
def test_the_controller_may_do_what_it_does(kind: Kind) -> None:
    """One verb that is missing stops every round."""
    assert allowed(kind) >= WRITES


@pytest.mark.parametrize(
    ("kind", "verbs"),
    [
        (DEPLOYMENT, {"list"}),
        (POD, {"list", "delete"}),
        (TENANTS, {*READS, "delete"}),
        (LEASE, {"get", "create", "patch"}),
        (Kind("v1", "Event"), {"create"}),
    ],
    ids=lambda value: str(value) if isinstance(value, Kind) else "+".join(sorted(value)),
)
def test_the_controller_may_read_what_it_reads(kind: Kind, verbs: set[str]) -> None:
    """Beside what it builds."""
    assert allowed(kind) >= verbs


def test_the_controller_may_write_the_status_of_records() -> None:
    """A subresource is a resource of its own to RBAC."""
    roles = yaml.safe_load_all(ACCESS.read_text())
    rules = [rule for role in roles if role["kind"] == "ClusterRole" for rule in role["rules"]]
    assert any("tenants/status" in rule["resources"] and "patch" in rule["verbs"] for rule in rules)
