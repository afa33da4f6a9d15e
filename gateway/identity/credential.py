"""The gateway's own credential, with which it validates callers' tokens.

It is found where OpenStack's tools look for one: `clouds.yaml` with `OS_CLOUD`, or `OS_*` variables. Any
auth plugin of keystoneauth1 works, because keystoneauth1 does the authentication.
"""

import asyncio
import logging
import ssl
import threading
from dataclasses import dataclass
from typing import Any

import openstack.config
from keystoneauth1 import exceptions as ksa_exceptions

from gateway.identity.outage import OutageError
from gateway.identity.trusts import Trustee, login_of
from gateway.single_flight import SingleFlight

log = logging.getLogger(__name__)


class ServiceCredential:
    """Tokens of the gateway. keystoneauth1 blocks, so it runs in a thread: one for all concurrent requests."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._flights: SingleFlight[str | None, str] = SingleFlight()
        # Many threads may get a token from keystoneauth1's plugin at once, but none may invalidate it meanwhile.
        self._turn = threading.Lock()

    async def token(self, refused: str | None = None) -> str:
        """A valid token; not `refused`, which Keystone has rejected.

        All requests that were rejected with the same token cause one authentication. They do not join one that began
        before the rejection: it may return the rejected token.

        Raises:
            OutageError: there is none, also if Keystone rejects the credential itself: that is not the caller's fault,
                and the log has the reason for the operator.
        """
        return await self._flights.run(refused, lambda: self._ask(refused))

    async def scope(self) -> tuple[frozenset[str], bool]:
        """The roles of our token, and whether it is scoped to the system.

        Raises:
            OutageError: Keystone issued no token.
        """
        try:
            access = await asyncio.to_thread(lambda: self._session.auth.get_access(self._session))
        except ksa_exceptions.ClientException as error:
            log.error("Keystone issued no token for the gateway's credential: %s", error)  # noqa: TRY400
            raise OutageError from error
        return frozenset(access.role_names), access.system_scoped

    async def user_id(self) -> str:
        """The id of our own user.

        Raises:
            OutageError: Keystone issued no token.
        """
        try:
            found: str = await asyncio.to_thread(self._session.get_user_id)
        except ksa_exceptions.ClientException as error:
            log.error("Keystone issued no token for the gateway's credential: %s", error)  # noqa: TRY400
            raise OutageError from error
        return found

    async def _ask(self, refused: str | None) -> str:
        try:
            return await asyncio.to_thread(self._latest, refused)
        except ksa_exceptions.ClientException as error:
            log.error("Keystone issued no token for the gateway's credential: %s", error)  # noqa: TRY400 - the message is enough
            raise OutageError from error

    def _latest(self, refused: str | None) -> str:
        with self._turn:
            token: str = self._session.get_token()
            if token == refused:
                self._session.invalidate()
                token = self._session.get_token()
            return token


@dataclass(frozen=True)
class IdentityService:
    """Address of Keystone, and how to connect to it.

    Attributes:
        auth_url: base of the v3 API, ending in `/v3`.
        verify: TLS verification of Keystone, and of nothing else, for httpx.
        region: of the credential's configuration, if it names one.
        trustee: our user for trusts; None: the credential is none with which Keystone issues tokens of trusts.
    """

    auth_url: str
    credential: ServiceCredential
    verify: ssl.SSLContext | bool
    trustee: Trustee | None = None
    region: str | None = None


def find_identity_service(*, timeout_seconds: float) -> IdentityService:
    """The identity service of the environment.

    Raises:
        openstack.exceptions.ConfigException: there is no usable credential; the message says what is missing.
    """
    cloud = openstack.config.OpenStackConfig(app_name="osfaas").get_one()
    session = cloud.get_session()
    session.timeout = timeout_seconds
    # A redirect would send the password to its target.
    session.redirect = False
    verify, _certificate = cloud.get_requests_verify_args()
    context = ssl.create_default_context(cafile=verify) if isinstance(verify, str) else bool(verify)
    auth = cloud.config["auth"]
    url, login = v3_url(auth["auth_url"]), login_of(auth)
    trustee = Trustee(session, url, login) if login else None
    return IdentityService(url, ServiceCredential(session), context, trustee, cloud.region_name or None)


def v3_url(auth_url: str) -> str:
    """`auth_url` with the version appended; operators write it with and without."""
    base = auth_url.rstrip("/")
    return base if base.endswith("/v3") else f"{base}/v3"
