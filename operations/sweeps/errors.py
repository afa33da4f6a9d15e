"""Why a sweep stops."""

from gateway.errors import ErrorCode, GatewayError

_FIRST_FAULT, _TOO_MANY = 500, 429
_CONFLICT = 409


class SweepError(Exception):
    """A sweep cannot go on now.

    Attributes:
        code, message: of the error, for its owner.
        passing: whether it may go on later.
        retry_after_seconds: when.
    """

    def __init__(self, code: str, message: str, *, passing: bool = False, retry_after_seconds: float = 0) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.passing = passing
        self.retry_after_seconds = retry_after_seconds


class TokenRejectedError(Exception):
    """The store or the gateway does not accept the token: it may have expired, or its authority is gone."""


def is_passing(status: int) -> bool:
    """Whether a refusal with this status may be none later."""
    return status >= _FIRST_FAULT or status in {_TOO_MANY, _CONFLICT}


def stopped_by(error: Exception) -> SweepError:
    """What an error means for a sweep."""
    if isinstance(error, SweepError):
        return error
    rejected = ErrorCode.TOKEN_INVALID
    if isinstance(error, TokenRejectedError) or (isinstance(error, GatewayError) and error.kind is rejected):
        # Whether the authority is gone is asked at the beginning of the next attempt; the token alone may be too old.
        return SweepError(rejected.code, rejected.value.sentence, passing=True, retry_after_seconds=1)
    assert isinstance(error, GatewayError)
    return SweepError(
        error.kind.code,
        error.message,
        passing=is_passing(error.kind.status),
        retry_after_seconds=error.retry_after_seconds or 0,
    )
