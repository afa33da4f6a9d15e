"""The administrators' process: settings, credentials, cluster, server."""

import os
import sys

import openstack.exceptions
from keystoneauth1 import exceptions as ksa_exceptions
from pydantic import ValidationError

from gateway.identity.credential import find_identity_service
from gateway.projects.app import build_admin_app
from gateway.serve import begin_log, listen
from gateway.settings import settings_from
from tenancy.cluster import connect
from tenancy.errors import TenancyError
from tenancy.projects import connect_projects
from tenancy.tenants import ClusterTenants


def serve() -> int:
    """Runs until SIGTERM; the exit status. What an operator has to mend is said in a sentence."""
    begin_log()
    try:
        settings = settings_from(os.environ)
        identity = find_identity_service(timeout_seconds=settings.keystone_timeout_seconds)
        tenants = ClusterTenants(connect(settings.kubeconfig))
        projects = connect_projects(timeout_seconds=settings.keystone_timeout_seconds)
        app = build_admin_app(settings, identity, tenants, projects)
    except (
        TenancyError,
        ValidationError,
        ValueError,
        openstack.exceptions.SDKException,
        ksa_exceptions.ClientException,
    ) as error:
        print(f"osfaas: {error}", file=sys.stderr)  # noqa: T201 - before there is a server, stderr is the place
        return 2
    listen(app, settings)
    return 0
