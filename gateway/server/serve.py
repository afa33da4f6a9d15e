"""The process: reads settings and credential, opens the directory, runs the server."""

import gc
import logging
import os
import resource
import sys
from collections.abc import Callable

import openstack.exceptions
import uvicorn
from keystoneauth1 import exceptions as ksa_exceptions
from starlette.types import ASGIApp

from gateway.http.connections import ConnectionManager
from gateway.http.receiving import strict_protocols
from gateway.identity.credential import IdentityService, find_identity_service
from gateway.server.app import build_app
from gateway.settings import Settings, settings_from
from gateway.telemetry.logs import configure_logging
from tenancy.directory.kubernetes_directory import KubernetesDirectory
from tenancy.directory.kubernetes_triggers import KubernetesTriggers
from tenancy.directory.protocol import TenantDirectory
from tenancy.directory.static_directory import StaticDirectory
from tenancy.directory.triggers import TriggerDirectory
from tenancy.keystone_projects import CREDENTIAL_HINT
from tenancy.kubernetes.client import connect
from tenancy.model.errors import TenancyError

log = logging.getLogger("gateway")


def open_directory(settings: Settings) -> TenantDirectory:
    """The tenant directory of the settings. A cluster's directory is filled as soon as the cluster answers.

    Raises:
        DirectoryError: the file cannot be read.
        ClusterError: no usable cluster configuration.
    """
    if settings.tenant_source == "file":
        return StaticDirectory(settings.tenants_file)
    return open_cluster_directory(settings)


def open_cluster_directory(settings: Settings) -> KubernetesDirectory:
    """The directory of the cluster's tenants, which is filled as soon as the cluster answers.

    Raises:
        ClusterError: no usable cluster configuration.
    """
    directory = KubernetesDirectory(connect(settings.kubeconfig), local_gateway_url=settings.local_gateway_url)
    directory.start()
    return directory


def open_triggers(settings: Settings, directory: TenantDirectory) -> TriggerDirectory:
    """The triggers of the settings: of the same source as the tenants.

    Raises:
        ClusterError: no usable cluster configuration.
    """
    if isinstance(directory, StaticDirectory):
        return directory
    triggers = KubernetesTriggers(connect(settings.kubeconfig))
    triggers.start()
    return triggers


def serve() -> int:
    """Runs the gateway until SIGTERM; the exit status, as of `run`."""

    def build(settings: Settings, identity: IdentityService) -> ASGIApp:
        directory = open_directory(settings)
        return build_app(settings, identity, directory, open_triggers(settings, directory))

    return run(build)


def run(build: Callable[[Settings, IdentityService], ASGIApp]) -> int:
    """Runs an application until SIGTERM; returns 0, or 2 after a configuration error on stderr.

    Args:
        build: makes the application from the settings and our credential; it may raise errors of `tenancy`,
            ValueError for contradictory settings, and errors of OpenStack's clients.
    """
    configure_logging()
    try:
        settings = settings_from(os.environ)
        configure_logging(settings.log_format)
        identity = find_identity_service(timeout_seconds=settings.keystone_timeout_seconds)
        app = build(settings, identity)
    except (TenancyError, ValueError) as error:
        return _refuse(str(error))
    except (openstack.exceptions.SDKException, ksa_exceptions.ClientException) as error:
        return _refuse(f"no usable OpenStack credential: {str(error).rstrip('.')}. {CREDENTIAL_HINT}")
    listen(app, settings)
    return 0


def _refuse(sentence: str) -> int:
    print(f"osfaas: {sentence}", file=sys.stderr)  # noqa: T201 - before the server starts, errors go to stderr
    return 2


def listen(app: ASGIApp, settings: Settings) -> None:
    """Serves until SIGTERM."""
    allow_open_files(settings.max_connections)
    # Objects of the start-up live for ever: a collection that scans them pauses the process for 70 ms.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        host=settings.listen_host,
        port=settings.listen_port,
        http=strict_protocols(ConnectionManager(settings)),  # type: ignore[arg-type]  # makes one
        loop="uvloop",
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        log_config=None,
    )


def allow_open_files(connections: int) -> None:
    """Raises the limit of open files as far as allowed, so that it is not reached before the connection limit.

    Args:
        connections: maximum from callers; as many again may go to functions and stores.
    """
    wanted = 2 * connections + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
