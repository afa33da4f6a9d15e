"""The process of the administrators' API: connects to Keystone and the cluster."""

from starlette.types import ASGIApp

from control.app import build_admin_app
from gateway.identity.credential import IdentityService
from gateway.server.serve import run
from gateway.settings import Settings
from tenancy.keystone_projects import connect_projects
from tenancy.kubernetes.client import connect
from tenancy.repository import KubernetesTenantRepository


def serve() -> int:
    """Runs until SIGTERM; the exit status, as of `gateway.server.serve.run`."""
    return run(_build)


def _build(settings: Settings, identity: IdentityService) -> ASGIApp:
    tenants = KubernetesTenantRepository(connect(settings.kubeconfig))
    projects = connect_projects(timeout_seconds=settings.keystone_timeout_seconds)
    return build_admin_app(settings, identity, tenants, projects)
