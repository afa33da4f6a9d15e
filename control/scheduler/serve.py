"""The process `osfaas scheduler`: connects to Keystone and the cluster."""

from starlette.types import ASGIApp

from control.scheduler.app import SchedulerParts, build_scheduler_app
from control.scheduler.election import Election
from gateway.identity.credential import IdentityService
from gateway.server.serve import run
from gateway.settings import Settings
from tenancy.directory.kubernetes_directory import KubernetesDirectory
from tenancy.kubernetes.client import connect
from tenancy.trigger_repository import KubernetesTriggerRepository


def serve() -> int:
    """Runs until SIGTERM; the exit status, as of `gateway.server.serve.run`."""

    def build(settings: Settings, identity: IdentityService) -> ASGIApp:
        if settings.tenant_source == "file":
            raise ValueError("schedules are objects of a cluster: set OSFAAS_TENANT_SOURCE=kubernetes")
        cluster = connect(settings.kubeconfig)
        tenants = KubernetesDirectory(cluster, local_gateway_url=settings.local_gateway_url)
        tenants.start()
        election = Election(cluster, settings.scheduler_namespace, settings.scheduler_lease_seconds)
        return build_scheduler_app(
            settings, identity, SchedulerParts(cluster, KubernetesTriggerRepository(cluster), tenants, election)
        )

    return run(build)
