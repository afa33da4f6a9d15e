"""An admitted request: its caller, tenant, and the subject that it is counted for."""

from typing import NamedTuple

from gateway.http.context import RequestContext
from gateway.identity.caller import Caller
from gateway.limits.model import LimitSubject
from tenancy.directory.protocol import Tenant


class Call(NamedTuple):
    """One admitted request. Only `Admission` makes one, so code that has a `Call` need not check again.

    A named tuple, because one is made for each call: it costs half of a frozen dataclass.

    Attributes:
        caller: the token's user and project.
        tenant: of the caller's project; not suspended.
        subject: the project and caller whose limits apply.
        context: state of the request.
    """

    caller: Caller
    tenant: Tenant
    subject: LimitSubject
    context: RequestContext

    @property
    def of_service(self) -> bool:
        """Whether the caller is a service, such as a storage federation."""
        return self.subject.service

    def part(self) -> "Call":
        """The same call for one of its many objects, with a separate context."""
        return self._replace(context=self.context.part())
