"""The administrators' process: credentials and cluster; the rest is as in the gateway's."""

from starlette.types import ASGIApp

from gateway.identity.credential import IdentityService
from gateway.projects.app import build_admin_app
from gateway.serve import run
from gateway.settings import Settings
from tenancy.keystone_projects import connect_projects
from tenancy.kubernetes.client import connect
from tenancy.repository import KubernetesTenantRepository


def serve() -> int:
    """Runs until SIGTERM; the exit status, as of `gateway.serve.run`."""
    return run(_build)


def _build(settings: Settings, identity: IdentityService) -> ASGIApp:
    tenants = KubernetesTenantRepository(connect(settings.kubeconfig))
    projects = connect_projects(timeout_seconds=settings.keystone_timeout_seconds)
    return build_admin_app(settings, identity, tenants, projects)
