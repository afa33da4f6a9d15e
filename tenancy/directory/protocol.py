"""The tenant directory as the gateway uses it: tenants by Keystone project, with the addresses of their functions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from policies.model import Limits
from policies.names import NamespaceName, ProjectId


@dataclass(frozen=True, slots=True)
class FunctionProblem:
    """Why a function does not run, as last reported by the controller.

    Attributes:
        reason: Kubernetes' or Knative's word; see `tenancy.model.reasons`.
        message: the explanation for callers.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class FunctionAddress:
    """The address of a function.

    Attributes:
        url: base URL to connect to, without a trailing slash.
        host: value of the Host header by which an ingress routes; None: the URL's own.
        callable: whether callers may send it their own requests (/v1/invoke).
        problem: why it does not run; None if no reason is known.
        objects: whether it takes objects as inputs and outputs: then the query's parameters for them are the gateway's.
        tags: names under which some of its revisions can be called by themselves.
        revision: that gets all of its calls; "": several share them, or it is not known.
        memory_mib: of one of its pods; 0: not known.
    """

    url: str
    host: str | None = None
    callable: bool = False
    problem: FunctionProblem | None = None
    objects: bool = False
    tags: tuple[str, ...] = ()
    revision: str = ""
    memory_mib: int = 0

    def tagged(self, tag: str) -> "FunctionAddress | None":
        """The address of the revision with this tag; None if there is none.

        Knative's name of its host (`tag-template`). Only tags in the function's status have one.
        """
        if tag not in self.tags or self.host is None:
            return None
        return replace(self, host=f"{tag}-{self.host}", revision=f"@{tag}")


@dataclass(frozen=True, slots=True)
class Tenant:
    """An onboarded project.

    Attributes:
        project_id: the Keystone project.
        namespace: its Kubernetes namespace.
        functions: the functions that it may call, by name.
        suspended: why it is suspended, or None.
        limits: its limits; None: the gateway's settings.
        domain_id: of the project; "": not known, or the project is deleted.
    """

    project_id: ProjectId
    namespace: NamespaceName
    functions: Mapping[str, FunctionAddress]
    suspended: str | None = None
    limits: Limits | None = None
    domain_id: str = ""


class DomainDirectory(Protocol):
    """A lookup of a domain's tenants from memory."""

    def namespaces_in(self, domain_id: str) -> frozenset[NamespaceName]:
        """The namespaces of the tenants that are known to be of this domain."""
        ...


class TenantDirectory(Protocol):
    """A lookup of tenants from memory, used on every call."""

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        """The tenant of a project.

        Raises:
            NotOnboardedError: the project has no tenant.
            DirectoryError: the directory has not been loaded yet.
        """
        ...

    def sync_age_seconds(self) -> float | None:
        """Seconds since the last contact with the source of the directory; None before the first."""
        ...
