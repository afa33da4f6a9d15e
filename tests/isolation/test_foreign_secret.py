"""The secrets of another tenant's functions, over the Kubernetes API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import TENANT, VICTIM, user_subject

if TYPE_CHECKING:
    from tests.isolation.arena import Arena

_NAME = "iso-careless"


def test_a_tenants_user_reads_no_secret_of_another_tenant(arena: Arena) -> None:
    """Unless somebody gives him a role in that namespace."""
    arena.assert_defended("foreign-secret")
    metadata = {"name": _NAME, "namespace": VICTIM.namespace}
    group = "rbac.authorization.k8s.io"
    arena.cluster.kubectl.apply(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "edit"},
            "subjects": [user_subject(TENANT)],
        }
    )
    try:
        arena.expect_answered("foreign-secret", arena.tenant)
    finally:
        arena.cluster.kubectl("delete", "rolebinding", _NAME, "-n", VICTIM.namespace)
