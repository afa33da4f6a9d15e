"""Errors of the tenancy package; who shows them decides how they look."""


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
