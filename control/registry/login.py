"""Who asks for a token of the registry: HTTP Basic, with an application credential or a Keystone token."""

import asyncio
import base64
import binascii
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.identity import access_rules
from gateway.identity.caller import Caller
from gateway.identity.keystone import Keystone, caller_from
from gateway.identity.outage import OutageError
from gateway.identity.tokens import reject_malformed
from gateway.identity.validation_limiter import ValidationLimiter
from gateway.settings.identity import IdentitySettings
from policies.names import ProjectId
from policies.own_build import REGISTRY_USER
from tenancy.registry_credentials import CredentialVerifier, WorkloadCredential

TOKEN_USER = "token"  # noqa: S105 - a name
_MAX_CHARS = 12_288
_SECRET_CHARS = 512
_CREDENTIAL_ID = re.compile(r"[0-9a-f]{32}")
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="osfaas registry", charset="UTF-8"'}
_REJECTED = {httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED, httpx.codes.NOT_FOUND}


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: a caller of Keystone, or a build or the kubelet with a credential of the controller.

    Attributes:
        caller: None for a workload.
        workload: None for a caller.
    """

    caller: Caller | None = None
    workload: WorkloadCredential | None = None

    @property
    def project_id(self) -> ProjectId:
        """The project whose repositories it may use."""
        found = self.caller or self.workload
        assert found is not None
        return found.project_id


@dataclass(frozen=True, slots=True)
class BasicLogin:
    """User and password of HTTP Basic."""

    user: str
    password: str = field(repr=False)


def basic_of(head: RequestHead) -> BasicLogin:
    """The one login of a request.

    Raises:
        GatewayError: REGISTRY_LOGIN_FAILED.
    """
    values = head.all(b"authorization")
    scheme, _, encoded = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "basic" or len(encoded) > _MAX_CHARS:
        raise refused()
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError) as error:
        raise refused() from error
    if not colon or not user or not password:
        raise refused()
    return BasicLogin(user, password)


class RegistryLogins:
    """Authenticates logins with Keystone.

    What cannot be a credential is refused first, and concurrent questions to Keystone are limited, because everybody
    may send logins. Nothing is cached: a deleted application credential gets no new token.
    """

    def __init__(
        self,
        keystone: Keystone,
        http: httpx.AsyncClient,
        validations: ValidationLimiter,
        settings: IdentitySettings,
        *,
        auth_url: str,
        workloads: CredentialVerifier | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keystone = keystone
        self._http = http
        self._validations = validations
        self._settings = settings
        self._auth_url = auth_url
        self._workloads = workloads
        self._clock = clock

    def workload_of(self, login: BasicLogin) -> WorkloadCredential | None:
        """What a credential of the controller allows; None if the login is none. Nobody is asked for this."""
        if login.user != REGISTRY_USER or self._workloads is None:
            return None
        return self._workloads.verify(login.password)

    async def caller_of(self, login: BasicLogin) -> Caller:
        """The user of a login, with the roles on the project of the credential.

        Raises:
            GatewayError: REGISTRY_LOGIN_FAILED, TOKEN_WRONG_SCOPE, KEYSTONE_UNAVAILABLE.
        """
        return await (self._by_token(login) if login.user == TOKEN_USER else self._by_credential(login))

    def check_access_rules(self, head: RequestHead, caller: Caller) -> None:
        """Checks what the credential itself allows.

        Raises:
            GatewayError: ACCESS_DENIED_BY_RULE.
        """
        service, path = self._settings.service_type, head.path.decode("ascii")
        if not access_rules.allows(caller, service_type=service, method=head.method, path=path):
            raise GatewayError(ErrorCode.ACCESS_DENIED_BY_RULE, method=head.method, service=service)

    async def _by_token(self, login: BasicLogin) -> Caller:
        try:
            if not login.password.isascii() or not login.password.isprintable():
                raise refused()
            reject_malformed(login.password, self._settings, now=self._clock())
            async with self._validations.slot():
                return await self._keystone.validate(login.password)
        except GatewayError as error:
            raise (refused() if error.kind is ErrorCode.TOKEN_INVALID else error) from error.__cause__

    async def _by_credential(self, login: BasicLogin) -> Caller:
        if not _CREDENTIAL_ID.fullmatch(login.user) or len(login.password) > _SECRET_CHARS:
            raise refused()
        credential = {"id": login.user, "secret": login.password}
        identity = {"methods": ["application_credential"], "application_credential": credential}
        try:
            async with self._validations.slot(), asyncio.timeout(self._settings.keystone_timeout_seconds):
                response = await self._http.post(f"{self._auth_url}/auth/tokens", json={"auth": {"identity": identity}})
        except (httpx.HTTPError, TimeoutError) as error:
            raise OutageError from error
        if response.status_code in _REJECTED:
            raise refused()
        if response.status_code != httpx.codes.CREATED:
            raise OutageError
        try:
            return caller_from(response.headers["X-Subject-Token"], response.json()["token"])
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise GatewayError(ErrorCode.KEYSTONE_UNAVAILABLE) from error


def refused() -> GatewayError:
    """One error for all reasons: which part is wrong is nobody's business."""
    return GatewayError(ErrorCode.REGISTRY_LOGIN_FAILED, headers=_CHALLENGE)
