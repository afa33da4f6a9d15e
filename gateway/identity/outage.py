"""The error of an unreachable Keystone, independent of the validated token."""

from gateway.errors import ErrorCode, GatewayError


class OutageError(GatewayError):
    """Keystone gave no answer, or one that is not about the validated token.

    Only this error lets a recently accepted token pass; an unparsable answer does not.
    """

    def __init__(self, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(ErrorCode.KEYSTONE_UNAVAILABLE, retry_after_seconds=retry_after_seconds)
