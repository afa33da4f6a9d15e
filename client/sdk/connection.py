"""Connections of openstacksdk that have the service `function`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openstack
from openstack.connection import Connection as OpenStackConnection
from openstack.service_description import ServiceDescription

from client.sdk.proxy import Proxy

SERVICE_TYPE = "function"
# Another name that operators may have given to the service in Keystone's catalog.
ALIASES = ("faas",)
# openstacksdk sends it with every request, so that operators see who calls.
_APP = "osfaas"


if TYPE_CHECKING:
    _Description = ServiceDescription[Proxy]
else:
    # The openstacksdk of Python 3.9 is not generic.
    _Description = ServiceDescription


class FunctionService(_Description):
    """The description of the service, for `Connection.add_service`."""

    supported_versions = {"1": Proxy}  # noqa: RUF012 - openstacksdk's own form

    def __init__(self) -> None:
        super().__init__(SERVICE_TYPE, aliases=list(ALIASES))


class Connection(OpenStackConnection):
    """openstacksdk's connection, whose `function` type checkers know."""

    function = FunctionService()


def hook(connection: OpenStackConnection) -> None:
    """For `vendor_hook: osfaas.sdk:hook` in `clouds.yaml`: every `openstack.connect()` then has `function`."""
    connection.add_service(FunctionService())


def connect(cloud: str | None = None, **options: Any) -> Connection:
    """A connection with the service `function`.

    Args:
        cloud: entry of `clouds.yaml`; None: from `OS_CLOUD` or the other `OS_*` variables.
        options: as for `openstack.connect`.
    """
    region = openstack.config.OpenStackConfig(app_name=_APP).get_one(cloud, **options)
    region.enable_service(SERVICE_TYPE)
    return Connection(config=region, app_name=_APP)
