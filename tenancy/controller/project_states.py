"""The states of the tenants' projects in Keystone, kept between polls."""

from collections.abc import Iterable

from policies.names import ProjectId
from tenancy.keystone_projects import KeystoneProjects, Project
from tenancy.model.errors import NoSuchProjectError
from tenancy.model.record import ProjectState


class ProjectStates:
    """Known states of the tenants' projects; only complete answers change them."""

    def __init__(self, keystone: KeystoneProjects) -> None:
        self._keystone = keystone
        self._known: dict[ProjectId, tuple[ProjectState, str]] = {}
        self._domains: dict[ProjectId, str] = {}

    def of(self, project_id: ProjectId) -> tuple[ProjectState, str] | None:
        """State and name of a project; None until Keystone has answered."""
        return self._known.get(project_id)

    def domain_of(self, project_id: ProjectId) -> str:
        """The domain of a project; "" until Keystone has answered. It never changes."""
        return self._domains.get(project_id, "")

    def refresh(self, wanted: Iterable[ProjectId]) -> frozenset[ProjectId]:
        """Reads all projects from Keystone; returns those whose state changed.

        Raises:
            ProjectsError: no complete answer; the known states are unchanged.
        """
        listed = self._keystone.everything()
        known: dict[ProjectId, tuple[ProjectState, str]] = {}
        domains: dict[ProjectId, str] = {}
        for project_id in wanted:
            found = listed.get(project_id) or self._asked(project_id)
            if found:
                known[project_id], domains[project_id] = (found.state, found.name), found.domain_id
            else:
                known[project_id] = ProjectState.DELETED, self._known.get(project_id, (None, ""))[1]
        changed = frozenset(project for project, state in known.items() if self._known.get(project) != state)
        self._known, self._domains = known, domains
        return changed

    def refresh_one(self, project_id: ProjectId) -> None:
        """Reads one project, for a new tenant.

        Raises:
            ProjectsError: Keystone did not answer.
        """
        found = self._asked(project_id)
        self._known[project_id] = (found.state, found.name) if found else (ProjectState.DELETED, "")
        if found:
            self._domains[project_id] = found.domain_id

    def _asked(self, project_id: ProjectId) -> Project | None:
        try:
            return self._keystone.by_id(project_id)
        except NoSuchProjectError:
            return None
