"""`GET /v1/registry/token?service=…&scope=…`: a token for the registry, for `docker login`, push and pull."""

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from control.registry.login import BasicLogin, Client, RegistryLogins, basic_of
from control.registry.login_limit import LoginLimiter
from control.registry.scopes import Scope, granted, granted_to_workload, parse_scopes
from control.registry.tokens import Grant, SigningKey, claims_of
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.http.context import context_of
from gateway.http.head import RequestHead
from gateway.http.query import one_value, parse_query
from gateway.http.respond import answer_or_error
from gateway.identity.permissions import Permissions
from gateway.policy.names import Rule
from gateway.settings import Settings
from gateway.telemetry.cadf import AuditEvent, record
from policies.own_build import REGISTRY_USER
from tenancy.directory.protocol import TenantDirectory
from tenancy.model.errors import DirectoryError, NotOnboardedError

PATH = "/v1/registry/token"
# Docker sends the last three; they change nothing.
_PARAMETERS = ("service", "scope", "account", "client_id", "offline_token")
_OBSERVER = "osfaas-registry-tokens"
_ACTIONS = {"pull": Rule.REGISTRY_PULL, "push": Rule.REGISTRY_PUSH}


class RegistryTokenRoute:
    """The endpoint: the form of the request, the client's limit, login, tenant, then what is granted.

    A token may grant nothing.
    """

    def __init__(
        self,
        logins: RegistryLogins,
        limiter: LoginLimiter,
        directory: TenantDirectory,
        key: SigningKey,
        settings: Settings,
        *,
        permissions: Permissions,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._logins = logins
        self._limiter = limiter
        self._directory = directory
        self._key = key
        self._settings = settings
        self._permissions = permissions
        self._clock = clock

    async def token(self, request: Request) -> Response:
        """Serves one request."""
        context = context_of(request.scope)
        context.route = "registry-token"
        client: Client | None = None
        grants: list[Grant] = []

        async def answer() -> Response:
            nonlocal client
            assert context.head is not None
            parameters = parse_query(context.head.query, _PARAMETERS)
            scopes = parse_scopes(parameters.get("scope", []))
            if one_value(parameters, "service") != self._settings.registry_service:
                raise GatewayError(
                    ErrorCode.REQUEST_MALFORMED, why=f"the service must be {self._settings.registry_service!r}"
                )
            login = basic_of(context.head)
            client = await self._client_of(request, context.head, login)
            context.log.user_id = client.caller.user_id if client.caller else None
            context.log.project_id = client.project_id
            grants.extend(self._grants(client, scopes))
            return self._response(client, grants)

        response = await answer_or_error(context, answer())
        record(_audit_event(client, grants, response.status_code, context.request_id))
        return response

    async def _client_of(self, request: Request, head: RequestHead, login: BasicLogin) -> Client:
        workload = self._logins.workload_of(login)
        counted = self._limiter.count(request.scope, login, workload.project_id if workload else "")
        if workload is not None:
            return Client(workload=workload)
        caller = await self._logins.caller_of(login)
        self._limiter.accepted(request.scope, login, caller.project_id, counted=counted)
        self._logins.check_access_rules(head, caller)
        return Client(caller)

    def _grants(self, client: Client, scopes: tuple[Scope, ...]) -> list[Grant]:
        try:
            tenant = self._directory.tenant_of(client.project_id)
        except NotOnboardedError as error:
            raise GatewayError(ErrorCode.TENANT_NOT_ONBOARDED, project_id=client.project_id) from error
        except DirectoryError as error:
            raise GatewayError(ErrorCode.DIRECTORY_UNAVAILABLE) from error
        if tenant.suspended is not None:
            raise GatewayError(
                ErrorCode.TENANT_SUSPENDED, project_id=client.project_id, reason=tenant.suspended.rstrip(".")
            )
        found = [Grant(scope.kind, scope.name, self._granted(client, scope)) for scope in scopes]
        return [grant for grant in found if grant.actions]

    def _granted(self, client: Client, scope: Scope) -> tuple[str, ...]:
        base_prefix, caller = self._settings.registry_base_prefix, client.caller
        if caller is not None:
            permitted = [action for action, rule in _ACTIONS.items() if self._permissions.allows(caller, rule)]
            return granted(scope, caller.project_id, permitted, base_prefix)
        assert client.workload is not None
        return granted_to_workload(scope, client.workload, base_prefix)

    def _response(self, client: Client, grants: list[Grant]) -> Response:
        now, seconds = int(self._clock()), self._settings.registry_token_seconds
        claims = claims_of(
            grants,
            subject=client.caller.user_id if client.caller else f"{REGISTRY_USER}-{client.project_id}",
            issuer=self._settings.registry_token_issuer,
            audience=self._settings.registry_service,
            now=now,
            seconds=seconds,
        )
        token = self._key.sign(claims)
        # Both names: old clients of Docker know the first, OAuth 2 the second.
        document = {"token": token, "access_token": token, "expires_in": seconds}
        return JSONResponse(document, headers=UNCACHEABLE)


def _audit_event(client: Client | None, grants: list[Grant], status: int, request_id: str) -> AuditEvent:
    """The audit event of a request, refused ones included; the token itself is in no log."""
    initiator = {"id": "unknown", "typeURI": "service/security/account/user"}
    if client is not None and client.caller is not None:
        caller = client.caller
        initiator |= {"id": caller.user_id, "name": caller.user_name, "project_id": caller.project_id}
    elif client is not None:
        initiator = {"id": REGISTRY_USER, "typeURI": "service/compute", "project_id": client.project_id}
    return AuditEvent(
        action="authenticate",
        status=status,
        initiator=initiator,
        target={"id": "registry", "typeURI": "service/storage/registry"},
        observer=_OBSERVER,
        request_id=request_id,
        tags=[f"granted={grant.name}:{','.join(grant.actions)}" for grant in grants],
    )
