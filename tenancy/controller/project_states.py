"""The states of the tenants' projects in Keystone, kept between polls."""

from collections.abc import Iterable

from policies.names import ProjectId
from tenancy.keystone_projects import KeystoneProjects, Project
from tenancy.model.errors import NoSuchProjectError
from tenancy.model.record import ProjectFacts, ProjectState


class ProjectStates:
    """Known states of the tenants' projects; only complete answers change them."""

    def __init__(self, keystone: KeystoneProjects) -> None:
        self._keystone = keystone
        self._known: dict[ProjectId, ProjectFacts] = {}

    def of(self, project_id: ProjectId) -> ProjectFacts | None:
        """What is known of a project; None until Keystone has answered."""
        return self._known.get(project_id)

    def domain_of(self, project_id: ProjectId) -> str:
        """The domain of a project; "" until Keystone has answered."""
        return self._known.get(project_id, ProjectFacts()).domain_id

    def refresh(self, wanted: Iterable[ProjectId]) -> frozenset[ProjectId]:
        """Reads all projects from Keystone; returns those of which something changed.

        Raises:
            ProjectsError: no complete answer; what is known is unchanged.
        """
        listed = self._keystone.everything()
        known = {
            project_id: self._facts(project_id, listed.get(project_id) or self._asked(project_id))
            for project_id in wanted
        }
        changed = frozenset(project for project, facts in known.items() if self._known.get(project) != facts)
        self._known = known
        return changed

    def refresh_one(self, project_id: ProjectId) -> None:
        """Reads one project, for a new tenant.

        Raises:
            ProjectsError: Keystone did not answer.
        """
        self._known[project_id] = self._facts(project_id, self._asked(project_id))

    def _facts(self, project_id: ProjectId, found: Project | None) -> ProjectFacts:
        if found:
            return ProjectFacts(found.state, found.name, found.domain_id)
        return self._known.get(project_id, ProjectFacts())._replace(state=ProjectState.DELETED)

    def _asked(self, project_id: ProjectId) -> Project | None:
        try:
            return self._keystone.by_id(project_id)
        except NoSuchProjectError:
            return None
