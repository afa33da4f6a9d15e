"""Errors of the tenancy package. Their messages contain the remedy; callers decide how to show them.

TenancyError
├── NotOnboardedError        no tenant for this project
├── DirectoryError           the gateway's directory
├── RecordError              a Tenant object
├── PlatformFileError        the platform file
├── FunctionError            a change of a function is refused
│   ├── NoSuchFunctionError  the project has no function of this name
│   ├── PreconditionError    it is not in the expected state
│   ├── TooLargeError        its pods do not fit into the limits
│   └── TooManyError         the project or its domain has as many as it may have
├── SecretError              a change of a secret is refused
│   ├── NoSuchSecretError    the project has no secret of this name
│   ├── SecretPreconditionError  it is not in the expected state
│   ├── SecretInUseError     functions use it
│   └── TooManySecretsError  the project has as many as it may have
├── AdministrationError      not allowed in the tenant's current state
├── ProjectsError            Keystone gave no complete answer; nothing may be concluded
│   └── NoSuchProjectError   Keystone has no such project
└── ClusterError             the Kubernetes API
    ├── UnavailableError     it did not respond, or asks to retry later
    ├── ForbiddenError       a permission is missing, or admission rejects the request
    ├── ConflictError        another writer owns a field, or was faster
    ├── ExpiredError         a watch or a list must be restarted
    ├── NotFoundError        the object does not exist
    └── KindMissingError     the cluster does not serve this kind
"""

from policies.own_function import Shortage


class TenancyError(Exception):
    """Base of all errors of this package."""


class NotOnboardedError(TenancyError):
    """The project has no tenant."""


class DirectoryError(TenancyError):
    """The directory cannot be read or is malformed; the message names the problem and the place."""


class RecordError(TenancyError):
    """A Tenant object is malformed; the message names the object and the problem."""


class PlatformFileError(TenancyError):
    """The platform file cannot be read or is invalid; the message names the file and the fields."""


class FunctionError(TenancyError):
    """A change of a tenant's own function is refused; the message is one clause with the remedy."""


class NoSuchFunctionError(FunctionError):
    """The project has no function of this name."""


class PreconditionError(FunctionError):
    """The function is not in the state that the change expects."""


class TooLargeError(FunctionError):
    """The pods of the function do not fit into the project's limits.

    Attributes:
        over: the limits that they exceed.
    """

    def __init__(self, message: str, over: tuple[Shortage, ...] = ()) -> None:
        self.over = over
        super().__init__(message)


class TooManyError(FunctionError):
    """The project, or its domain, has as many functions, or triggers, as it may have.

    Attributes:
        usage, limit: numbers of them.
        domain_id: the domain, if its projects have as many together; otherwise "".
    """

    def __init__(self, usage: int, limit: int, message: str = "", *, domain_id: str = "") -> None:
        self.usage = usage
        self.limit = limit
        self.domain_id = domain_id
        owner = f"with all projects, the domain {domain_id}" if domain_id else "the project"
        super().__init__(message or f"{owner} has {usage} functions of its own, and its limit is {limit}")


class SecretError(TenancyError):
    """A change of a secret is refused; the message is one clause with the remedy, and never has a value."""


class NoSuchSecretError(SecretError):
    """The project has no secret of this name."""


class SecretPreconditionError(SecretError):
    """The secret is not in the state that the change expects."""


class SecretInUseError(SecretError):
    """Functions use the secret, or its earlier values."""


class TooManySecretsError(SecretError):
    """The project has as many secrets as it may have.

    Attributes:
        usage, limit: numbers of secrets.
    """

    def __init__(self, usage: int, limit: int) -> None:
        self.usage = usage
        self.limit = limit
        super().__init__(f"the project has {usage} secrets, and its limit is {limit}")


class AdministrationError(TenancyError):
    """The operation is not allowed in the tenant's current state; the message gives the reason."""


class ProjectsError(TenancyError):
    """Keystone did not respond, or not completely: nothing may be concluded."""


class NoSuchProjectError(ProjectsError):
    """Keystone has no such project."""


class ClusterError(TenancyError):
    """The Kubernetes API rejected a request; the message is its own, with the request."""


class UnavailableError(ClusterError):
    """The Kubernetes API does not respond, or asks to retry later."""


class ForbiddenError(ClusterError):
    """A permission is missing, or an admission policy rejects the request."""


class ConflictError(ClusterError):
    """Another field manager owns a field, the object has changed since it was read, or it exists already."""


class ExpiredError(ClusterError):
    """The resourceVersion is too old: list again."""


class NotFoundError(ClusterError):
    """The object does not exist."""


class KindMissingError(ClusterError):
    """The cluster does not serve this kind: Istio, Knative or our CRD is not installed."""
