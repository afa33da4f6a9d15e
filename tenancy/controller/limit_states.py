"""Keystone's limits in the controller, kept between reads."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from policies.model import TenantSpec
from policies.names import ProjectId
from policies.unified_limits import LimitSource, UnifiedLimits, limits_in_force
from tenancy.controller.project_states import ProjectStates
from tenancy.keystone_limits import KeystoneLimits


class LimitStates:
    """The last complete answer of Keystone; without one, the numbers of records are in force."""

    def __init__(self, keystone: KeystoneLimits | None, projects: ProjectStates) -> None:
        """`keystone`: None: Keystone's limits are not used; `projects` knows the domains of projects."""
        self._keystone = keystone
        self._projects = projects
        self._unified = UnifiedLimits()
        # As of the last read. A domain that is known only afterwards changes them too.
        self._numbers: dict[ProjectId, Mapping[str, tuple[int, LimitSource]]] = {}

    @property
    def enabled(self) -> bool:
        """Whether there is anything to read."""
        return self._keystone is not None

    def refresh(self, projects: Iterable[ProjectId]) -> frozenset[ProjectId]:
        """Reads the limits; returns those of the projects whose numbers differ from those of the last read.

        Raises:
            ProjectsError: no complete answer; the last one stays in force.
        """
        if self._keystone is None:
            return frozenset()
        self._unified = self._keystone.read()
        before, self._numbers = self._numbers, {project: self.of(project) for project in projects}
        return frozenset(project for project, numbers in self._numbers.items() if before.get(project, {}) != numbers)

    def of(self, project_id: ProjectId) -> Mapping[str, tuple[int, LimitSource]]:
        """Keystone's numbers for a project."""
        return self._unified.of_project(project_id, self._projects.domain_of(project_id))

    def in_force(self, spec: TenantSpec) -> TenantSpec:
        """The specification with the limits in force."""
        domain = self._projects.domain_of(spec.project_id)
        return replace(spec, limits=limits_in_force(spec.limits, self._unified, spec.project_id, domain).limits)
