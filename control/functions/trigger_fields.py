"""The fields of a trigger in JSON, with their bounds: those of `manifests/crd/functiontriggers.yaml`. Pure."""

import datetime as dt
from typing import Any

from control.functions.fields import malformed
from gateway.errors import GatewayError
from gateway.objects.model import ObjectRef
from gateway.suggestions import unknown_name
from tenancy.model.schedule import UTC, Schedule, ScheduleError, check_schedule
from tenancy.model.trigger import PLACEHOLDERS, ObjectCreated, unknown_placeholder

CREATED, SCHEDULE = "object_created", "schedule"
_FIELDS = {CREATED: ("container", "prefix", "output", "overwrite"), SCHEDULE: ("cron", "time_zone")}
MAX_PREFIX_BYTES = 1_024


def parse_trigger(body: Any, name: str, now: dt.datetime) -> ObjectCreated | Schedule:
    """Parses `{"trigger": {"object_created": {…}}}` or `{"trigger": {"schedule": {…}}}`.

    Args:
        body: the JSON.
        name: of the trigger, in the path.
        now: for schedules, which must have a time after it.

    Raises:
        GatewayError: REQUEST_MALFORMED, naming the field.
    """
    fields = body.get("trigger") if isinstance(body, dict) and set(body) == {"trigger"} else None
    if not isinstance(fields, dict):
        raise malformed("the body must be an object with the single field 'trigger'")
    if fields.get("name", name) != name:
        raise malformed("'name' must be the name in the path, or absent")
    given = {key: value for key, value in fields.items() if key != "name" and value is not None}
    for field in given:
        if field not in _FIELDS:
            raise malformed(unknown_name("field", field, tuple(_FIELDS)))
    if len(given) != 1:
        raise malformed(f"a trigger has either '{CREATED}' or '{SCHEDULE}'")
    ((kind, values),) = given.items()
    if not isinstance(values, dict):
        raise malformed(f"'{kind}' must be an object")
    for field in values:
        if field not in _FIELDS[kind]:
            raise malformed(unknown_name(f"field of '{kind}'", field, _FIELDS[kind]))
    return _created(values) if kind == CREATED else _schedule(values, now)


def _created(values: dict[str, Any]) -> ObjectCreated:
    container, prefix = _text(values, "container"), _text(values, "prefix", "")
    output, overwrite = values.get("output"), values.get("overwrite", False)
    if not isinstance(overwrite, bool):
        raise malformed("'overwrite' must be true or false")
    if len(prefix.encode()) > MAX_PREFIX_BYTES:
        raise malformed(f"'prefix' is longer than {MAX_PREFIX_BYTES} bytes")
    # A container's name is checked as any name of an object is.
    _checked("container", container, "x")
    if output is not None:
        output = _text(values, "output")
        first, slash, name = output.partition("/")
        if not slash or not name or "{" in first:
            raise malformed("'output' must be container/name, with placeholders in the name only")
        unknown = unknown_placeholder(name)
        if unknown is not None:
            known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            raise malformed(f"'output' has the unknown placeholder {{{unknown[:32]}}}; known: {known}")
        _checked("output", first, name)
    return ObjectCreated(container=container, prefix=prefix, output=output, overwrite=overwrite)


def _schedule(values: dict[str, Any], now: dt.datetime) -> Schedule:
    schedule = Schedule(" ".join(_text(values, "cron").split()), _text(values, "time_zone", UTC))
    try:
        check_schedule(schedule, now)
    except ScheduleError as error:
        raise malformed(f"'schedule' is not valid: {error}") from error
    return schedule


def _checked(field: str, container: str, name: str) -> None:
    try:
        ObjectRef(container, name)
    except GatewayError as error:
        raise malformed(f"'{field}': {error.words.get('why', error.message)}") from error


def _text(values: dict[str, Any], name: str, usual: str | None = None) -> str:
    value = values.get(name, usual)
    if value is None:
        value = usual
    if not isinstance(value, str) or (usual is None and not value):
        raise malformed(f"'{name}' must be a string")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise malformed(f"'{name}' has a character that no name has")
    return value
