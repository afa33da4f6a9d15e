"""One platform and one tenant that the tests of the builders share."""

import dataclasses
from typing import Any

from policies.model import CatalogueFunction, Destination, IsolationLevel, Manifest, Platform, TenantSpec
from policies.names import ProjectId
from policies.platform import platform_manifests
from policies.tenant import tenant_manifests

PLATFORM = Platform(
    functions={"checksums": CatalogueFunction(name="checksums", image="dev.local/checksums:test")},
    destinations=(Destination("192.0.2.10/32", (8080, 443)),),
)
SANDBOXED = dataclasses.replace(PLATFORM, sandbox_runtime_class="gvisor")
MESHED = dataclasses.replace(PLATFORM, sidecars=True)
SPEC = TenantSpec(ProjectId("3d1f0c5ab2f54ad5a7a2ab0e51b2a1c9"))
OTHER = TenantSpec(ProjectId("ffff0c5ab2f54ad5a7a2ab0e51b2ffff"))


def at(level: IsolationLevel, **changes: Any) -> TenantSpec:
    return dataclasses.replace(SPEC, isolation=level, **changes)


SUSPENDED = at(IsolationLevel.L3, suspended="unpaid")

# By name: what a golden file holds.
RENDERED: dict[str, tuple[Manifest, ...]] = {
    **{f"tenant-{level.value}": tenant_manifests(at(level), SANDBOXED) for level in IsolationLevel},
    "tenant-L3-suspended": tenant_manifests(SUSPENDED, PLATFORM),
    "tenant-L3-sidecars": tenant_manifests(SPEC, MESHED),
    "tenant-L3-sidecars-suspended": tenant_manifests(SUSPENDED, MESHED),
    "platform": platform_manifests(PLATFORM),
    "platform-sandbox": platform_manifests(SANDBOXED),
    "platform-sandbox-for-levels-only": platform_manifests(
        dataclasses.replace(SANDBOXED, sandbox_own_functions=False, sandbox_user_namespaces=True)
    ),
    "platform-sidecars": platform_manifests(MESHED),
}
