"""A sweep as JSON: its operation, and how far it has come."""

import time

from gateway.operations.document import operation_document, time_text
from operations.store.model import Operation
from operations.store.sweeps import SweepPosition


def sweep_document(
    operation: Operation, position: SweepPosition | None, *, now_ms: int | None = None
) -> dict[str, object]:
    """The document of a sweep (`Sweep` in the OpenAPI document)."""
    document = operation_document(operation)
    total = None if position is None else {"bytes": position.bytes_total, "objects": position.objects_total}
    document["total"] = total or {"bytes": None, "objects": None}
    document["estimated_end"] = time_text(
        None if operation.finished else _estimated_end(operation, position, now_ms or int(time.time() * 1000))
    )
    document["links"] = [
        {"rel": "self", "href": f"/v1/sweeps/{operation.id}"},
        {"rel": "operation", "href": f"/v1/operations/{operation.id}"},
        {"rel": "result", "href": f"/v1/operations/{operation.id}/result"},
    ]
    return document


def _estimated_end(operation: Operation, position: SweepPosition | None, now_ms: int) -> int | None:
    """By the slower one of objects and bytes, at the speed so far; None while nothing can be said."""
    if position is None or operation.started_at is None:
        return None
    shares = [
        done / total
        for done, total in (
            (operation.objects_done, position.objects_total),
            (operation.bytes_done, position.bytes_total),
        )
        if total
    ]
    share = min(shares, default=0)
    if share <= 0:
        return None
    elapsed = max(0, now_ms - operation.started_at)
    return now_ms + int(elapsed * (1 / min(share, 1) - 1))
