"""Login with the credential of OpenStack's tools: `OS_*` variables or `clouds.yaml`, any plugin of keystoneauth1.

Imported only without a usable cached login: its libraries take longer to load than a whole request takes.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Iterator
from typing import Any

import openstack.config
import openstack.exceptions
from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1.identity.base import BaseIdentityPlugin

from client.errors import CommandError
from client.login import Login

SERVICE_TYPE = "function"
_CREDENTIAL_HINT = (
    "Set OS_CLOUD to an entry of clouds.yaml, or OS_AUTH_URL and the other OS_* variables of a credential."
)
_URL = re.compile(r"https?://[^\s'\"/:@]+(?::\d+)?")
# Timeout of a request to Keystone, unless `api_timeout` is set: other processes wait for the login.
_KEYSTONE_SECONDS = 30.0


def log_in(cloud: str | None, *, gateway: str | None) -> Login:
    """Logs in.

    Args:
        cloud: an entry of `clouds.yaml`; if there is none of that name, the `OS_*` variables are used.
        gateway: URL of the gateway; None: from the catalog.

    Raises:
        CommandError: there is no usable credential, Keystone rejects it, or the catalog has no gateway.
    """
    logging.getLogger("openstack").setLevel(logging.ERROR)
    logging.getLogger("keystoneauth").setLevel(logging.CRITICAL)
    try:
        config = openstack.config.OpenStackConfig(app_name="osfaas-client")
        named = cloud if cloud in config.get_cloud_names() else None
        region = config.get_one(named) if named else config.get_one()
        session = session_of(region)
        plugin = session.auth
        if not isinstance(plugin, BaseIdentityPlugin):
            raise CommandError(
                "A Keystone credential is required; auth_type 'none' and 'admin_token' are not supported."
            )
        access = plugin.get_access(session)
        found = gateway or endpoint_of(region, session, SERVICE_TYPE)
        if not access.project_scoped:
            raise CommandError("The token is not scoped to a project. Set OS_PROJECT_ID or OS_PROJECT_NAME.")
        if access.auth_token is None or access.issued is None or access.expires is None:
            raise CommandError("Keystone's response has no token, or no expiration time.")
        if found is None:
            raise CommandError(missing_gateway())
        verify, _certificate = region.get_requests_verify_args()
        return Login(
            token=access.auth_token,
            issued_at=access.issued.timestamp(),
            expires_at=access.expires.timestamp(),
            gateway=found.rstrip("/").removesuffix("/v1"),
            swift=endpoint_of(region, session, "object-store"),
            s3=endpoint_of(region, session, "s3"),
            verify=verify is not False and (verify or True),
        )
    except (openstack.exceptions.SDKException, ksa_exceptions.ClientException) as error:
        raise CommandError(sentence_of(error)) from error


def missing_gateway() -> str:
    """The message for a catalog without a gateway."""
    return (
        f"The catalog has no service '{SERVICE_TYPE}' for this project and region. Give the gateway's URL with "
        "--endpoint."
    )


def sentence_of(error: Exception) -> str:
    """The message for a failed login; the libraries describe a network error by the names of their classes."""
    if isinstance(error, (ksa_exceptions.MissingRequiredOptions, openstack.exceptions.ConfigException)):
        return f"There is no usable credential: {str(error).rstrip('.')}. {_CREDENTIAL_HINT}"
    if isinstance(error, (ksa_exceptions.ConnectionError, ksa_exceptions.DiscoveryFailure)):
        where = _URL.search(str(error))
        reason = next(filter(None, map(_reason, _causes(error))), None)
        if where and reason:
            return f"Keystone at {where[0]} cannot be reached: {reason}."
    return f"Keystone issued no token: {error}"


def _reason(error: BaseException) -> str | None:
    """The message of the operating system or of TLS."""
    if isinstance(error, (TimeoutError, ksa_exceptions.ConnectTimeout)):
        return "it did not respond in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message})"
    return error.strerror if isinstance(error, OSError) and error.errno else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all its causes; requests and urllib3 keep some of them in `args` or `reason`."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        found = waiting.pop(0)
        if isinstance(found, BaseException) and not any(found is each for each in seen):
            seen.append(found)
            waiting += [found.__cause__, found.__context__, getattr(found, "reason", None), *found.args]
            yield found


def session_of(region: Any) -> Any:
    """A keystoneauth session for a region of the configuration; it always has a timeout."""
    session = region.get_session()
    session.timeout = session.timeout or _KEYSTONE_SECONDS
    return session


def endpoint_of(region: Any, session: Any, service_type: str) -> str | None:
    """URL of a service, from the configuration or the catalog; None if neither has one."""
    configured = region.get_endpoint(service_type)
    if configured:
        return str(configured)
    url = session.get_endpoint(
        service_type=region.get_service_type(service_type),
        interface=region.get_interface(service_type),
        region_name=region.get_region_name(service_type),
    )
    return None if url is None else str(url).rstrip("/")
