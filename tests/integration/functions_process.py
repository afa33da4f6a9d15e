"""`/v1/functions` as a process without a cluster: tenants come from a file, and there is no function.

What it serves of archives is the product's: the protocol, Keystone, limits, the registry.
"""

import sys
from pathlib import Path

from starlette.types import ASGIApp

from control.functions.app import FunctionsApi, build_functions_app
from gateway.identity.credential import IdentityService
from gateway.server.serve import open_directory, run
from gateway.settings import Settings
from policies.model import TenantSpec
from policies.names import NamespaceName, ProjectId
from tenancy.model.record import TenantRecord
from tenancy.platform.platform_file import read_platform
from tests.unit.control.functions_api import Logs, Records, Secrets, Triggers


class Tenants:
    """Each project is a tenant with the usual specification; who is onboarded says the directory."""

    def get(self, project_id: ProjectId) -> TenantRecord:
        return TenantRecord(TenantSpec(project_id))

    def namespaces_in(self, domain_id: str) -> frozenset[NamespaceName]:
        return frozenset()


def build(settings: Settings, identity: IdentityService) -> ASGIApp:
    platform = read_platform(Path(sys.argv[1]))
    tenants = Tenants()
    api = FunctionsApi(
        directory=open_directory(settings),
        domains=tenants,
        tenants=tenants,  # type: ignore[arg-type]
        functions=Records(),
        secrets=Secrets(),
        logs=Logs(),
        platform=platform,
        triggers=Triggers(),
    )
    return build_functions_app(settings, identity, api)


if __name__ == "__main__":
    sys.exit(run(build))
