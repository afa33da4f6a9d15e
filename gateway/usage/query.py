"""The query of a request about usage. Pure."""

import base64
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import ErrorCode, GatewayError
from gateway.http.query import one_value, parse_query
from gateway.json_text import json_bytes
from operations.store.usage import DAY_MS, HOUR_MS, UsageQuestion, UsageRow

PARAMETERS = ("start", "end", "group_by", "format", "limit", "marker")
ADMIN_PARAMETERS = (*PARAMETERS, "project_id")
GROUP_NAMES = ("hour", "day", "user", "function", "revision")
ADMIN_GROUP_NAMES = (*GROUP_NAMES, "project")
FORMATS = ("json", "csv", "cloudkitty", "gnocchi")
# A collector wants periods of its own, and names of what it rates or measures.
_OWN_GROUPS = {
    "cloudkitty": ("hour", "project", "user", "function", "revision"),
    "gnocchi": ("hour", "project", "function"),
}
DEFAULT_LIMIT, MAX_LIMIT = 500, 2_000
MAX_DAYS = 400
_MAX_MARKER = 2_048
_MAX_PROJECT = 64
# Days whose sums are read for one counted request.
_DAYS_PER_REQUEST = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """A parsed query.

    Attributes:
        question: for the store; its limit is one more than is shown, so that the end is known.
        format: of the answer.
        requests: how often it counts against the rate limit: it costs as much as the period is long.
    """

    question: UsageQuestion
    format: str
    requests: int

    @property
    def limit(self) -> int:
        return self.question.limit - 1


def parse_usage_query(query: bytes, *, project_id: str | None, now: dt.datetime) -> UsageQuery:
    """The query of `GET /v1/usage`.

    Args:
        query: as it was sent.
        project_id: of the caller; None: an administrator asks about all projects, or about one that the query names.
        now: in UTC; the default period is from the beginning of its month.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    admin = project_id is None
    parameters = parse_query(query, ADMIN_PARAMETERS if admin else PARAMETERS)
    form = one_value(parameters, "format") or "json"
    if form not in FORMATS:
        raise _malformed(f"'format' must be one of {', '.join(FORMATS)}")
    groups = _groups(parameters, form, ADMIN_GROUP_NAMES if admin else GROUP_NAMES)
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start, end = _hour(parameters, "start", month), _hour(parameters, "end", now, up=True)
    if end <= start:
        raise _malformed("'end' must be later than 'start'")
    if end - start > MAX_DAYS * DAY_MS:
        raise _malformed(f"the period is longer than {MAX_DAYS} days")
    named = one_value(parameters, "project_id") if admin else project_id
    if named is not None and not 0 < len(named) <= _MAX_PROJECT:
        raise _malformed(f"'project_id' must have 1 to {_MAX_PROJECT} characters")
    return UsageQuery(
        question=UsageQuestion(
            project_id=named,
            start=start,
            end=end,
            groups=groups,
            limit=_limit(parameters) + 1,
            after=_marker(parameters, groups),
        ),
        format=form,
        requests=1 + (end - start) // (_DAYS_PER_REQUEST * DAY_MS),
    )


def marker_of(row: UsageRow) -> str:
    """The marker with which the next page begins after a row."""
    return base64.urlsafe_b64encode(json_bytes(list(row.group))).decode("ascii").rstrip("=")


def _groups(parameters: Mapping[str, list[str]], form: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if form in _OWN_GROUPS:
        if "group_by" in parameters:
            raise _malformed(f"the format '{form}' has groups of its own: leave out 'group_by'")
        return _OWN_GROUPS[form]
    names = [name.strip() for value in parameters.get("group_by", []) for name in value.split(",") if name.strip()]
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise _malformed(f"'group_by' must be some of {', '.join(known)}")
    if len(set(names)) < len(names) or {"hour", "day"} <= set(names):
        raise _malformed("'group_by' names a group twice")
    return tuple(names)


def _hour(parameters: Mapping[str, list[str]], name: str, default: dt.datetime, *, up: bool = False) -> int:
    """The beginning of the hour of a time, in milliseconds since the epoch; `up`: of the next one, if it is later."""
    value = one_value(parameters, name)
    try:
        moment = default if value is None else dt.datetime.fromisoformat(value)
        milliseconds = int(moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise _malformed(f"'{name}' must be a date or a time as in ISO 8601, e.g. 2026-11-01T00:00:00Z") from error
    if milliseconds < 0:
        raise _malformed(f"'{name}' is before 1970")
    return -(-milliseconds // HOUR_MS) * HOUR_MS if up else milliseconds // HOUR_MS * HOUR_MS


def _limit(parameters: Mapping[str, list[str]]) -> int:
    value = one_value(parameters, "limit")
    if value is None:
        return DEFAULT_LIMIT
    if not (value.isascii() and value.isdecimal() and len(value) < 6 and 1 <= int(value) <= MAX_LIMIT):  # noqa: PLR2004
        raise _malformed(f"'limit' must be a number from 1 to {MAX_LIMIT}")
    return int(value)


def _marker(parameters: Mapping[str, list[str]], groups: tuple[str, ...]) -> tuple[str | int, ...] | None:
    value = one_value(parameters, "marker")
    if value is None:
        return None
    try:
        parts: Any = json.loads(base64.urlsafe_b64decode(value[:_MAX_MARKER] + "=" * (-len(value) % 4)))
    except (ValueError, RecursionError):
        parts = None
    wanted = [int if name in {"hour", "day"} else str for name in groups]
    if not isinstance(parts, list) or not parts or [type(part) for part in parts] != wanted:
        raise _malformed("'marker' is not one of an answer to the same 'group_by'")
    # A database takes neither, and would fail.
    if any("\0" in part if isinstance(part, str) else not 0 <= part < 1 << 62 for part in parts):
        raise _malformed("'marker' is not one of an answer to the same 'group_by'")
    return tuple(parts)


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
