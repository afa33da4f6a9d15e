"""Authentication of administrators: a token of the system or of a project that a policy rule allows to administer."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.identity import access_rules
from gateway.identity.authenticate import with_challenge
from gateway.identity.caller import AccessRule, Caller
from gateway.identity.keystone import Keystone, is_derived
from gateway.identity.permissions import Permissions
from gateway.identity.tokens import reject_malformed, token_of
from gateway.identity.validation_limiter import ValidationLimiter
from gateway.policy.names import Rule
from gateway.settings.identity import IdentitySettings
from policies.names import ProjectId


@dataclass(frozen=True, slots=True)
class Administrator:
    """An authenticated administrator; ids and a name for the audit record."""

    user_id: str
    user_name: str
    scope: str


class Administrators:
    """Authenticates administrators.

    Validations are not cached: there are few such calls, and they are powerful. Malformed tokens are rejected first,
    and concurrent validations are limited, because every client may send tokens.
    """

    def __init__(
        self,
        keystone: Keystone,
        validations: ValidationLimiter,
        settings: IdentitySettings,
        permissions: Permissions,
        *,
        auth_url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keystone = keystone
        self._validations = validations
        self._clock = clock
        self._settings = settings
        self._permissions = permissions
        self._www_authenticate_uri = settings.www_authenticate_uri or auth_url

    async def administrator_of(self, head: RequestHead, rule: Rule) -> Administrator:
        """Authenticates the administrator of a request; `rule`: the policy rule of the route.

        Raises:
            GatewayError: TOKEN_*, KEYSTONE_UNAVAILABLE, ADMIN_REQUIRED, ACCESS_DENIED_BY_RULE.
        """

        def parse(token: str, body: Mapping[str, Any]) -> Administrator:
            caller, scope = administrator_from(token, body, rule, self._permissions)
            service, path = self._settings.service_type, head.path.decode("ascii")
            if not access_rules.allows(caller, service_type=service, method=head.method, path=path):
                raise GatewayError(ErrorCode.ACCESS_DENIED_BY_RULE, method=head.method, service=service)
            return Administrator(caller.user_id, caller.user_name, scope)

        try:
            token = token_of(head)
            reject_malformed(token, self._settings, now=self._clock())
            async with self._validations.slot():
                return await self._keystone.validate_as(token, parse)
        except GatewayError as error:
            raise with_challenge(error, self._www_authenticate_uri) from error.__cause__


def administrator_from(token: str, body: Mapping[str, Any], rule: Rule, permissions: Permissions) -> tuple[Caller, str]:
    """The administrator in Keystone's `token` object, and the scope of the token.

    No rule can allow delegated rights, such as those of a trustee, or a token of a domain or without a scope. An
    application credential counts as its user's own.

    Raises:
        GatewayError: ADMIN_REQUIRED.
        KeyError, TypeError: it is not such an object.
    """
    system = bool((body.get("system") or {}).get("all"))
    project = body.get("project")
    user = body["user"]
    allowed = (body.get("application_credential") or {}).get("access_rules")
    caller = Caller(
        token=token,
        user_id=user["id"],
        user_name=user["name"],
        project_id=ProjectId(project["id"] if project else ""),
        project_name="",
        roles=frozenset(each["name"] for each in body.get("roles", ())),
        expires_at=0,
        service_types=frozenset(service["type"] for service in body.get("catalog", ())),
        access_rules=None
        if allowed is None
        else tuple(AccessRule(each["service"], each["method"], each["path"]) for each in allowed),
        domain_id=((project or {}).get("domain") or {}).get("id", ""),
    )
    scoped = system or bool(caller.project_id)
    if not scoped or is_derived(body) or not permissions.allows_administrator(caller, rule, system=system):
        raise GatewayError(ErrorCode.ADMIN_REQUIRED, rule=rule)
    return caller, "system" if system else f"project {caller.project_id}"
