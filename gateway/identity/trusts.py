"""Keystone trusts: authority of a user that outlives the token with which it was given.

A user makes a trust for our service user, limited to a project and to roles. Our service user logs in with its own
password and the id of the trust, and gets a token of the user (impersonation) with these roles. The id is useless
without the password. Keystone checks at each login, and at each validation of such a token, that the trust exists, that
user and project are enabled, and that the user still has the roles.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
from cachetools import TTLCache
from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1.identity import v3

from gateway.identity.caller import Caller
from gateway.identity.outage import OutageError
from gateway.settings.identity import TokenCacheSettings
from gateway.single_flight import SingleFlight
from policies.names import ProjectId

log = logging.getLogger(__name__)

_REFUSALS = (ksa_exceptions.Unauthorized, ksa_exceptions.Forbidden, ksa_exceptions.NotFound)
_LOGIN_KEYS = ("user_id", "username", "user_domain_id", "user_domain_name", "password")
_CREATED, _GONE = 201, frozenset({204, 404})
# Of the making of a trust: everything else is not about the token.
_NOT_ALLOWED = frozenset({400, 401, 403, 404})
_MAX_REASON = 200
NO_LOGIN = "Keystone issues no token of a trust to an application credential"


class OwnUser(Protocol):
    """Our own credential (`gateway.identity.credential.ServiceCredential`)."""

    async def user_id(self) -> str: ...


class TrustRefusedError(Exception):
    """Keystone rejects the trust: it is gone, or its user, project or roles are. It does not say which."""


class NotDelegableError(Exception):
    """Keystone does not let the token make this trust; the message says why."""


@dataclass(frozen=True, slots=True)
class TrustAccess:
    """A login under a trust: the token, and whose it is."""

    token: str = field(repr=False)
    user_id: str
    project_id: ProjectId


class Trustee:
    """Our service user, as the one to whom users give trusts. keystoneauth1 blocks, so it runs in threads."""

    def __init__(self, session: Any, auth_url: str, login: Mapping[str, str]) -> None:
        """`login`: the user and password, as keystoneauth1's arguments; see `login_of`."""
        self._session = session
        self._auth_url = auth_url
        self._login = login
        self._user_id: str | None = None

    async def user_id(self) -> str:
        """Id of the service user.

        Raises:
            OutageError: Keystone does not answer.
        """
        if self._user_id is None:
            try:
                found: str = await asyncio.to_thread(self._session.get_user_id)
            except ksa_exceptions.ClientException as error:
                raise OutageError from error
            self._user_id = found
        return self._user_id

    async def log_in(self, trust_id: str) -> TrustAccess:
        """Logs in under a trust.

        Raises:
            TrustRefusedError: Keystone rejects the trust.
            OutageError: Keystone does not answer, or rejects our own password.
        """
        try:
            return await asyncio.to_thread(self._access, trust_id)
        except _REFUSALS as error:
            # Keystone answers 401 for a trust that is gone and for a wrong password alike.
            try:
                await asyncio.to_thread(self._access, None)
            except ksa_exceptions.ClientException as own:
                log.error("Keystone does not accept the service user's password: %s", own)  # noqa: TRY400
                raise OutageError from own
            raise TrustRefusedError from error
        except ksa_exceptions.ClientException as error:
            log.warning("Keystone issued no token for a trust: %r", error)
            raise OutageError from error

    def _access(self, trust_id: str | None) -> TrustAccess:
        plugin = v3.Password(self._auth_url, trust_id=trust_id, **self._login)  # type: ignore[arg-type]  # strings
        access = plugin.get_access(self._session)
        return TrustAccess(str(access.auth_token), str(access.user_id), ProjectId(access.project_id or ""))


def login_of(auth: Mapping[str, Any]) -> dict[str, str] | None:
    """User and password in the `auth` section of a cloud; None if it has no password.

    Keystone issues no token of a trust to an application credential.
    """
    if not auth.get("password"):
        return None
    return {name: str(auth[name]) for name in _LOGIN_KEYS if auth.get(name)}


