"""Conditions of custom resources (Kubernetes API conventions): read from a status, and written into one. Pure."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from tenancy.model.times import timestamp

TypeT = TypeVar("TypeT", bound=Enum)

_WORDS = {True: "True", False: "False", None: "Unknown"}
# A message names what is wrong, and may list much; etcd keeps it for every tenant and function.
_MAX_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Condition(Generic[TypeT]):
    """One condition; `reason` is one CamelCase word, `message` contains the remedy."""

    type: TypeT
    status: bool | None
    reason: str
    message: str = ""


def conditions_in(status: Mapping[str, Any], types: type[TypeT]) -> tuple[Condition[TypeT], ...]:
    """The conditions of a status, without those of other types: an older program reads what a newer one has written."""
    known = {each.value: each for each in types}
    return tuple(
        Condition(
            known[condition["type"]],
            {"True": True, "False": False}.get(condition["status"]),
            condition.get("reason", ""),
            condition.get("message", ""),
        )
        for condition in status.get("conditions", ())
        if condition.get("type") in known
    )


def condition_fields(
    condition: Condition[Any], before: Mapping[str, Any], *, generation: int, now: dt.datetime
) -> dict[str, Any]:
    """A condition as it stands in the status of an object.

    Args:
        condition: the condition.
        before: the status that is in force; its conditions give the time of the last transition.
        generation: of the specification that the condition is about.
        now: the time of a transition.
    """
    word = _WORDS[condition.status]
    last: Mapping[str, Any] = next(
        (each for each in before.get("conditions", ()) if each["type"] == condition.type.value), {}
    )
    since = last.get("lastTransitionTime") if last.get("status") == word else None
    return {
        "type": condition.type.value,
        "status": word,
        "reason": condition.reason,
        "message": condition.message[:_MAX_CHARACTERS],
        "observedGeneration": generation,
        "lastTransitionTime": since or timestamp(now),
    }
