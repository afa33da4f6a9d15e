"""Token validation by Keystone (Identity API v3, "Validate and show information for token")."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

import httpx

from gateway.circuit import CircuitBreaker, CircuitOpenError, CircuitRules
from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import AccessRule, Caller, Endpoint
from gateway.identity.outage import OutageError
from policies.names import ProjectId

log = logging.getLogger(__name__)

Identity = TypeVar("Identity")

OBJECT_STORE_TYPES = frozenset(["object-store", "s3"])
_OVERLOADED = frozenset([502, 503, 504])
_REFUSED = frozenset([httpx.codes.UNAUTHORIZED, httpx.codes.NOT_FOUND])
_LONGEST_WAIT_SECONDS = 300
# Keystone's name of the right to validate tokens, in the error of a user who lacks it.
_VALIDATION = "identity:validate_token"
_CIRCUIT = CircuitRules(failures=5, seconds=1)


class Credential(Protocol):
    """The gateway's own credential."""

    async def token(self, refused: str | None = None) -> str: ...


class Keystone:
    """A client of Keystone that validates tokens with our credential."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        auth_url: str,
        credential: Credential,
        timeout_seconds: float = 5,
        circuit: CircuitRules = _CIRCUIT,
    ) -> None:
        """`timeout_seconds`: maximum time for one whole answer; `circuit`: when the circuit opens."""
        self._client = client
        self._auth_url = auth_url
        self._credential = credential
        self._timeout_seconds = timeout_seconds
        self._breaker = CircuitBreaker(circuit, OutageError)

    async def validate(self, token: str) -> Caller:
        """Validates a token, and returns its caller.

        Raises:
            GatewayError: TOKEN_INVALID (Keystone rejected it), TOKEN_WRONG_SCOPE, KEYSTONE_UNAVAILABLE (no answer, or
                one that says nothing about the token). In doubt, no caller is returned.
        """
        return await self.validate_as(token, caller_from)

    async def validate_as(self, token: str, parse: Callable[[str, Mapping[str, Any]], Identity]) -> Identity:
        """Validates a token, and returns the result of `parse` on Keystone's `token` object.

        Raises:
            GatewayError: as `validate`, and errors of `parse`.
        """
        try:
            with self._breaker.attempt():
                response = await self._asked(token)
        except CircuitOpenError as error:
            raise OutageError(retry_after_seconds=max(1, math.ceil(error.seconds))) from error
        except _RateLimitedError as error:
            raise _outage(error.response) from error
        if _rejects_token(response):
            raise GatewayError(ErrorCode.TOKEN_INVALID)
        if response.status_code != httpx.codes.OK:
            log.error("Keystone returned %d to a token validation", response.status_code)
            raise _outage(response)
        if response.headers.get("X-Subject-Token", token) != token:
            log.error("Keystone, or a proxy in front of it, validated another token")
            raise GatewayError(ErrorCode.KEYSTONE_UNAVAILABLE)
        try:
            return parse(token, response.json()["token"])
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            log.exception("Keystone's response to a token validation is malformed")
            raise GatewayError(ErrorCode.KEYSTONE_UNAVAILABLE) from error

    async def _asked(self, token: str) -> httpx.Response:
        """Keystone's answer about the token.

        Raises:
            OutageError: no answer, overload, or our credential is rejected. Not for a 500: a token that causes one
                must not open the circuit for all others.
            _RateLimitedError: a rate limiter answered.
        """
        own = await self._credential.token()
        response = await self._ask(token, own)
        if await self._is_about_us(response, own):
            # Our token may have been revoked: retry once with a new one.
            own = await self._credential.token(refused=own)
            response = await self._ask(token, own)
            if await self._is_about_us(response, own):
                log.error("Keystone rejects the gateway's own credential")
                raise _outage(response)
        if response.status_code in _OVERLOADED:
            raise _outage(response)
        return response

    async def _is_about_us(self, response: httpx.Response, own: str) -> bool:
        """Whether our own token is rejected.

        Keystone then answers 401; but if our project is disabled, it answers 404, as for an invalid token of a caller.
        So a 404 counts as the caller's only if our own token is valid.
        """
        if response.status_code != httpx.codes.NOT_FOUND or not _is_keystones(response):
            return response.status_code == httpx.codes.UNAUTHORIZED
        ours = await self._ask(own, own)
        if ours.status_code in _REFUSED:
            return True
        if ours.status_code != httpx.codes.OK:
            raise _outage(ours)
        return False

    async def _ask(self, token: str, own: str) -> httpx.Response:
        headers = {
            "X-Auth-Token": own,
            "X-Subject-Token": token,
            # Without it, Keystone hides tokens with access rules, as from a service that does not support rules.
            "OpenStack-Identity-Access-Rules": "1",
        }
        try:
            # The client's own timeout applies to each read, and there may be many.
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._client.get(f"{self._auth_url}/auth/tokens", headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            log.warning("Keystone cannot be reached: %r", error)
            raise OutageError from error
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            log.warning("Keystone, or a proxy in front of it, limits the rate of validations (429)")
            raise _RateLimitedError(response)
        return response


class _RateLimitedError(Exception):
    """Keystone limits the rate of our requests; this must not open the circuit."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__("Keystone returned 429")
        self.response = response


