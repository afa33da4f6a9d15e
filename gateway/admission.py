"""Who calls, and which tenant that is: the same two questions before every kind of call."""

import time

from gateway.budgets.allowance import Payer
from gateway.edge.context import RequestContext
from gateway.edge.head import RequestHead
from gateway.errors import GatewayError, Kind
from gateway.identity.authenticate import Authenticator
from gateway.identity.caller import Caller
from tenancy.directory.protocol import Tenant, TenantDirectory
from tenancy.model.errors import DirectoryError, NotOnboardedError


async def admit(
    identity: Authenticator, directory: TenantDirectory, head: RequestHead, context: RequestContext
) -> tuple[Caller, Tenant]:
    """The user who makes a request, and the tenant, neither of which is refused.

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
    """The tenant of a caller's project, which may be called.

    Raises:
        GatewayError: NOT_ONBOARDED, SUSPENDED, DIRECTORY_UNAVAILABLE.
    """
    try:
        tenant = directory.tenant_of(caller.project_id)
    except NotOnboardedError as error:
        raise GatewayError(Kind.NOT_ONBOARDED, project_id=caller.project_id) from error
    except DirectoryError as error:
        raise GatewayError(Kind.DIRECTORY_UNAVAILABLE) from error
    if tenant.suspended is not None:
        raise GatewayError(Kind.SUSPENDED, project_id=caller.project_id, reason=tenant.suspended)
    return tenant


def payer_of(caller: Caller, tenant: Tenant, *, service: bool = False) -> Payer:
    """Whose budget a call uses."""
    return Payer(caller.project_id, caller.user_id, tenant.limits, service)
