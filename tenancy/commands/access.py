"""Access of administrators' commands to the cluster and to Keystone."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from policies.errors import PolicyError
from policies.names import ProjectId, namespace_of
from tenancy.model.errors import (
    ClusterError,
    NoSuchProjectError,
    NotOnboardedError,
    ProjectsError,
    RecordError,
    TenancyError,
    UnavailableError,
)

# Loading the clients of Kubernetes and OpenStack takes ten times as long as help and completion.
if TYPE_CHECKING:
    from policies.model import Platform
    from tenancy.keystone_projects import KeystoneProjects, Project
    from tenancy.kubernetes.client import Cluster
    from tenancy.model.trigger import TriggerRecord
    from tenancy.repository import KubernetesTenantRepository

F = TypeVar("F", bound=Callable[..., None])

REFUSED, NOT_IN_TIME, NO_SUCH, UNAVAILABLE = 1, 3, 4, 5
EXIT_CODES = (
    "Exit codes: 0 done, 1 refused, 2 wrong usage, 3 not ready in time, 4 no such project or tenant, 5 no response."
)


@dataclass
class Access:
    """Lazily opened connections: showing a tenant by id needs no Keystone.

    Attributes:
        find_project: finds the id of a project by id or name and domain; None: Keystone as the environment says.
    """

    kubeconfig: Path | None
    context: str | None
    platform_file: Path | None
    find_project: Callable[[str, str | None], str] | None = None

    @cached_property
    def cluster(self) -> "Cluster":
        """The cluster."""
        from tenancy.kubernetes.client import connect

        return connect(self.kubeconfig, context=self.context)

    @cached_property
    def tenants(self) -> "KubernetesTenantRepository":
        """The records."""
        from tenancy.repository import KubernetesTenantRepository

        return KubernetesTenantRepository(self.cluster)

    def triggers_of(self, project_id: ProjectId) -> "tuple[TriggerRecord, ...]":
        """The triggers of a tenant; none if they cannot be read, because no other work depends on them."""
        from tenancy.trigger_repository import KubernetesTriggerRepository

        try:
            return KubernetesTriggerRepository(self.cluster).list(namespace_of(project_id))
        except (ClusterError, RecordError):
            return ()

    @cached_property
    def projects(self) -> "KeystoneProjects":
        """Keystone."""
        from tenancy.keystone_projects import connect_projects

        return connect_projects()

    @property
    def platform(self) -> "Platform | None":
        """The platform, if a platform file was given."""
        from tenancy.platform.platform_file import read_platform

        return read_platform(self.platform_file) if self.platform_file else None

    def project(self, word: str, domain: str | None) -> "Project":
        """Finds a project by id, or by name in a domain.

        Raises:
            ProjectsError: there is no such project, or Keystone did not answer.
        """
        if domain is None:
            try:
                return self.projects.by_id(ProjectId(word))
            except NoSuchProjectError:
                domain = os.environ.get("OS_PROJECT_DOMAIN_NAME") or os.environ.get("OS_PROJECT_DOMAIN_ID") or "Default"
        return self.projects.by_name(word, domain)

    def tenant_id(self, word: str, domain: str | None) -> ProjectId:
        """Project id of a tenant. A known id needs no Keystone, so a deleted project works too.

        Raises:
            ProjectsError: there is no such project, or Keystone did not answer.
            ClusterError: the cluster did not answer.
        """
        if domain is None and self.tenants.get(ProjectId(word)) is not None:
            return ProjectId(word)
        if self.find_project is not None:
            return ProjectId(self.find_project(word, domain))
        return self.project(word, domain).id


@contextmanager
def report_errors() -> Iterator[None]:
    """Prints errors of this product to stderr and exits with their code."""
    try:
        yield
    except (TenancyError, PolicyError) as error:
        click.echo(f"osfaas: {error}", err=True)
        sys.exit(exit_code_of(error))


def exit_code_of(error: Exception) -> int:
    """The exit code of an error; see `EXIT_CODES`."""
    if isinstance(error, NoSuchProjectError | NotOnboardedError):
        return NO_SUCH
    if isinstance(error, UnavailableError | ProjectsError):
        return UNAVAILABLE
    return REFUSED


def project_argument(function: F) -> F:
    """Adds the argument PROJECT and the option --domain."""
    named = click.argument("project", metavar="PROJECT")(function)
    return click.option(
        "--domain",
        help="Domain (name or id) of the project's name. Without it, PROJECT is an id, or a name in "
        "$OS_PROJECT_DOMAIN_NAME or Default.",
    )(named)
