"""Errors of the tenancy package; who shows them decides how they look. Their messages say what to do.

TenancyError
├── NotOnboardedError        no tenant for this project
├── DirectoryError           the gateway's directory
├── RecordError              a Tenant object
├── PlatformFileError        the platform file
├── AdministrationError      an administrator asks for what is not allowed now
├── ProjectsError            Keystone gave no usable answer; nothing follows from it
│   └── NoSuchProjectError   Keystone says that there is no such project
└── ClusterError             the Kubernetes API
    ├── UnavailableError     it did not answer, or asks to come back later
    ├── ForbiddenError       a right is missing, or admission refuses
    ├── ConflictError        somebody else owns a field, or was faster
    ├── ExpiredError         a watch or a list has to be started anew
    ├── NotFoundError        the object is not there
    └── KindMissingError     the cluster does not know such a kind of object
"""


class TenancyError(Exception):
    """Base of all of them."""


class NotOnboardedError(TenancyError):
    """The project has no tenant."""


class DirectoryError(TenancyError):
    """The directory cannot be read or is not well formed; the message says what and where."""


class RecordError(TenancyError):
    """A Tenant object is not as it should be; the message says which and what."""


class PlatformFileError(TenancyError):
    """The platform file cannot be read or is not as it should be; the message names the file and the fields."""


class AdministrationError(TenancyError):
    """What an administrator asks for is not allowed in the tenant's present state; the message says why."""


class ProjectsError(TenancyError):
    """Keystone did not answer, or not in full: nothing may be concluded."""


class NoSuchProjectError(ProjectsError):
    """Keystone says that there is no such project."""


class ClusterError(TenancyError):
    """The Kubernetes API refuses; the message is its own, with what was asked."""


class UnavailableError(ClusterError):
    """The Kubernetes API does not answer, or asks to come back later."""


class ForbiddenError(ClusterError):
    """We may not do this, or an admission policy refuses it."""


class ConflictError(ClusterError):
    """Another field manager owns a field, the object has changed since it was read, or it exists already."""


class ExpiredError(ClusterError):
    """The resourceVersion is too old: list anew."""


class NotFoundError(ClusterError):
    """The object is not there."""


class KindMissingError(ClusterError):
    """The cluster does not know such a kind; what brings it (Istio, Knative, our CRD) is not installed."""
