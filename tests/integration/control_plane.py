"""The functions API and the administrators' API as processes, on records in memory: Keystone, tokens and HTTP are real.

python -m tests.integration.control_plane functions [TENANTS_FILE] | projects
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

from starlette.types import ASGIApp

from control.app import build_admin_app
from control.functions.app import FunctionsApi, build_functions_app
from gateway.identity.credential import IdentityService
from gateway.server.serve import run
from gateway.settings import Settings
from policies.names import NamespaceName, ProjectId
from tenancy.directory.kubernetes_directory import KubernetesDirectory
from tenancy.directory.protocol import Tenant
from tenancy.function_repository import Revision
from tenancy.keystone_projects import connect_projects
from tenancy.model.condition import Condition
from tenancy.model.function import (
    ActiveRevision,
    FunctionConditionType,
    FunctionRecord,
    OwnFunctionStatus,
)
from tenancy.model.record import TenantRecord
from tests.unit.control.functions_api import PLATFORM, SPEC, Logs, Records, Secrets, Triggers
from tests.unit.tenancy.test_use_cases import Stored

_CONDITIONS = tuple(
    Condition(each, status=True, reason=each.value)
    for each in (FunctionConditionType.TRAFFIC, FunctionConditionType.READY)
)


class Controlled(Records):
    """Records whose status is that of a controller which is done at the next reading."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[tuple[str, str], list[Revision]] = {}

    def get(self, namespace: NamespaceName, name: str) -> FunctionRecord | None:
        found = super().get(namespace, name)
        if found is None or found.status.observed_generation == found.generation:
            return found
        revisions = self.made.setdefault((namespace, name), [])
        if not revisions or revisions[0].image != found.spec.image:
            revisions.insert(
                0, Revision(f"{name}-{len(revisions):08x}", "2026-11-24T12:00:00Z", found.spec.image, True)
            )
        shares = [(target.revision or revisions[0].name, target.percent, target.tag) for target in found.spec.traffic]
        status = OwnFunctionStatus(
            observed_generation=found.generation,
            latest_created=revisions[0].name,
            latest_ready=revisions[0].name,
            active=tuple(ActiveRevision(*share) for share in shares),
            conditions=_CONDITIONS,
        )
        self.kept[namespace, name] = dataclasses.replace(found, status=status)
        return found

    def revisions(self, namespace: NamespaceName, name: str) -> tuple[Revision, ...]:
        self.get(namespace, name)
        return tuple(self.made[namespace, name])


class Everybody:
    """A directory in which every project is a tenant."""

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        spec = dataclasses.replace(SPEC, project_id=project_id)
        return Tenant(project_id, spec.namespace, {}, None, spec.limits)

    def sync_age_seconds(self) -> float | None:
        return 0.0

    def namespaces_in(self, domain_id: str) -> frozenset[NamespaceName]:
        return frozenset()

    def get(self, project_id: ProjectId) -> TenantRecord:
        return TenantRecord(dataclasses.replace(SPEC, project_id=project_id))


def directory_of(tenants_file: Path) -> KubernetesDirectory:
    """The directory as it is after a list of these `Tenant` objects."""
    made = KubernetesDirectory(None, local_gateway_url="http://ingress.test")  # type: ignore[arg-type]
    made.replace(tuple(json.loads(tenants_file.read_text(encoding="utf-8"))))
    return made


def functions(settings: Settings, identity: IdentityService) -> ASGIApp:
    """`/v1/functions`; with a file of `Tenant` objects, in the directory of a cluster that has them."""
    tenants = Everybody()
    directory = directory_of(Path(sys.argv[2])) if sys.argv[2:] else tenants
    api = FunctionsApi(
        directory=directory,
        domains=directory,
        tenants=tenants,  # type: ignore[arg-type]
        functions=Controlled(),
        secrets=Secrets(),
        logs=Logs(),
        platform=PLATFORM,
        triggers=Triggers(),
    )
    return build_functions_app(settings, identity, api)


def projects(settings: Settings, identity: IdentityService) -> ASGIApp:
    """`/v1/projects`."""
    return build_admin_app(settings, identity, Stored(), connect_projects(timeout_seconds=60))  # type: ignore[arg-type]


if __name__ == "__main__":
    os.environ.setdefault("OSFAAS_LOG_FORMAT", "json")
    sys.exit(run({"functions": functions, "projects": projects}[sys.argv[1]]))
