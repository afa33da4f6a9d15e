"""The fields of a function in JSON, with their bounds: those of `manifests/crd/functions.yaml`. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.errors import ErrorCode, GatewayError
from gateway.suggestions import unknown_name
from policies.own_function import MAX_TAG, OwnFunction, TrafficTarget
from policies.own_function_secrets import MAX_MOUNTED
from policies.own_function_secrets import MAX_NAME as MAX_SECRET_NAME

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_HEALTH_PATH = re.compile(r"/[-A-Za-z0-9._~/]{0,254}")
_TAG = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
_QUEUE_PROXY_PORTS = frozenset({8008, 8012, 8013, 8022, 8112, 9090, 9091})
_MAX_VARIABLES, _MAX_VALUE, _MAX_TARGETS, _ALL = 64, 4_096, 10, 100
_SOURCE = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_IMAGE, _MAX_WORD = 512, 8_192
# Reserved by Knative.
_PORT, _RESERVED_PREFIX = "PORT", "K_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """An integer field: smallest and largest value."""

    smallest: int
    largest: int


# By name; the names are those of `OwnFunction`.
INTEGERS: Mapping[str, Bounds] = {
    "port": Bounds(smallest=1024, largest=65_535),
    "run_as_user": Bounds(smallest=1, largest=2**31 - 1),
    "cpu_millis": Bounds(smallest=50, largest=64_000),
    "memory_mib": Bounds(smallest=32, largest=1_048_576),
    "concurrency": Bounds(smallest=1, largest=1_000),
    "timeout_seconds": Bounds(smallest=1, largest=1_800),
    "min_scale": Bounds(smallest=0, largest=100),
    "max_scale": Bounds(smallest=1, largest=100),
    "attempt": Bounds(smallest=0, largest=2**31 - 1),
}
WORDS: Mapping[str, int] = {"command": 32, "args": 64}
FIELDS = ("image", "source", *WORDS, *INTEGERS, "health_path", "environment", "secrets", "objects", "traffic")


def parse_fields(body: Any, name: str) -> dict[str, Any]:
    """Parses `{"function": {…}}`: the given fields as values of `OwnFunction`; null stands for the default.

    Args:
        body: the JSON.
        name: of the function.

    Raises:
        GatewayError: REQUEST_MALFORMED, naming the field.
    """
    fields = body.get("function") if isinstance(body, dict) and set(body) == {"function"} else None
    if not isinstance(fields, dict):
        raise malformed("the body must be an object with the single field 'function'")
    if fields.get("name", name) != name:
        raise malformed("'name' must be the name in the path, or absent")
    for field in fields:
        if field not in FIELDS and field != "name":
            raise malformed(unknown_name("field", field, FIELDS))
    parsed = {field: _parsed(field, value, name) for field, value in fields.items() if field != "name"}
    if parsed.get("image") and parsed.get("source"):
        raise malformed("a function has either an 'image' or a 'source'")
    return parsed


def malformed(why: str) -> GatewayError:
    """The error for a malformed request."""
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)


def _parsed(field: str, value: Any, name: str) -> Any:  # noqa: PLR0911 - one for each form
    if value is None:
        return None
    if field in INTEGERS:
        return _integer(field, value)
    if field in WORDS:
        return _words(field, value)
    parse = {"environment": _environment, "secrets": _secrets}.get(field)
    if parse is not None:
        return parse(value)
    if field == "objects":
        return _flag(field, value)
    if field == "traffic":
        return _traffic(value, name)
    if not _is_text(value, _MAX_IMAGE):
        raise malformed(f"'{field}' must be a string of at most {_MAX_IMAGE} characters")
    if field == "source" and not _SOURCE.fullmatch(value):
        raise malformed("'source' must be sha256: and 64 hex digits, as the upload of an archive returns them")
    if field == "health_path" and not _HEALTH_PATH.fullmatch(value):
        raise malformed("'health_path' must begin with a slash and have letters, digits, '-', '.', '_' and '~' only")
    return value


def _is_text(value: Any, most: int) -> bool:
    """Whether it is a string that a container can get: no NUL, no lone surrogate."""
    if not isinstance(value, str) or len(value) > most or "\0" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _integer(field: str, value: Any) -> int:
    bounds = INTEGERS[field]
    if type(value) is not int or not bounds.smallest <= value <= bounds.largest:
        raise malformed(f"'{field}' must be an integer from {bounds.smallest} to {bounds.largest}")
    if field == "port" and value in _QUEUE_PROXY_PORTS:
        raise malformed(f"the port {value} is used by Knative's queue-proxy")
    return value


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise malformed(f"'{field}' must be true or false")
    return value


def _words(field: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > WORDS[field] or not all(_is_text(word, _MAX_WORD) for word in value):
        raise malformed(f"'{field}' must be a list of at most {WORDS[field]} strings of at most {_MAX_WORD} characters")
    return tuple(value)


def _environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > _MAX_VARIABLES:
        raise malformed(f"'environment' must be an object with at most {_MAX_VARIABLES} variables")
    for variable, text in value.items():
        if not _VARIABLE.fullmatch(variable):
            raise malformed(
                f"{variable[:64]!r} is no name of a variable: letters, digits and underscores, no digit first"
            )
        if variable == _PORT or variable.startswith(_RESERVED_PREFIX):
            raise malformed(f"the variable {variable} is set by Knative")
        if not _is_text(text, _MAX_VALUE):
            raise malformed(f"the variable {variable} must be a string of at most {_MAX_VALUE} characters")
    return dict(value)


def _secrets(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_MOUNTED or not all(isinstance(name, str) for name in value):
        raise malformed(f"'secrets' must be a list of at most {MAX_MOUNTED} names")
    if len(set(value)) != len(value) or not all(
        len(name) <= MAX_SECRET_NAME and _TAG.fullmatch(name) for name in value
    ):
        raise malformed("'secrets' must be different DNS labels of at most 40 characters that begin with a letter")
    return tuple(sorted(value))


def _traffic(value: Any, name: str) -> tuple[TrafficTarget, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_TARGETS:
        raise malformed(f"'traffic' must be a list of 1 to {_MAX_TARGETS} shares")
    targets = tuple(_target(each, name) for each in value)
    if sum(target.percent for target in targets) != _ALL:
        raise malformed("the percentages of 'traffic' must be 100 together")
    tags = [target.tag for target in targets if target.tag]
    if len(set(tags)) != len(tags):
        raise malformed("a tag in 'traffic' names one revision")
    return targets


def _target(value: Any, name: str) -> TrafficTarget:
    known = ("percent", "revision", "tag")
    if not isinstance(value, dict):
        raise malformed("a share in 'traffic' must be an object")
    for field in value:
        if field not in known:
            raise malformed(unknown_name("field of 'traffic'", field, known))
    percent, revision, tag = value.get("percent", 0), value.get("revision"), value.get("tag")
    if type(percent) is not int or not 0 <= percent <= _ALL:
        raise malformed("'percent' must be an integer from 0 to 100")
    if revision is not None and not (isinstance(revision, str) and revision.startswith(f"{name}-")):
        raise malformed(f"'revision' must be a revision of this function; their names begin with {name}-")
    if tag is not None and not (isinstance(tag, str) and len(tag) <= MAX_TAG and _TAG.fullmatch(tag)):
        raise malformed(f"'tag' must be a DNS label of at most {MAX_TAG} characters that begins with a letter")
    return TrafficTarget(percent, revision, tag)


def changed(base: OwnFunction | None, name: str, values: Mapping[str, Any]) -> OwnFunction:
    """The specification with these values.

    Args:
        base: the current one, whose other fields stay; None: the other fields have their defaults.
        name: of the function.
        values: from `parse_fields`.

    Raises:
        GatewayError: REQUEST_MALFORMED: there is neither image nor source, or `min_scale` is larger than `max_scale`.
    """
    usual = OwnFunction(name=name)
    # One takes the place of the other.
    other = {"image": {"source": None}, "source": {"image": None}}
    for field in ("image", "source"):
        if values.get(field):
            values = {**values, **other[field]}
    given = {field: getattr(usual, field) if value is None else value for field, value in values.items()}
    spec = replace(base or usual, **given)
    if not spec.image and not spec.source:
        raise malformed("'image' or 'source' is required")
    if spec.min_scale > spec.max_scale:
        raise malformed("'min_scale' must not be larger than 'max_scale'")
    return spec
