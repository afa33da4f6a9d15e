"""Loops of triggers: a function's output must not fire a trigger that leads back to it. Pure.

A function holds no credential, so its only way to create an object is the output of its trigger, whose name the
gateway makes. Each trigger is therefore an edge from its prefix to the prefix of its outputs, and what can follow from
an object is known before the first one is written. Without cycles, every chain ends: it fires no trigger twice.

Names are compared by the text before the first placeholder, so more is refused than would loop, and never less.
"""

import graphlib
from collections.abc import Hashable, Mapping
from typing import TypeVar

from tenancy.model.trigger import ObjectCreated

Key = TypeVar("Key", bound=Hashable)


def may_fire(first: ObjectCreated, second: ObjectCreated) -> bool:
    """Whether an output of the first trigger can be an object of the second."""
    written = first.written()
    if written is None:
        return False
    container, start = written
    overlap = start.startswith(second.prefix) or second.prefix.startswith(start)
    return container == second.container and overlap


def loop_of(triggers: Mapping[Key, ObjectCreated]) -> list[Key] | None:
    """One loop among triggers, in its order, the first one repeated at the end; None if there is none."""
    try:
        graphlib.TopologicalSorter(_followers(triggers)).prepare()
    except graphlib.CycleError as error:
        # The library names predecessors; ours are followers.
        found: list[Key] = error.args[1][::-1]
        return found
    return None


def looping(triggers: Mapping[Key, ObjectCreated]) -> frozenset[Key]:
    """The triggers that must not fire: those on a loop, or between two loops."""
    followers = _followers(triggers)
    left = set(followers)
    while True:
        entered = {each for key in left for each in followers[key] if each in left}
        ends = {key for key in left if key not in entered or not followers[key] & left}
        if not ends:
            return frozenset(left)
        left -= ends


def _followers(triggers: Mapping[Key, ObjectCreated]) -> dict[Key, set[Key]]:
    return {
        key: {other for other, follower in triggers.items() if may_fire(trigger, follower)}
        for key, trigger in triggers.items()
    }
