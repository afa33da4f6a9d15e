"""Errors of commands, each with the sentence that the user reads."""


class CommandError(Exception):
    """The command failed; the message is the sentence that its user reads."""


class TokenRefusedError(CommandError):
    """The service did not accept the token: it may have been revoked before its time."""
