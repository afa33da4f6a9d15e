"""References to bodies that are objects of the caller's project: their rows, and nothing of the objects themselves."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, delete, insert, select

from operations.store.model import Request, Result, StoredObject, fields_of, fields_text
from operations.store.schema import request_objects, result_objects

_REFERENCE = ("container", "name", "etag", "size")
_R = request_objects.c
# Beside the columns of `operation_requests` in the row of a claim.
CLAIM_COLUMNS = (_R.target.label("object_target"), *(_R[name].label(f"object_{name}") for name in _REFERENCE))


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationReferences:
    """The objects of an operation; None: there is none."""

    request: StoredObject | None
    result: StoredObject | None


def stand_in(operation_id: str) -> bytes:
    """The target in the row of a request whose body is an object: a path of the API that has no route."""
    return f"/v1/operations/{operation_id}/request".encode("ascii")


def add_request(connection: Connection, operation_id: str, request: Request) -> None:
    """Stores where the body of a request is, if it is an object."""
    if request.stored is not None:
        target = request.target.decode("ascii")
        connection.execute(
            insert(request_objects).values(operation_id=operation_id, target=target, **_values(request.stored))
        )


def claimed_request(row: RowMapping) -> Request:
    """The request in the row of a claim."""
    stored = row["object_target"] is not None
    target: str = row["object_target"] if stored else row["target"]
    return Request(
        method=row["method"],
        target=target.encode("ascii"),
        fields=fields_of(row["fields"]),
        body=bytes(row["body"]),
        stored=StoredObject(**{name: row[f"object_{name}"] for name in _REFERENCE}) if stored else None,
    )


def add_result(connection: Connection, operation_id: str, result: Result, stored: StoredObject) -> None:
    """Stores an answer whose body is an object, in place of an earlier one."""
    remove(connection, result_objects, operation_id)
    head = {"status": result.status, "fields": fields_text(result.fields)}
    connection.execute(insert(result_objects).values(operation_id=operation_id, **head, **_values(stored)))


def result_of(connection: Connection, operation_id: str) -> Result | None:
    """The answer of an operation whose body is an object; None if there is none."""
    row = _row(connection, result_objects, operation_id)
    if row is None:
        return None
    return Result(status=row["status"], fields=fields_of(row["fields"]), body=b"", stored=_reference(row))


def references(connection: Connection, operation_id: str) -> OperationReferences:
    """The objects of an operation."""
    request, result = (_row(connection, table, operation_id) for table in (request_objects, result_objects))
    return OperationReferences(
        request=None if request is None else _reference(request), result=None if result is None else _reference(result)
    )


def remove(connection: Connection, table: Table, operation_id: str) -> None:
    """Forgets a reference."""
    connection.execute(delete(table).where(table.c.operation_id == operation_id))


def _row(connection: Connection, table: Table, operation_id: str) -> RowMapping | None:
    return connection.execute(select(table).where(table.c.operation_id == operation_id)).mappings().first()


def _reference(row: RowMapping) -> StoredObject:
    return StoredObject(**{name: row[name] for name in _REFERENCE})


def _values(stored: StoredObject) -> dict[str, Any]:
    return {name: getattr(stored, name) for name in _REFERENCE}
