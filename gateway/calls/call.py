"""An admitted request: its caller, tenant, and the subject that it is counted for."""

from typing import NamedTuple

from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.identity.caller import Caller
from gateway.limits.model import LimitSubject
from gateway.policy.names import Rule
from tenancy.directory.protocol import FunctionAddress, Tenant


class Call(NamedTuple):
    """One admitted request. Only `Admission` makes one, so code that has a `Call` need not check again.

    A named tuple, because one is made for each call: it costs half of a frozen dataclass.

    Attributes:
        caller: the token's user and project.
        tenant: of the caller's project; not suspended.
        subject: the project and caller whose limits apply.
        context: state of the request.
        rule: the policy rule that allowed it.
    """

    caller: Caller
    tenant: Tenant
    subject: LimitSubject
    context: RequestContext
    rule: Rule

    @property
    def of_service(self) -> bool:
        """Whether the caller is a service, such as a storage federation."""
        return self.subject.service

    def part(self) -> "Call":
        """The same call for one of its many objects, with a separate context."""
        return self._replace(context=self.context.part())


def enabled_function(call: Call, function: str) -> FunctionAddress:
    """The address of a function that is enabled for the caller's project.

    Raises:
        GatewayError: FUNCTION_NOT_ENABLED.
    """
    address = call.tenant.functions.get(function)
    if address is None:
        raise GatewayError(ErrorCode.FUNCTION_NOT_ENABLED, function=function, project_id=call.tenant.project_id)
    return address
