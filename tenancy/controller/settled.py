"""Tenants that need no read: no watched object has changed since two direct reads found nothing to do.

The stores decide only that nothing is to be done. Every write and every deletion is planned on direct reads, so a store
that is incomplete, old or wrong may cost requests or delay a correction, and never causes a write. Each of these leads
to a direct read:

- A store is absent, or a version differs from those *before* the last direct read: changes during the read count.
- The controller wrote something. It remembers nothing of that reconcile, so the next one reads what the store may not
  have yet.
- Something waits, was refused, or an offboarding is in progress.
- Pods and Deployments, which may not be watched in all namespaces, are read once more at least `CONFIRM_SECONDS` after
  the first direct read: a pod that was admitted just before a change may appear after it.
- `TRUST_SECONDS` have passed, in case a change was never announced; spread, so that not all tenants are read at once.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from policies.names import ProjectId
from policies.unified_limits import LimitSource
from tenancy.controller.limit_states import LimitStates
from tenancy.controller.project_states import ProjectStates
from tenancy.controller.stores import ObjectVersions
from tenancy.model.record import ProjectFacts

CONFIRM_SECONDS = 60.0
TRUST_SECONDS = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class SettledState:
    """The input of direct reads that found nothing to do.

    Attributes:
        versions: of the stores, before the reads.
        project_id, project: of which these facts in Keystone were used.
        limits: Keystone's for the project.
    """

    versions: ObjectVersions
    project_id: ProjectId
    project: ProjectFacts
    limits: Mapping[str, tuple[int, LimitSource]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    state: SettledState
    first_at: float
    confirmed: bool
    trusted_until: float


class SettledTenants:
    """The memory of settled tenants; a tenant must not be used by two threads at the same time."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds."""
        self._clock = clock
        self._readings: dict[str, _Reading] = {}

    def needs_no_read(
        self, name: str, versions: ObjectVersions | None, states: ProjectStates, limits: LimitStates
    ) -> bool:
        """Whether two direct reads, not too long ago, found nothing to do with these versions and this project."""
        reading = self._readings.get(name)
        if reading is None or not reading.confirmed or self._clock() >= reading.trusted_until:
            return False
        state = reading.state
        if limits.of(state.project_id) != state.limits:
            return False
        return state.versions == versions and states.of(state.project_id) in {None, state.project}

    def remember(self, name: str, state: SettledState | None) -> None:
        """Stores the result of a direct read.

        Args:
            name: the tenant.
            state: None if there was something to do, or will be, or a store was absent.
        """
        before, now = self._readings.pop(name, None), self._clock()
        if state is None:
            return
        first_at = before.first_at if before and before.state == state else now
        spread = random.uniform(0.5, 1)  # noqa: S311 - spreads load, keeps no secret
        self._readings[name] = _Reading(
            state=state,
            first_at=first_at,
            confirmed=now - first_at >= CONFIRM_SECONDS,
            trusted_until=now + TRUST_SECONDS * spread,
        )
