"""What is known of the tenants' projects in Keystone, kept between polls."""

from collections.abc import Iterable

from policies.names import ProjectId
from tenancy.keystone_projects import KeystoneProjects, Project
from tenancy.model.errors import NoSuchProjectError
from tenancy.model.record import ProjectState


class ProjectStates:
    """What is known of the tenants' projects; only complete answers change it."""

    def __init__(self, keystone: KeystoneProjects) -> None:
        self._keystone = keystone
        self._known: dict[ProjectId, tuple[ProjectState, str]] = {}

    def of(self, project_id: ProjectId) -> tuple[ProjectState, str] | None:
        """State and name of a project; None as long as Keystone has not said."""
        return self._known.get(project_id)

    def refresh(self, wanted: Iterable[ProjectId]) -> frozenset[ProjectId]:
        """Asks Keystone; the projects of which something else is known now.

        Raises:
            ProjectsError: no complete answer; everything stays as it was known.
        """
        listed = self._keystone.everything()
        known: dict[ProjectId, tuple[ProjectState, str]] = {}
        for project_id in wanted:
            found = listed.get(project_id) or self._asked(project_id)
            if found:
                known[project_id] = found.state, found.name
            else:
                known[project_id] = ProjectState.DELETED, self._known.get(project_id, (None, ""))[1]
        changed = frozenset(project for project, news in known.items() if self._known.get(project) != news)
        self._known = known
        return changed

    def refresh_one(self, project_id: ProjectId) -> None:
        """Asks about one project, for a tenant that is new.

        Raises:
            ProjectsError: Keystone did not say.
        """
        found = self._asked(project_id)
        self._known[project_id] = (found.state, found.name) if found else (ProjectState.DELETED, "")

    def _asked(self, project_id: ProjectId) -> Project | None:
        try:
            return self._keystone.by_id(project_id)
        except NoSuchProjectError:
            return None
