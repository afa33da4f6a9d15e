"""Admission of a request: authenticates the caller and finds its tenant."""

import time

from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.http.head import RequestHead
from gateway.identity.authenticate import Authenticator
from gateway.identity.caller import Caller
from gateway.limits.model import LimitSubject
from tenancy.directory import Tenant, TenantDirectory
from tenancy.errors import DirectoryError, NotOnboardedError


async def admit(
    identity: Authenticator, directory: TenantDirectory, head: RequestHead, context: RequestContext
) -> tuple[Caller, Tenant]:
    """The authorised user of a request, and the user's tenant.

    Raises:
        GatewayError: see `Authenticator.caller_of` and `tenant_for`.
    """
    started = time.perf_counter()
    caller = await identity.identify(head)
    context.timings["identity"] = time.perf_counter() - started
    context.facts |= {"user_id": caller.user_id, "project_id": caller.project_id}
    identity.authorise(caller, head)
    return caller, tenant_for(caller, directory)


def tenant_for(caller: Caller, directory: TenantDirectory) -> Tenant:
    """The tenant of a caller's project, if it is not suspended.

    Raises:
        GatewayError: NOT_ONBOARDED, SUSPENDED, DIRECTORY_UNAVAILABLE.
    """
    try:
        tenant = directory.tenant_of(caller.project_id)
    except NotOnboardedError as error:
        raise GatewayError(ErrorCode.NOT_ONBOARDED, project_id=caller.project_id) from error
    except DirectoryError as error:
        raise GatewayError(ErrorCode.DIRECTORY_UNAVAILABLE) from error
    if tenant.suspended is not None:
        raise GatewayError(ErrorCode.SUSPENDED, project_id=caller.project_id, reason=tenant.suspended)
    return tenant


def limit_subject(caller: Caller, tenant: Tenant, *, service: bool = False) -> LimitSubject:
    """The subject that a call is counted for."""
    return LimitSubject(caller.project_id, caller.user_id, tenant.limits, service)
