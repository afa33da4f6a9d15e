"""Errors of commands. Their messages are shown to the user."""


class CommandError(Exception):
    """The command failed; the message is one or two complete sentences."""


class TokenRefusedError(CommandError):
    """The service rejected the token, which may have been revoked."""
