"""Objects as a cluster would give them."""

import copy
from typing import Any

from policies.labels import FIELD_MANAGER, MANAGED_BY, MANAGED_BY_US, TENANT
from policies.model import CatalogueFunction, Manifest, Platform, TenantSpec
from policies.names import ProjectId

SPEC = TenantSpec(ProjectId("p1"))
NAME = SPEC.namespace
PLATFORM = Platform(functions={"checksums": CatalogueFunction(name="checksums", image="image")})


def fields_of(value: Any) -> dict[str, Any]:
    """The managed fields of all that a manifest sets, lists as a whole."""
    if not isinstance(value, dict):
        return {}
    return {f"f:{key}": fields_of(sub) for key, sub in value.items() if key not in {"apiVersion", "kind", "name"}}


def live_of(manifest: Manifest, *, manager: str = FIELD_MANAGER, **metadata: Any) -> Manifest:
    """The object after it was applied."""
    live: Manifest = copy.deepcopy(manifest)
    entry = {"manager": manager, "operation": "Apply", "fieldsV1": fields_of(manifest)}
    live["metadata"] |= {
        "uid": f"uid-{manifest['kind']}-{manifest['metadata']['name']}",
        "resourceVersion": "1",
        "managedFields": [entry],
        **metadata,
    }
    return live


def foreign(manifest: Manifest, *, labelled: bool = False) -> Manifest:
    """The same object, made by somebody else."""
    live = copy.deepcopy(manifest)
    live["metadata"]["labels"] = {MANAGED_BY: MANAGED_BY_US, TENANT: NAME} if labelled else {}
    return live_of(live, manager="kubectl")
