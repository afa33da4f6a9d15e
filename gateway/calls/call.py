"""An admitted request: who calls, for which tenant, and what it is counted for."""

import dataclasses
from dataclasses import dataclass

from gateway.http.context import RequestContext
from gateway.identity.caller import Caller
from gateway.limits.model import LimitSubject
from tenancy.directory.protocol import Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that may be served. Only `Admission` makes one, so code that has a `Call` need not check again.

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
        """Whether a service caller makes it, such as a storage federation."""
        return self.subject.service

    def part(self) -> "Call":
        """The same call for one of its many objects, with a context of its own."""
        return dataclasses.replace(self, context=self.context.part())
