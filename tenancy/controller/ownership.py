"""Ownership of objects and of their fields, from labels and managed fields. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.labels import FIELD_MANAGER, MANAGED_BY, MANAGED_BY_US, TENANT
from policies.model import Manifest

# In these kinds, a field that another manager adds can defeat the object's purpose: an egress rule in a policy that
# denies all, a scope in a quota. Server-side apply leaves such fields to the manager that added them.
PROTECTED_KINDS = frozenset(
    {
        "NetworkPolicy",
        "ResourceQuota",
        "LimitRange",
        "AuthorizationPolicy",
        "PeerAuthentication",
    }
)
_NOT_OF_USERS = frozenset({"f:metadata", "f:status"})


def is_ours(live: Mapping[str, Any], tenant: str) -> bool:
    """Whether the controller created the object for this tenant: both our labels are on it, and we applied fields."""
    metadata = live["metadata"]
    labels = metadata.get("labels") or {}
    return (
        labels.get(MANAGED_BY) == MANAGED_BY_US
        and labels.get(TENANT) == tenant
        and any(_is_our_apply(entry) for entry in metadata.get("managedFields", ()))
    )


def foreign_fields(live: Manifest, wanted: Manifest) -> tuple[str, ...]:
    """JSON pointers of unwanted fields that other managers set in an object of a protected kind.

    A wanted field with another value is not among them: a forced apply corrects it, and removing it first would leave
    a gap. List elements come last first, because removing one shifts those behind it.
    """
    if live["kind"] not in PROTECTED_KINDS:
        return ()
    pointers: dict[str, None] = {}
    for entry in live["metadata"].get("managedFields", ()):
        if _is_our_apply(entry) or entry.get("subresource"):
            continue
        theirs = {name: sub for name, sub in entry.get("fieldsV1", {}).items() if name not in _NOT_OF_USERS}
        pointers.update(dict.fromkeys(_extra(theirs, wanted, live, "")))
    return tuple(sorted(pointers, key=_position, reverse=True))


def _is_our_apply(entry: Mapping[str, Any]) -> bool:
    return entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")


def _extra(theirs: Mapping[str, Any], wanted: Any, live: Any, at: str) -> Iterator[str]:
    for name, sub in theirs.items():
        found, meant = _step(name, live), _step(name, wanted)
        if found is None:
            continue
        pointer = f"{at}/{str(found[0]).replace('~', '~0').replace('/', '~1')}"
        if meant is None:
            yield pointer
        elif sub:
            yield from _extra(sub, meant[1], found[1], pointer)


def _step(name: str, live: Any) -> tuple[str | int, Any] | None:
    """The key of a managed field in the object and its value; None if it is gone, or for the object itself (`.`)."""
    kind, _, text = name.partition(":")
    if kind == "f" and isinstance(live, Mapping) and text in live:
        return text, live[text]
    if kind in {"k", "v"} and isinstance(live, Sequence) and not isinstance(live, str):
        wanted = json.loads(text)
        for index, item in enumerate(live):
            matches = (
                isinstance(item, Mapping) and all(item.get(key) == value for key, value in wanted.items())
                if kind == "k"
                else item == wanted
            )
            if matches:
                return index, item
    return None


def _position(pointer: str) -> tuple[tuple[int, int, str], ...]:
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in pointer.split("/"))
