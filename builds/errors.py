"""Errors of builds. Their messages are shown to the user: complete sentences, and what to do."""


class BuildError(Exception):
    """The build failed because of what was given to it; building again changes nothing."""


class ArchiveError(BuildError):
    """The archive is refused."""


class RuntimeNotFoundError(BuildError):
    """The folder has no function, or several."""


class DependencyError(BuildError):
    """A dependency cannot be installed."""


class RegistryError(BuildError):
    """The registry refused a request."""


class TemporaryError(BuildError):
    """The registry, the index or the source did not answer; building again may succeed."""
