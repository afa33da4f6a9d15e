"""The error of this package; its messages say what to do."""

from tenancy.model.errors import TenancyError


class PlatformError(TenancyError):
    """Something of the platform cannot be read, installed, or does not become ready."""
