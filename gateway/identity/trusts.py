"""Trusts of Keystone: the authority of a caller, limited to some roles, for work that outlives the token.

A gateway creates them with the caller's token. They are given to the workers' user: a worker gets tokens of them, and
deletes them.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import openstack.config
from cachetools import LRUCache

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.identity.outage import OutageError
from gateway.single_flight import SingleFlight

log = logging.getLogger(__name__)

_CREATED, _NO_CONTENT, _NOT_FOUND = 201, 204, 404
_LOST = frozenset([401, 403, 404])
# A token that is about to expire is not used any more.
_MARGIN_SECONDS = 300
_TOKENS = 10_000


class TrustLostError(Exception):
    """The trust does not exist any more, or Keystone does not honour it."""


class TrustService:
    """Creates trusts."""

    def __init__(self, client: httpx.AsyncClient, *, auth_url: str, timeout_seconds: float) -> None:
        self._client = client
        self._auth_url = auth_url
        self._timeout_seconds = timeout_seconds

    async def create(self, caller: Caller, *, trustee_id: str, roles: tuple[str, ...], seconds: int) -> str:
        """The id of a new trust for a user, with some of the caller's roles in the caller's project.

        Raises:
            GatewayError: OPERATION_NO_DELEGATION, KEYSTONE_UNAVAILABLE.
        """
        expires_at = datetime.fromtimestamp(time.time() + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        trust = {
            "trustor_user_id": caller.user_id,
            "trustee_user_id": trustee_id,
            "project_id": caller.project_id,
            "impersonation": True,
            "allow_redelegation": False,
            "roles": [{"name": role} for role in roles],
            "expires_at": expires_at,
        }
        response = await _exchange(
            self._client,
            "POST",
            f"{self._auth_url}/OS-TRUST/trusts",
            seconds=self._timeout_seconds,
            token=caller.token,
            body={"trust": trust},
        )
        if response.status_code != _CREATED:
            log.warning("Keystone returned %d to a trust", response.status_code)
            if response.status_code in _LOST:
                raise GatewayError(ErrorCode.OPERATION_NO_DELEGATION, why="Keystone rejects it")
            raise OutageError
        try:
            return str(response.json()["trust"]["id"])
        except (KeyError, TypeError, ValueError) as error:
            raise OutageError from error


def delegable_roles(caller: Caller, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The roles that a trust of this caller gets, sorted.

    Raises:
        GatewayError: OPERATION_NO_DELEGATION: Keystone makes no trust with such a token, or it would have more power
            than the token.
    """
    if caller.delegated or caller.access_rules is not None:
        why = "it is of an application credential, a trust, an OAuth consumer or an EC2 credential"
        raise GatewayError(ErrorCode.OPERATION_NO_DELEGATION, why=why)
    roles = tuple(sorted(set(wanted) & caller.roles))
    if not roles:
        why = f"the caller has none of the roles that are delegated ({', '.join(wanted)})"
        raise GatewayError(ErrorCode.OPERATION_NO_DELEGATION, why=why)
    return roles


class TrustTokens:
    """Tokens of trusts, for the user that the trusts were given to."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        auth_url: str,
        user: dict[str, Any],
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`user`: the `user` object of a password authentication."""
        self._client = client
        self._auth_url = auth_url
        self._user = user
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._flights: SingleFlight[str, tuple[str, float]] = SingleFlight()
        # Token, and when it is not used any more.
        self._tokens: LRUCache[str, tuple[str, float]] = LRUCache(_TOKENS)

    async def token(self, trust_id: str, *, refused: str | None = None) -> str:
        """A token of a trust; not `refused`, which was rejected.

        Raises:
            TrustLostError: Keystone issues none any more.
            OutageError: Keystone did not answer.
        """
        known = self._tokens.get(trust_id)
        if known is None or known[0] == refused or known[1] <= self._clock():
            known = await self._flights.run(trust_id, lambda: self._ask(trust_id))
            self._tokens[trust_id] = known
        return known[0]

    async def delete(self, trust_id: str) -> None:
        """Deletes a trust, with a token of it; one that is gone already is no error.

        Raises:
            OutageError: Keystone did not answer, or did not delete it.
        """
        try:
            token = await self.token(trust_id)
        except TrustLostError:
            return
        response = await _exchange(
            self._client,
            "DELETE",
            f"{self._auth_url}/OS-TRUST/trusts/{trust_id}",
            seconds=self._timeout_seconds,
            token=token,
        )
        self._tokens.pop(trust_id, None)
        if response.status_code not in {_NO_CONTENT, _NOT_FOUND}:
            log.error("Keystone returned %d to the deletion of a trust", response.status_code)
            raise OutageError

    async def _ask(self, trust_id: str) -> tuple[str, float]:
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": self._user}},
                "scope": {"OS-TRUST:trust": {"id": trust_id}},
            }
        }
        response = await _exchange(
            self._client, "POST", f"{self._auth_url}/auth/tokens?nocatalog", seconds=self._timeout_seconds, body=body
        )
        if response.status_code in _LOST:
            raise TrustLostError
        if response.status_code != _CREATED:
            log.error("Keystone returned %d to a token of a trust", response.status_code)
            raise OutageError
        try:
            found = response.json()["token"]
            lifetime = datetime.fromisoformat(found["expires_at"]) - datetime.fromisoformat(found["issued_at"])
            return response.headers["X-Subject-Token"], self._clock() + lifetime.total_seconds() - _MARGIN_SECONDS
        except (KeyError, TypeError, ValueError) as error:
            raise OutageError from error


async def _exchange(
    client: httpx.AsyncClient, method: str, url: str, *, seconds: float, token: str | None = None, body: object = None
) -> httpx.Response:
    try:
        async with asyncio.timeout(seconds):
            return await client.request(method, url, headers={"X-Auth-Token": token} if token else {}, json=body)
    except (httpx.HTTPError, TimeoutError) as error:
        log.warning("Keystone cannot be reached: %r", error)
        raise OutageError from error


def password_user() -> dict[str, Any]:
    """The `user` object of a password authentication with the credential of the environment.

    Raises:
        ValueError: the credential is no user's password. Keystone gives tokens of trusts for nothing else.
    """
    auth = openstack.config.OpenStackConfig(app_name="osfaas").get_one().config["auth"]
    password = auth.get("password")
    if not password or not (auth.get("user_id") or auth.get("username")):
        raise ValueError(
            "a worker needs the password of its user (OS_USERNAME, OS_PASSWORD), because Keystone gives no tokens of "
            "trusts for application credentials"
        )
    if auth.get("user_id"):
        return {"id": auth["user_id"], "password": password}
    domain = (
        {"id": auth["user_domain_id"]}
        if auth.get("user_domain_id")
        else {"name": auth.get("user_domain_name") or "Default"}
    )
    return {"name": auth["username"], "domain": domain, "password": password}
