"""Records of calls, their sums by hour, and questions about these. Each function is one transaction.

A record counts once, however often it is stored: its id is its key, and the sums are changed in the transaction that
inserts it. Attempts at one asynchronous call have one id, and are one record.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from operations.store.clock import now_ms
from operations.store.schema import usage_hours, usage_records

_R, _H = usage_records.c, usage_hours.c
_PORTION = 1_000
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One finished call.

    Attributes:
        id: of the call: of its request, or of the operation that the request is an attempt at.
        function: "": no function of the project was named.
        revision: "": not known.
        outcome: the responsible side, as in the access log.
        status: of the answer; 499: the caller had left.
        started_at: milliseconds since the epoch.
        duration_ms: from the head of the request to the end of its answer.
        function_ms: of all exchanges with functions.
        mib_ms: the same times the memory of a pod of the function.
        requests: how often it counted against the rate limit.
        object_bytes: of objects, as charged to the project.
    """

    id: str
    project_id: str
    user_id: str
    function: str
    revision: str
    outcome: str
    status: int
    started_at: int
    duration_ms: int
    function_ms: int
    mib_ms: int
    cold_start: bool
    requests: int
    request_bytes: int
    response_bytes: int
    object_bytes: int


# Sums of a row, in the order of documents.
SUMS = (
    "calls",
    "failed",
    "cold_starts",
    "requests",
    "duration_ms",
    "function_ms",
    "mib_ms",
    "request_bytes",
    "response_bytes",
    "object_bytes",
)
# An answer that the caller got from the function or from us; all other outcomes are failures.
ANSWERED = "answered"
GROUPS: Mapping[str, ColumnElement[Any]] = {
    "hour": _H.hour,
    "day": _H.hour - _H.hour % DAY_MS,
    "project": _H.project_id,
    "user": _H.user_id,
    "function": _H.function,
    "revision": _H.revision,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuestion:
    """A question about usage.

    Attributes:
        project_id: None: of all projects.
        start, end: milliseconds since the epoch, both at the beginning of an hour; the end is excluded.
        groups: names in `GROUPS`; rows are in their order.
        limit: maximum number of rows.
        after: the groups of the row before the first one; None: from the beginning.
    """

    project_id: str | None
    start: int
    end: int
    groups: tuple[str, ...]
    limit: int
    after: tuple[str | int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """The sums of one group."""

    group: tuple[str | int, ...]
    sums: Mapping[str, int]


def store(connection: Connection, records: Sequence[CallRecord]) -> int:
    """Stores records of calls, and returns how many were not there yet.

    Raises:
        IntegrityError: another process has stored one of them at the same time; nothing was changed.
    """
    ids = {record.id for record in records}
    # In one order in every process, as below.
    wanted = select(usage_records).where(_R.id.in_(ids)).order_by(_R.id).with_for_update()
    before = {row["id"]: _record_of(row) for row in connection.execute(wanted).mappings()}
    after = with_attempts(before, records)
    new = [asdict(record) for record in after.values() if record.id not in before]
    changed = [record for record in after.values() if record.id in before]
    if new:
        connection.execute(insert(usage_records), new)
    for record in changed:
        connection.execute(update(usage_records).where(_R.id == record.id).values(**asdict(record)))
    # In one order in every process, so that transactions do not wait for each other in a circle.
    sums = sums_by_hour(after.values(), replaced=[before[record.id] for record in changed])
    for key, change in sorted(sums.items()):
        _add(connection, key, change)
    return len(new)


def with_attempts(before: Mapping[str, CallRecord], records: Iterable[CallRecord]) -> dict[str, CallRecord]:
    """The records that are new or differ from those before, by id. Pure.

    Attempts at one call come one after another, so one that began no later than the one on record has been counted. (If
    a worker has lost its lease and lives on, two overlap, and the work of the earlier one may be missing.)
    """
    found: dict[str, CallRecord] = {}
    for record in sorted(records, key=attrgetter("started_at")):
        known = found.get(record.id) or before.get(record.id)
        if known is None:
            found[record.id] = record
        elif record.started_at > known.started_at:
            used = {name: getattr(known, name) + getattr(record, name) for name in SUMS[3:]}
            found[record.id] = replace(record, **used, cold_start=known.cold_start or record.cold_start)
    return found


def _record_of(row: RowMapping) -> CallRecord:
    values = {field.name: row[field.name] for field in fields(CallRecord)}
    return CallRecord(**{**values, "cold_start": bool(row["cold_start"])})


HourKey = tuple[str, int, str, str, str]


def sums_by_hour(
    records: Iterable[CallRecord], *, replaced: Iterable[CallRecord] = ()
) -> dict[HourKey, dict[str, int]]:
    """The sums that records add, by project, hour, user, function and revision. Pure.

    `replaced`: records that are no more; what they had added is taken away.
    """
    found: dict[HourKey, dict[str, int]] = {}
    for sign, record in [*((1, record) for record in records), *((-1, record) for record in replaced)]:
        hour = record.started_at - record.started_at % HOUR_MS
        key = (record.project_id, hour, record.user_id, record.function, record.revision)
        sums = found.setdefault(key, dict.fromkeys(SUMS, 0))
        sums["calls"] += sign
        sums["failed"] += sign * (record.outcome != ANSWERED)
        sums["cold_starts"] += sign * record.cold_start
        for name in SUMS[3:]:
            sums[name] += sign * getattr(record, name)
    return found


def _add(connection: Connection, key: HourKey, sums: Mapping[str, int]) -> None:
    names = ("project_id", "hour", "user_id", "function", "revision")
    row = dict(zip(names, key, strict=True))
    this = and_(*(_H[name] == value for name, value in row.items()))
    change = update(usage_hours).where(this).values({name: _H[name] + value for name, value in sums.items()})
    if connection.execute(change).rowcount:
        if sums["calls"] < 0:
            connection.execute(delete(usage_hours).where(this, _H.calls == 0))
        return
    try:
        with connection.begin_nested():
            connection.execute(insert(usage_hours).values(**row, **sums))
    except IntegrityError:
        # Another process has inserted the row meanwhile.
        connection.execute(change)


def usage_by(connection: Connection, question: UsageQuestion) -> list[UsageRow]:
    """The sums of each group, in the order of the groups."""
    columns = [GROUPS[name] for name in question.groups]
    labelled = [column.label(f"group_{number}") for number, column in enumerate(columns)]
    sums = [func.coalesce(func.sum(_H[name]), 0).label(name) for name in SUMS]
    wanted = select(*labelled, *sums).where(_H.hour >= question.start, _H.hour < question.end)
    if question.project_id is not None:
        wanted = wanted.where(_H.project_id == question.project_id)
    if columns:
        if question.after is not None:
            marker = [literal(value, column.type) for value, column in zip(question.after, columns, strict=True)]
            wanted = wanted.where(tuple_(*columns) > tuple_(*marker))
        wanted = wanted.group_by(*columns).order_by(*columns).limit(question.limit)
    return [
        UsageRow(group=tuple(row[: len(columns)]), sums={name: int(getattr(row, name)) for name in SUMS})
        for row in connection.execute(wanted)
    ]


def forget(connection: Connection, *, records_ms: int, hours_ms: int) -> int:
    """Deletes a portion of the records and of the sums that are older than this; returns how many rows."""
    aged = select(_R.id).where(_R.started_at < now_ms() - records_ms).limit(_PORTION)
    old = list(connection.execute(aged).scalars())
    if old:
        connection.execute(delete(usage_records).where(_R.id.in_(old)))
    key = (_H.project_id, _H.hour, _H.user_id, _H.function, _H.revision)
    hours = connection.execute(select(*key).where(_H.hour < now_ms() - hours_ms).limit(_PORTION)).all()
    if hours:
        connection.execute(delete(usage_hours).where(tuple_(*key).in_([tuple(row) for row in hours])))
    return len(old) + len(hours)