class TrustTokens:
    """Tokens of trusts: a bounded cache, in which each token is as old as a cached validation may be.

    A trust that is refused is remembered for as long as a rejected token.
    """

    def __init__(self, trustee: Trustee | None, settings: TokenCacheSettings) -> None:
        """`trustee`: None: our credential is none that can use trusts, so every request fails."""
        entries = settings.token_cache_entries
        self._trustee = trustee
        self._tokens: TTLCache[str, TrustAccess] = TTLCache(entries, settings.token_cache_seconds)
        self._refused: TTLCache[str, None] = TTLCache(entries, settings.token_rejection_cache_seconds)
        self._flights: SingleFlight[str, TrustAccess] = SingleFlight()

    async def access(self, trust_id: str, *, rejected: str | None = None) -> TrustAccess:
        """A token of the trust, but not `rejected`; concurrent requests for one trust are one login.

        Raises:
            TrustRefusedError, OutageError: as `Trustee.log_in`.
        """
        found = self._tokens.get(trust_id)
        if found is not None and found.token != rejected:
            return found
        if trust_id in self._refused:
            raise TrustRefusedError
        return await self._flights.run(trust_id, lambda: self._log_in(trust_id))

    def forget(self, trust_id: str) -> None:
        """Drops a token that Keystone or a store has rejected."""
        self._tokens.pop(trust_id, None)

    async def _log_in(self, trust_id: str) -> TrustAccess:
        if self._trustee is None:
            log.error("trusts need a credential with a password: %s", NO_LOGIN)
            raise OutageError
        try:
            access = await self._trustee.log_in(trust_id)
        except TrustRefusedError:
            self._refused[trust_id] = None
            raise
        self._tokens[trust_id] = access
        return access


class WorkerUser:
    """The workers' user, to whom trusts for asynchronous calls are given."""

    def __init__(self, credential: OwnUser, user_id: str | None) -> None:
        """`user_id`: None: it is our own user."""
        self._credential = credential
        self._user_id = user_id

    async def user_id(self) -> str:
        """Its id.

        Raises:
            OutageError: Keystone issued no token.
        """
        if self._user_id is None:
            self._user_id = await self._credential.user_id()
        return self._user_id

    async def has_token_of(self, caller: Caller) -> bool:
        """Whether a worker sent the request of this caller: nobody else can get a token of a trust for its user.

        Raises:
            OutageError: as `user_id`.
        """
        return caller.trustee_id is not None and caller.trustee_id == await self.user_id()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustOrder:
    """A trust to make: whose, for whom, on which project, with which roles; `seconds`: until it ends, or None."""

    trustor_id: str
    trustee_id: str
    project_id: str
    roles: Sequence[str]
    seconds: int | None = None


class Trusts:
    """Makes and deletes trusts with tokens of users."""

    def __init__(self, client: httpx.AsyncClient, auth_url: str) -> None:
        self._client = client
        self._url = f"{auth_url}/OS-TRUST/trusts"

    async def create(self, token: str, order: TrustOrder) -> str:
        """Makes a trust with its trustor's token; returns the id.

        Raises:
            NotDelegableError: Keystone refuses.
            OutageError: Keystone does not answer.
        """
        body = {
            "trustor_user_id": order.trustor_id,
            "trustee_user_id": order.trustee_id,
            "project_id": order.project_id,
            "roles": [{"name": role} for role in order.roles],
            "impersonation": True,
            "allow_redelegation": False,
        }
        if order.seconds is not None:
            ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=order.seconds)
            body["expires_at"] = ends.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        response = await self._ask("POST", self._url, token, json={"trust": body})
        if response.status_code in _NOT_ALLOWED:
            raise NotDelegableError(_reason(response))
        if response.status_code != _CREATED:
            log.warning("Keystone returned %d to a trust", response.status_code)
            raise OutageError
        try:
            return str(response.json()["trust"]["id"])
        except (KeyError, TypeError, ValueError) as error:
            raise OutageError from error

    async def delete(self, token: str, trust_id: str) -> bool:
        """Deletes a trust with its trustor's token, or with its own; whether it is gone now. Never raises."""
        try:
            response = await self._ask("DELETE", f"{self._url}/{trust_id}", token)
        except OutageError:
            return False
        return response.status_code in _GONE

    async def _ask(self, method: str, url: str, token: str, **more: Any) -> httpx.Response:
        try:
            return await self._client.request(method, url, headers={"X-Auth-Token": token}, **more)
        except httpx.HTTPError as error:
            log.warning("Keystone cannot be reached: %r", error)
            raise OutageError from error


def _reason(response: httpx.Response) -> str:
    try:
        message = str(response.json()["error"]["message"])
    except (KeyError, TypeError, ValueError):
        message = ""
    return message[:_MAX_REASON].rstrip(".") or f"Keystone answered {response.status_code}"
