"""The process of `/v1/functions`: connects to Keystone and the cluster."""

from pathlib import Path

from starlette.types import ASGIApp

from control.functions.app import FunctionsApi, build_functions_app
from gateway.identity.credential import IdentityService
from gateway.server.serve import open_cluster_directory, run
from gateway.settings import Settings
from tenancy.function_logs import KubernetesLogs
from tenancy.function_repository import KubernetesFunctionRepository
from tenancy.kubernetes.client import connect
from tenancy.platform.platform_file import read_platform
from tenancy.repository import KubernetesTenantRepository
from tenancy.secret_repository import KubernetesSecretRepository
from tenancy.trigger_repository import KubernetesTriggerRepository


def serve(platform_file: Path) -> int:
    """Runs until SIGTERM; the exit status, as of `gateway.server.serve.run`.

    Args:
        platform_file: the operator's rules for functions.
    """

    def build(settings: Settings, identity: IdentityService) -> ASGIApp:
        if settings.tenant_source == "file":
            raise ValueError("functions are objects of a cluster: set OSFAAS_TENANT_SOURCE=kubernetes")
        cluster = connect(settings.kubeconfig)
        functions = KubernetesFunctionRepository(cluster)
        directory = open_cluster_directory(settings)
        api = FunctionsApi(
            directory=directory,
            domains=directory,
            tenants=KubernetesTenantRepository(cluster),
            functions=functions,
            secrets=KubernetesSecretRepository(cluster),
            logs=KubernetesLogs(cluster, functions),
            platform=read_platform(platform_file),
            triggers=KubernetesTriggerRepository(cluster),
        )
        return build_functions_app(settings, identity, api)

    return run(build)
