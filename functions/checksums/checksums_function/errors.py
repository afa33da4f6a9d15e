"""The closed list of failures, and the only file that knows their form on the wire."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Names of the failures. Callers branch on them, so a name never changes its meaning."""

    BAD_REQUEST = "bad_request"
    UNKNOWN_ALGORITHM = "unknown_algorithm"
    OBJECT_CHANGED = "object_changed"
    SOURCE_REFUSED = "source_refused"
    SOURCE_MISSING = "source_missing"
    SOURCE_INCOMPLETE = "source_incomplete"
    SOURCE_UNREACHABLE = "source_unreachable"
    SHORT_READ = "short_read"
    TOO_BUSY = "too_busy"
    INTERNAL = "internal"


STATUS: dict[Code, int] = {
    Code.BAD_REQUEST: 400,
    Code.UNKNOWN_ALGORITHM: 400,
    Code.SOURCE_REFUSED: 403,
    Code.SOURCE_MISSING: 404,
    Code.SOURCE_INCOMPLETE: 409,
    Code.OBJECT_CHANGED: 409,
    Code.INTERNAL: 500,
    Code.SOURCE_UNREACHABLE: 502,
    Code.SHORT_READ: 502,
    Code.TOO_BUSY: 503,
}


class ChecksumsError(Exception):
    """A failure whose message may be shown to the caller: it never contains a URL's query, which is a signature."""

    def __init__(self, code: Code, message: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after_seconds = retry_after_seconds

    @property
    def status(self) -> int:
        """The HTTP status. After a heartbeat it can no longer be sent, so the document contains it too."""
        return STATUS[self.code]

    def document(self) -> dict[str, object]:
        """The JSON object of the answer."""
        return {"error": {"code": self.code.value, "message": self.message, "status": self.status}}


class Stopped(Exception):  # noqa: N818 - not an error: no caller waits for the answer any more
    """The caller has disconnected; threads that read or hash for it must stop at once."""
