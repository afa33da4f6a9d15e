"""Looks up projects in Keystone with openstacksdk. Every result is complete, or an error.

The credential comes from `clouds.yaml` with `OS_CLOUD`, or from `OS_*` variables. It needs a role that may list and
show projects: `reader` on the system, or `admin`.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import quote

import openstack
import openstack.exceptions
from keystoneauth1 import exceptions as ksa_exceptions

from policies.names import ProjectId
from tenancy.model.errors import NoSuchProjectError, ProjectsError
from tenancy.model.record import ProjectState

log = logging.getLogger(__name__)

CREDENTIAL_HINT = (
    "Set OS_CLOUD to an entry of clouds.yaml, or OS_AUTH_URL and the other OS_* variables of a credential."
)
# A server with more pages than this loops.
_MAX_PAGES = 10_000


@dataclass(frozen=True, slots=True)
class Project:
    """A project in Keystone."""

    id: ProjectId
    name: str
    enabled: bool
    domain_id: str = ""

    @property
    def state(self) -> ProjectState:
        return ProjectState.ENABLED if self.enabled else ProjectState.DISABLED


class Projects(Protocol):
    """A lookup of projects."""

    def by_id(self, project_id: ProjectId) -> Project:
        """The project of an id.

        Raises:
            NoSuchProjectError: Keystone has no such project.
            ProjectsError: Keystone did not answer.
        """
        ...

    def by_name(self, name: str, domain: str) -> Project:
        """The project of a name in a domain (name or id).

        Raises:
            NoSuchProjectError: Keystone has no project of that name, or no such domain.
            ProjectsError: Keystone did not answer.
        """
        ...


class KeystoneProjects:
    """`Projects` in Keystone."""

    def __init__(self, connection: Any) -> None:
        """`connection` is openstacksdk's."""
        self.connection = connection

    def everything(self) -> Mapping[ProjectId, Project]:
        """All projects that Keystone lists; a project that is missing from the list may still exist.

        Raises:
            ProjectsError: an error, a malformed page, or an incomplete list: Keystone truncated it, or the credential's
                own project is missing.
        """
        found: dict[ProjectId, Project] = {}
        url = "/projects"
        for _page in range(_MAX_PAGES):
            body = self._get(url)
            try:
                found.update((project.id, project) for project in map(_project, body["projects"]))
                following = (body.get("links") or {}).get("next")
            except (AttributeError, KeyError, TypeError) as error:
                raise ProjectsError(f"Keystone returned a malformed list of projects: {error!r}") from error
            if body.get("truncated"):
                raise ProjectsError("Keystone truncated its list of projects: raise list_limit in keystone.conf")
            if not following:
                break
            url = str(following)
        else:
            raise ProjectsError(f"Keystone's list of projects has more than {_MAX_PAGES} pages")
        own = self._own_project()
        if not found or (own and own not in found):
            raise ProjectsError(
                f"Keystone's list of {len(found)} projects is incomplete: it lacks the credential's project"
            )
        return found

    def by_id(self, project_id: ProjectId) -> Project:
        """See `Projects`."""
        try:
            body = self._get(f"/projects/{quote(project_id, safe='')}")
        except ProjectsError as error:
            if self._is_absent(error):
                raise NoSuchProjectError(f"Keystone has no project with the id {project_id}") from error
            raise
        try:
            return _project(body["project"])
        except (KeyError, TypeError) as error:
            raise ProjectsError(f"Keystone returned a malformed project {project_id}: {error!r}") from error

    def by_name(self, name: str, domain: str) -> Project:
        """See `Projects`."""
        domain_id = self._domain_id(domain)
        body = self._get(f"/projects?name={quote(name, safe='')}&domain_id={quote(domain_id, safe='')}")
        try:
            # The filter is not trusted: a server that ignores it would return any project.
            matching = [
                project
                for project in map(_project, body["projects"])
                if project.name == name and project.domain_id == domain_id
            ]
        except (KeyError, TypeError) as error:
            raise ProjectsError(f"Keystone returned a malformed list of projects: {error!r}") from error
        if len(matching) != 1:
            raise NoSuchProjectError(f"Keystone has no project named {name!r} in the domain {domain!r}")
        return matching[0]

    def _domain_id(self, domain: str) -> str:
        body = self._get(f"/domains?name={quote(domain, safe='')}")
        for found in body.get("domains", ()):
            if found.get("name") == domain:
                return str(found["id"])
        try:
            return str(self._get(f"/domains/{quote(domain, safe='')}")["domain"]["id"])
        except ProjectsError as error:
            if self._is_absent(error):
                raise NoSuchProjectError(f"Keystone has no domain {domain!r}") from error
            raise

    def _is_absent(self, error: ProjectsError) -> bool:
        """Whether Keystone has no such object.

        Keystone also answers 404 for everything if the credential's own project is disabled.

        Raises:
            ProjectsError: Keystone does not accept this credential at all.
        """
        if not _is_keystones_not_found(error.__cause__):
            return False
        self._get("/auth/projects")
        return True

    def _own_project(self) -> str | None:
        try:
            return self.connection.current_project_id  # type: ignore[no-any-return]
        except (openstack.exceptions.SDKException, ksa_exceptions.ClientException) as error:
            raise ProjectsError(f"Keystone: {error}") from error

    def _get(self, url: str) -> Any:
        try:
            # The SDK's `projects()` hides how a list ended, so only its session, retries and errors are used.
            response = self.connection.identity.get(url)
            openstack.exceptions.raise_from_response(response)
            return response.json()
        except (openstack.exceptions.SDKException, ksa_exceptions.ClientException, ValueError) as error:
            raise ProjectsError(f"Keystone: {error}") from error


def _is_keystones_not_found(error: BaseException | None) -> bool:
    """Whether the 404 comes from Keystone itself.

    A proxy that cannot reach Keystone may return 404 too, with another body.
    """
    if not isinstance(error, openstack.exceptions.NotFoundException | ksa_exceptions.NotFound):
        return False
    response = error.response
    try:
        return response is not None and bool(response.json()["error"]["code"] == HTTPStatus.NOT_FOUND)
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def connect_projects(*, timeout_seconds: float = 10) -> KeystoneProjects:
    """Connects to the Keystone in the environment.

    Raises:
        ProjectsError: no usable credential in `OS_*` or `clouds.yaml`.
    """
    try:
        connection = openstack.connect(app_name="osfaas-controller", api_timeout=timeout_seconds)
    except (openstack.exceptions.SDKException, ksa_exceptions.ClientException) as error:
        raise ProjectsError(f"no usable OpenStack credential: {str(error).rstrip('.')}. {CREDENTIAL_HINT}") from error
    return KeystoneProjects(connection)


def _project(entry: Mapping[str, Any]) -> Project:
    return Project(
        ProjectId(entry["id"]), entry["name"], bool(entry.get("enabled", True)), entry.get("domain_id") or ""
    )