def _rejects_token(response: httpx.Response) -> bool:
    """Whether Keystone rejects the token that it was asked about.

    That is a 404, and for the token of a trust a 403 as soon as its user is disabled or has lost the role. A 403 that
    names the action is about our own right to validate tokens.
    """
    if response.status_code == httpx.codes.FORBIDDEN:
        return _is_keystones(response) and _VALIDATION not in response.text
    return response.status_code == httpx.codes.NOT_FOUND and _is_keystones(response)


def _is_keystones(response: httpx.Response) -> bool:
    """Whether an error is Keystone's own: a proxy that cannot reach Keystone may return 404 too, in another format."""
    try:
        return bool(response.json()["error"]["code"] == response.status_code)
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def _outage(response: httpx.Response) -> OutageError:
    wait = response.headers.get("Retry-After", "")
    return OutageError(
        retry_after_seconds=min(int(wait), _LONGEST_WAIT_SECONDS) if wait.isdecimal() and wait.isascii() else None
    )


def caller_from(token: str, body: Mapping[str, Any]) -> Caller:
    """Parses the `token` object of Keystone's answer.

    Raises:
        GatewayError: TOKEN_WRONG_SCOPE, if it is not scoped to a project.
        AttributeError, KeyError, TypeError, ValueError: it is not such an object.
    """
    user = body["user"]
    if "project" not in body:
        raise GatewayError(ErrorCode.TOKEN_WRONG_SCOPE, scope=_scope_word(body))
    credential = body.get("application_credential") or {}
    rules = credential.get("access_rules")
    catalog = body.get("catalog", [])
    return Caller(
        token=token,
        user_id=_word(user["id"]),
        user_name=_word(user["name"]),
        project_id=ProjectId(_word(body["project"]["id"])),
        project_name=_word(body["project"]["name"]),
        roles=frozenset(_word(role["name"]) for role in body["roles"]),
        expires_at=datetime.fromisoformat(body["expires_at"]).timestamp(),
        service_types=frozenset(_word(service["type"]) for service in catalog),
        endpoints=tuple(
            Endpoint(
                service["type"],
                _text(endpoint["interface"]),
                _text(endpoint["region_id"] or ""),
                _text(endpoint["url"]),
            )
            for service in catalog
            if service["type"] in OBJECT_STORE_TYPES
            for endpoint in service["endpoints"]
        ),
        application_credential_id=credential.get("id"),
        delegated=bool(credential) or is_derived(body),
        trustee_id=_word(body["OS-TRUST:trust"]["trustee_user"]["id"]) if "OS-TRUST:trust" in body else None,
        access_rules=None
        if rules is None
        else tuple(AccessRule(_text(rule["service"]), _text(rule["method"]), _text(rule["path"])) for rule in rules),
        domain_id=_word(body["project"]["domain"]["id"]),
    )


def is_derived(body: Mapping[str, Any]) -> bool:
    """Whether a token is delegated: from a trust, an OAuth consumer, or an EC2 credential."""
    return (
        "OS-TRUST:trust" in body
        or "OS-OAUTH1" in body
        # The creator of the EC2 credential may have had fewer rights than the user (CVE-2026-43001).
        or "ec2credential" in body.get("methods", ())
    )


def _scope_word(body: Mapping[str, Any]) -> str:
    for scope in ("domain", "system"):
        if scope in body:
            return f"scoped to a {scope}" if scope == "domain" else "scoped to the system"
    return "unscoped"


def _word(value: Any) -> str:
    word = _text(value)
    if not word:
        raise ValueError("expected a word")
    return word


def _text(value: Any) -> str:
    """A string that can be forwarded: JSON may contain a lone surrogate, a header field or URL may not."""
    if not isinstance(value, str):
        raise TypeError("expected a string")
    value.encode()
    return value
