"""Names of the limits, and the subject that a request is counted for. Pure."""

from dataclasses import dataclass, field

from gateway.call_usage import CallUsage
from policies.model import Limits
from policies.names import ProjectId

CONCURRENT_CALLS = "concurrent_calls"
REQUESTS_PER_SECOND = "requests_per_second"
BYTES_PER_SECOND = "bytes_per_second"
NAMES = (CONCURRENT_CALLS, REQUESTS_PER_SECOND, BYTES_PER_SECOND)


@dataclass(frozen=True, slots=True)
class LimitSubject:
    """The project and caller that a request is counted for.

    Attributes:
        project_id: the project that the limits belong to.
        caller_id: id of the user; callers of a project take turns in queues.
        limits: of the project's record; None: there are no records, and the defaults of the settings apply.
        service: a service caller. It has separate limits of the same size, so it takes nothing from users.
        domain_id: of the project; "": not known.
        usage: of the call; what is charged is added to it.
    """

    project_id: ProjectId
    caller_id: str
    limits: Limits | None = None
    service: bool = False
    domain_id: str = ""
    usage: CallUsage | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """Key of the usage in the backend. The braces keep a subject in one slot of a Redis cluster."""
        return self._key(self.project_id)

    @property
    def domain_key(self) -> str:
        """Key of what the projects of the domain use together. A project and a domain may have the same id."""
        return self._key(f"domain:{self.domain_id}")

    def _key(self, owner: str) -> str:
        return f"{{{owner}}}:{'services' if self.service else 'users'}"
