"""The directory: which tenant a Keystone project is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from policies.names import NamespaceName, ProjectId


@dataclass(frozen=True, slots=True)
class FunctionAddress:
    """Where a function is called.

    Attributes:
        url: base URL to connect to, without a trailing slash.
        host: value of the Host header by which an ingress routes; None: the URL's own.
    """

    url: str
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """An onboarded project.

    Attributes:
        project_id: the Keystone project.
        namespace: its Kubernetes namespace.
        functions: the functions that it may call, by name.
        suspended: why it is suspended, or None.
    """

    project_id: ProjectId
    namespace: NamespaceName
    functions: Mapping[str, FunctionAddress]
    suspended: str | None = None


class TenantDirectory(Protocol):
    """Read by the gateway on every call, so it answers from memory."""

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        """The tenant of a project.

        Raises:
            NotOnboardedError: there is none.
        """
        ...
