"""Authentication and authorisation of a request."""

import time
from collections.abc import Callable, Sequence

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.identity import access_rules
from gateway.identity.cache import TokenCache
from gateway.identity.caller import Caller
from gateway.identity.permissions import Permissions
from gateway.identity.tokens import reject_malformed, token_of
from gateway.policy.names import Rule
from gateway.settings.identity import IdentitySettings


class Authenticator:
    """Checks token, scope, policy rule and access rules, in this order, each with its own error.

    Most callers are users. A service caller (the redirector of a storage federation) is one only in projects that the
    operator has listed, and on routes that know services.
    """

    def __init__(
        self,
        tokens: TokenCache,
        settings: IdentitySettings,
        permissions: Permissions,
        *,
        auth_url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`auth_url`: of Keystone, for callers without a valid token; the settings may name another one."""
        self._tokens = tokens
        self._settings = settings
        self._permissions = permissions
        self._service_type = settings.service_type
        self._www_authenticate_uri = settings.www_authenticate_uri or auth_url
        self._clock = clock

    async def identify(self, head: RequestHead) -> Caller:
        """Authenticates the token of a request; does not authorise it.

        Raises:
            GatewayError: TOKEN_*, KEYSTONE_UNAVAILABLE.
        """
        try:
            token = token_of(head)
            known = self._tokens.known(token)
            if known is not None:
                return known
            reject_malformed(token, self._settings, now=self._clock())
            return await self._tokens.caller_of(token)
        except GatewayError as error:
            raise self.with_challenge(error) from error.__cause__

    def project_of(self, fields: Sequence[tuple[bytes, bytes]]) -> str:
        """The project for which a request is queued, by its header fields; "" if its token is not known.

        A cache lookup: it never asks Keystone and grants nothing.
        """
        for name, value in fields:
            if name == b"x-auth-token":
                return self._tokens.project_of(value.decode("latin-1"))
            if name == b"authorization":
                return self._tokens.project_of(value.partition(b" ")[2].decode("latin-1"))
        return ""

    def has_service_role(self, caller: Caller) -> bool:
        """Whether the caller has the role of services, in any project."""
        return self._permissions.allows(caller, Rule.SERVICE_ROLE)

    def is_service(self, caller: Caller) -> bool:
        """Whether the caller is a service caller, in a listed project."""
        return self._permissions.allows(caller, Rule.SERVICE_CALLER)

    def authorise(self, caller: Caller, head: RequestHead, rule: Rule, *, services: bool = False) -> None:
        """Checks that the caller may make this request.

        Args:
            caller: from `identify`.
            head: the request.
            rule: the policy rule of the route.
            services: whether the route knows service callers.

        Raises:
            GatewayError: ROLE_MISSING, SERVICE_NOT_LISTED, ACCESS_DENIED_BY_RULE.
        """
        if not self._permissions.allows(caller, rule):
            if services and self.has_service_role(caller) and not self.is_service(caller):
                raise GatewayError(ErrorCode.SERVICE_NOT_LISTED, project_id=caller.project_id)
            raise GatewayError(ErrorCode.ROLE_MISSING, rule=rule, project_id=caller.project_id)
        path, service = head.path.decode("ascii"), self._service_type
        if not access_rules.allows(caller, service_type=service, method=head.method, path=path):
            raise GatewayError(ErrorCode.ACCESS_DENIED_BY_RULE, method=head.method, service=service)

    def invalidate(self, caller: Caller) -> None:
        """Drops a cached caller whose token another service has rejected, so that Keystone is asked next time."""
        self._tokens.forget(caller.token)

    def with_challenge(self, error: GatewayError) -> GatewayError:
        """See the function `with_challenge`."""
        return with_challenge(error, self._www_authenticate_uri)


def with_challenge(error: GatewayError, www_authenticate_uri: str) -> GatewayError:
    """Adds the challenge that a 401 must carry (RFC 9110, 15.5.2); returns other errors unchanged."""
    if error.kind.status != ErrorCode.TOKEN_MISSING.status:
        return error
    return error.with_headers({"WWW-Authenticate": f'Keystone uri="{www_authenticate_uri}"'})
