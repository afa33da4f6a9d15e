"""The directory: which tenant a Keystone project is, and where its functions are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from policies.model import Limits
from policies.names import NamespaceName, ProjectId


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a function does not run, as the controller saw it last.

    Attributes:
        reason: `QuotaExceeded`, `ImagePull`, `CrashLoop`, `Unschedulable`, `NotReady`, ...
        message: the same in words.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class FunctionAddress:
    """Where a function is called.

    Attributes:
        url: base URL to connect to, without a trailing slash.
        host: value of the Host header by which an ingress routes; None: the URL's own.
        callable: whether callers may send it requests of their own (/v1/invoke).
        trouble: why it does not run; None as far as is known.
    """

    url: str
    host: str | None = None
    callable: bool = False
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """An onboarded project.

    Attributes:
        project_id: the Keystone project.
        namespace: its Kubernetes namespace.
        functions: the functions that it may call, by name.
        suspended: why it is suspended, or None.
        limits: what it may use at once; None: the gateway's settings decide.
    """

    project_id: ProjectId
    namespace: NamespaceName
    functions: Mapping[str, FunctionAddress]
    suspended: str | None = None
    limits: Limits | None = None


class TenantDirectory(Protocol):
    """Read by the gateway on every call, so it answers from memory."""

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        """The tenant of a project.

        Raises:
            NotOnboardedError: there is none.
            DirectoryError: the directory has not been read yet.
        """
        ...

    def contact_age_seconds(self) -> float | None:
        """How long ago what the directory is made from was last seen; None before the first time."""
        ...
