"""The error of the builders, one sentence for the administrator."""


class PolicyError(ValueError):
    """The specification cannot be built on this platform or with these limits; the message contains the remedy."""
