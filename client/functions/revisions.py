"""Which revision a rollback chooses. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from client.errors import CommandError


def previous_revision(found: Sequence[Mapping[str, Any]], name: str) -> str:
    """The newest ready revision that is older than the one with most calls.

    Args:
        found: the revisions of the function, the newest first.
        name: of the function.

    Raises:
        CommandError: there is none.
    """
    present = max(found, key=lambda each: each["percent"], default=None)
    older = found[found.index(present) + 1 :] if present else []
    chosen = next((each["name"] for each in older if each["ready"]), None)
    if chosen is None:
        raise CommandError(f"There is no earlier revision of '{name}' that became ready.")
    return str(chosen)
