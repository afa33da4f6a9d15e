"""What the builders refuse, in one sentence for the administrator."""


class PolicyError(ValueError):
    """What is wanted cannot be had on this platform or with these limits; the message says what to change."""
