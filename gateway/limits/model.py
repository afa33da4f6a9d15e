"""What a project may use, and who uses it. Pure."""

from dataclasses import dataclass

from policies.model import Limits
from policies.names import ProjectId

CONCURRENT_CALLS = "concurrent_calls"
REQUESTS_PER_SECOND = "requests_per_second"
BYTES_PER_SECOND = "bytes_per_second"
NAMES = (CONCURRENT_CALLS, REQUESTS_PER_SECOND, BYTES_PER_SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much a project may use.

    Attributes:
        concurrent_calls: computations and invocations at once.
        requests_per_second: calls, averaged; 0: not limited.
        bytes_per_second: bytes of objects that are read for computations, averaged; 0: not limited.
    """

    concurrent_calls: int
    requests_per_second: int = 0
    bytes_per_second: int = 0


@dataclass(frozen=True, slots=True)
class Payer:
    """Whose budget a call uses.

    Attributes:
        project_id: the project that the limits belong to.
        who: tells the callers of the project apart, who take turns.
        limits: of the project's record; None: it has none, and the settings decide.
        service: a service caller. It has a budget of its own, of the same size, so that it takes nothing from users.
    """

    project_id: ProjectId
    who: str
    limits: Limits | None = None
    service: bool = False

    @property
    def account(self) -> str:
        """The name that the budget is kept under. The braces keep an account in one place of a Redis cluster."""
        return f"{{{self.project_id}}}:{'services' if self.service else 'users'}"


def allowance_of(limits: Limits | None, defaults: Allowance) -> Allowance:
    """The record's own limits, or the defaults where there is no record of any."""
    if limits is None:
        return defaults
    return Allowance(
        concurrent_calls=limits.concurrent_calls,
        requests_per_second=limits.requests_per_second,
        bytes_per_second=limits.bytes_per_second,
    )
