"""Errors of the store."""


class StoreError(Exception):
    """The base of the store's errors."""


class DatabaseUnavailableError(StoreError):
    """The database does not answer, or all of its connections are in use for too long."""


class TablesMissingError(DatabaseUnavailableError):
    """The database lacks tables or columns that this version uses."""


class SchemaError(StoreError):
    """The tables are not those that this version needs; the message says what to do."""


class QueueFullError(StoreError):
    """The project has as many unfinished operations, or as many stored bytes, as it may have."""

    def __init__(self, *, what: str, limit: int) -> None:
        super().__init__(f"{what}: {limit}")
        self.what, self.limit = what, limit


class KeyReusedError(StoreError):
    """The idempotency key belongs to another request."""


class KeyInUseError(StoreError):
    """The operation with the idempotency key has not ended."""

    def __init__(self, operation_id: str) -> None:
        super().__init__(operation_id)
        self.operation_id = operation_id


class DelegationEndedError(StoreError):
    """The delegation has ended since it was looked up; a new one is needed."""
