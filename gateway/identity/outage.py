"""Keystone could not be asked, which says nothing of any token."""

from gateway.errors import ErrorCode, GatewayError


class OutageError(GatewayError):
    """No answer, or one that is about Keystone or us and not about the token that was asked about.

    Only this lets a caller in who was known a moment ago: an answer that is not understood does not.
    """

    def __init__(self, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(ErrorCode.KEYSTONE_UNAVAILABLE, retry_after_seconds=retry_after_seconds)
