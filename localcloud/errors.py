"""The error of the local cloud."""


class CloudError(Exception):
    """A service of the local cloud failed; the message has the reason and the log file."""
