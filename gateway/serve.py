"""The process: settings, credential, directory, server."""

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

from gateway.app import build_app
from gateway.edge.guard import Guard
from gateway.edge.receiving import strict_protocols
from gateway.identity.credential import IdentityService, find_identity_service
from gateway.observe.logs import begin_log
from gateway.settings import Settings, settings_from
from tenancy.directory.kubernetes_directory import KubernetesDirectory
from tenancy.directory.protocol import TenantDirectory
from tenancy.directory.static_directory import StaticDirectory
from tenancy.keystone_projects import CREDENTIAL_HINT
from tenancy.kubernetes.client import connect
from tenancy.model.errors import TenancyError

log = logging.getLogger("gateway")


def open_directory(settings: Settings) -> TenantDirectory:
    """The directory that the settings name. The one of a cluster is filled as soon as the cluster answers.

    Raises:
        DirectoryError: the file cannot be read.
        ClusterError: no usable configuration of a cluster.
    """
    if settings.tenants_from == "file":
        return StaticDirectory(settings.tenants_file)
    directory = KubernetesDirectory(connect(settings.kubeconfig), local_gateway_url=settings.local_gateway_url)
    directory.start()
    return directory


def serve() -> int:
    """Runs the gateway until SIGTERM; the exit status, as of `run`."""
    return run(lambda settings, identity: build_app(settings, identity, open_directory(settings)))


def run(build: Callable[[Settings, IdentityService], ASGIApp]) -> int:
    """Runs an application until SIGTERM: 0, or 2 after a sentence about what an operator has to mend.

    Args:
        build: makes the application from the settings and our credential; its errors are those of `tenancy`, of
            settings that do not fit, and of OpenStack's clients.
    """
    begin_log()
    try:
        settings = settings_from(os.environ)
        begin_log(settings.log_format)
        identity = find_identity_service(timeout_seconds=settings.keystone_timeout_seconds)
        app = build(settings, identity)
    except (TenancyError, ValueError) as error:
        return _refuse(str(error))
    except (openstack.exceptions.SDKException, ksa_exceptions.ClientException) as error:
        return _refuse(f"no usable OpenStack credential: {str(error).rstrip('.')}. {CREDENTIAL_HINT}")
    listen(app, settings)
    return 0


def _refuse(sentence: str) -> int:
    print(f"osfaas: {sentence}", file=sys.stderr)  # noqa: T201 - before there is a server, stderr is the place
    return 2


def listen(app: ASGIApp, settings: Settings) -> None:
    """Serves until SIGTERM."""
    allow_open_files(settings.max_connections)
    # What there is now stays for ever: a collection that looks through all of it stops the process for 70 ms.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        host=settings.listen_host,
        port=settings.listen_port,
        http=strict_protocols(Guard(settings)),  # type: ignore[arg-type]  # makes one
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
    """Raises our limit of open files, as far as we may, so that it is not reached before that of connections.

    Args:
        connections: of callers; as many again may go to functions and stores.
    """
    wanted = 2 * connections + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
