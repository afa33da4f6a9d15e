"""Values that go into the store and come out of it."""

import json
import os
import time
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import RowMapping

Fields = tuple[tuple[bytes, bytes], ...]


class State(StrEnum):
    """States of an operation. The last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


UNFINISHED = (State.QUEUED, State.RUNNING)
# Dead letters: what `retry` starts again.
RETRIABLE = (State.FAILED, State.EXPIRED)


class CallbackState(StrEnum):
    """States of a callback."""

    WAITING = "waiting"
    DUE = "due"
    DELIVERED = "delivered"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """A body that is kept in an object of the caller's project.

    Attributes:
        etag: without quotes; with the size it tells whether the object is still the one that was written.
        size: bytes.
    """

    container: str
    name: str
    etag: str
    size: int

    @property
    def path(self) -> str:
        """Container and name, for people."""
        return f"{self.container}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that a worker sends to the gateway later.

    Attributes:
        target: path and query, as the caller sent them.
        fields: names in lower case; without credentials.
        body: empty if `stored` has it.
        stored: None: the body is here.
    """

    method: str
    target: bytes
    fields: Fields
    body: bytes
    stored: StoredObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer to the request, byte for byte. `stored` has its body, or, if it is None, `body`."""

    status: int
    fields: Fields
    body: bytes
    stored: StoredObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOperation:
    """An operation to be accepted.

    Attributes:
        id: see `new_id`.
        kind: `invoke`, `checksums` or `sweep`.
        subject: what it is about, for people: the function, or the path of the object.
        request_id: of the request that asked for it.
        fingerprint: tells whether two requests with one idempotency key are the same.
        repeatable: whether it may be repeated after its request was sent.
        max_age_ms: when it expires if it has not begun.
        retention_ms: how long it is kept after its end.
        callback_url: None: no callback.
    """

    id: str
    project_id: str
    user_id: str
    kind: str
    subject: str
    request_id: str
    request: Request
    fingerprint: str
    repeatable: bool
    delegation_id: str | None
    max_age_ms: int
    retention_ms: int
    idempotency_key: str | None = None
    callback_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation as it is stored, without its request and result. Times are in milliseconds since the epoch.

    Attributes:
        due_at: when the next attempt may begin.
        expires_at: when it expires if no attempt has succeeded.
        keep_until: when its record is deleted; None before its end.
        attempts: how many were begun.
        bytes_done, objects_done: progress.
    """

    id: str
    project_id: str
    user_id: str
    kind: str
    subject: str
    state: State
    request_id: str
    fingerprint: str
    created_at: int
    due_at: int
    expires_at: int
    started_at: int | None
    finished_at: int | None
    keep_until: int | None
    attempts: int
    cancel_requested: bool
    bytes_done: int
    objects_done: int
    error_code: str | None
    error_message: str | None

    @property
    def finished(self) -> bool:
        """Whether its state is final."""
        return self.state not in UNFINISHED

    @property
    def retriable(self) -> bool:
        """Whether it is a dead letter: it ended without success, and can be started again."""
        return self.state in RETRIABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An operation that a worker has to do.

    Attributes:
        fence: number of this claim; the store accepts nothing about an earlier one.
        repeatable: whether it may be repeated after its request was sent.
        age_ms: since it was accepted.
        retention_ms: how long it is kept after its end.
        trust_id: the trust with which it is done; None if it has none.
    """

    id: str
    project_id: str
    user_id: str
    kind: str
    subject: str
    fence: int
    attempts: int
    repeatable: bool
    age_ms: int
    remaining_ms: int
    retention_ms: int
    request: Request
    trust_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an operation has no answer, or not the one that was wanted."""

    code: str
    message: str


def new_id() -> str:
    """A new identifier: UUID version 7 (RFC 9562), so that younger records have greater ones."""
    value = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def fields_text(fields: Fields) -> str:
    """Header fields as they are stored: bytes as Latin-1 in JSON."""
    return json.dumps([[name.decode("latin-1"), value.decode("latin-1")] for name, value in fields])


def fields_of(stored: str) -> Fields:
    """The inverse of `fields_text`."""
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in json.loads(stored))


def operation_of(row: RowMapping) -> Operation:
    """An operation of a row."""
    values = {name: row[name] for name in Operation.__dataclass_fields__}
    return Operation(**{**values, "state": State(row["state"]), "cancel_requested": bool(row["cancel_requested"])})
