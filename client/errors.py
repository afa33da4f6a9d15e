"""Errors of commands. Their messages are shown to the user."""

from __future__ import annotations


class CommandError(Exception):
    """The command failed; the message is one or two complete sentences.

    Attributes:
        status: HTTP status of the service's answer; None if there was none.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class TokenRefusedError(CommandError):
    """The service rejected the token, which may have been revoked."""


class WrongUsageError(CommandError):
    """What was given cannot be meant; nothing was sent."""


class UnreachableError(CommandError):
    """Nobody answered: there was no connection, or a proxy had no service behind it."""


class NotInTimeError(CommandError):
    """What was waited for has not happened within the time, and may still happen."""
