"""The error of this package. Its messages contain the remedy."""

from tenancy.model.errors import TenancyError


class PlatformError(TenancyError):
    """A part of the platform cannot be read or installed, or does not become ready."""
