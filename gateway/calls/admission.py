"""Admission: the checks before every kind of call, in one place and one order."""

import time
from collections.abc import Callable

from gateway.call_usage import CallUsage
from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.identity.authenticate import Authenticator
from gateway.identity.caller import Caller
from gateway.identity.trusts import WorkerUser
from gateway.limits.limiter import ProjectLimiter
from gateway.limits.model import LimitSubject
from gateway.policy.names import Rule
from tenancy.directory.protocol import Tenant, TenantDirectory
from tenancy.model.errors import DirectoryError, NotOnboardedError

# Errors that leave it open whether the caller may make the call.
_UNKNOWN = frozenset([ErrorCode.KEYSTONE_UNAVAILABLE, ErrorCode.DIRECTORY_UNAVAILABLE])


class Admission:
    """Turns a request into a `Call`: token, policy rule and access rules, tenant, rate limit."""

    def __init__(
        self,
        identity: Authenticator,
        directory: TenantDirectory,
        limiter: ProjectLimiter,
        clock: Callable[[], float] = time.time,
        worker: WorkerUser | None = None,
    ) -> None:
        """`worker`: None: there are no asynchronous calls."""
        self._identity = identity
        self._clock = clock
        self._directory = directory
        self._limiter = limiter
        self._worker = worker

    async def admit(self, context: RequestContext, rule: Rule, *, services: bool = False, counted: bool = True) -> Call:
        """Admits the request whose head is in the context.

        Args:
            context: gets the ids of the caller, and the caller itself if it is a service.
            rule: the policy rule of the route.
            services: whether the route knows service callers.
            counted: whether the request counts against the rate limit.

        Raises:
            GatewayError: see `Authenticator.identify` and `.authorise`; TENANT_NOT_ONBOARDED, TENANT_SUSPENDED,
                DIRECTORY_UNAVAILABLE, RATE_EXCEEDED.
        """
        assert context.head is not None
        started = time.perf_counter()
        caller = await self._identity.identify(context.head)
        context.timings["identity"] = time.perf_counter() - started
        context.log.user_id, context.log.project_id = caller.user_id, caller.project_id
        if services and self._identity.has_service_role(caller):
            context.service_caller = caller
        self._identity.authorise(caller, context.head, rule, services=services)
        if self._worker is not None and await self._worker.has_token_of(caller):
            context.attempt_at = context.global_request_id
        tenant = self._tenant_of(caller)
        service = services and self._identity.is_service(caller)
        subject = LimitSubject(caller.project_id, caller.user_id, tenant.limits, service, caller.domain_id, CallUsage())
        call = Call(caller=caller, tenant=tenant, subject=subject, context=context, rule=rule)
        if counted:
            await self.count(call)
        return call

    async def recheck(self, call: Call) -> GatewayError | None:
        """The error that would reject this call now, or None; for calls whose reply takes long.

        It asks as any call does, so mostly the token cache. An outage of Keystone or of the directory rejects nothing
        but a token that has expired.
        """
        assert call.context.head is not None
        try:
            caller = await self._identity.identify(call.context.head)
            self._identity.authorise(caller, call.context.head, call.rule)
            self._tenant_of(caller)
        except GatewayError as error:
            if error.kind not in _UNKNOWN:
                return error
            if self._clock() >= call.caller.expires_at:
                return GatewayError(ErrorCode.TOKEN_INVALID)
        return None

    async def count(self, call: Call, requests: int = 1) -> None:
        """Counts a call against the rate limit; a call about many objects counts once for each.

        Raises:
            GatewayError: RATE_EXCEEDED.
        """
        use = await self._limiter.count_call(call.subject, requests)
        if use is not None:
            call.context.limits[use.name] = use
        # Only now: a call that is rejected was charged nothing, and leaves no usage record.
        call.context.usage = usage = call.subject.usage
        if usage is not None:
            usage.requests += requests

    def token_rejected(self, call: Call, error: GatewayError) -> GatewayError:
        """The error for a caller whose token the object store has rejected with TOKEN_INVALID.

        The token is validated again at its next use, unless access rules explain the rejection: they do not cover the
        object store.
        """
        if call.caller.access_rules is not None:
            return GatewayError(ErrorCode.OBJECT_DENIED_BY_RULE)
        self._identity.invalidate(call.caller)
        return self._identity.with_challenge(error)

    def _tenant_of(self, caller: Caller) -> Tenant:
        try:
            tenant = self._directory.tenant_of(caller.project_id)
        except NotOnboardedError as error:
            raise GatewayError(ErrorCode.TENANT_NOT_ONBOARDED, project_id=caller.project_id) from error
        except DirectoryError as error:
            raise GatewayError(ErrorCode.DIRECTORY_UNAVAILABLE) from error
        if tenant.suspended is not None:
            raise GatewayError(ErrorCode.TENANT_SUSPENDED, project_id=caller.project_id, reason=tenant.suspended)
        return tenant
