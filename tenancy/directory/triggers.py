"""Triggers by tenant, from memory: which ones an object fires, at a cost that does not grow with the others."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Protocol

from policies.names import NamespaceName
from tenancy.model.trigger import ObjectCreated, TriggerRecord
from tenancy.model.trigger_loops import looping

log = logging.getLogger(__name__)

# Whatever has written the records: memory, and the time to find loops, must be bounded.
MAX_PER_PROJECT = 200


class ProjectTriggers:
    """The triggers of one tenant; immutable, so that a reader in another thread needs no lock."""

    def __init__(self, records: Mapping[str, TriggerRecord]) -> None:
        """`records`: by the name of their object."""
        self.records = records

    def matching(self, container: str, name: str) -> Iterator[TriggerRecord]:
        """The triggers that the creation of an object fires, those on a loop included."""
        by_prefix = self._created.get(container, {})
        for length in self._lengths.get(container, ()):
            if length > len(name):
                return
            yield from by_prefix.get(name[:length], ())

    def is_looping(self, record: TriggerRecord) -> bool:
        """Whether it must not fire, because its output can lead back to it."""
        return record.object_name in self._looping

    @cached_property
    def _created(self) -> Mapping[str, Mapping[str, list[TriggerRecord]]]:
        found: dict[str, dict[str, list[TriggerRecord]]] = defaultdict(lambda: defaultdict(list))
        for record in self.records.values():
            if isinstance(record.spec.source, ObjectCreated):
                found[record.spec.source.container][record.spec.source.prefix].append(record)
        return {container: dict(prefixes) for container, prefixes in found.items()}

    @cached_property
    def _lengths(self) -> Mapping[str, list[int]]:
        return {container: sorted({len(prefix) for prefix in of}) for container, of in self._created.items()}

    @cached_property
    def _looping(self) -> frozenset[str]:
        return looping(
            {
                name: record.spec.source
                for name, record in self.records.items()
                if isinstance(record.spec.source, ObjectCreated)
            }
        )


NO_TRIGGERS = ProjectTriggers({})


class TriggerDirectory(Protocol):
    """A lookup of triggers from memory, used for every object event."""

    def triggers_of(self, namespace: NamespaceName) -> ProjectTriggers:
        """The triggers of a tenant; none before they have been read."""
        ...


class NoTriggers:
    """`TriggerDirectory` without triggers."""

    def triggers_of(self, namespace: NamespaceName) -> ProjectTriggers:  # noqa: ARG002 - the protocol has it
        """See `TriggerDirectory`."""
        return NO_TRIGGERS


def bounded(namespace: str, records: Iterable[TriggerRecord]) -> dict[str, TriggerRecord]:
    """The first triggers of a tenant by name, as many as may be; the others do not fire, and are logged."""
    found = {record.object_name: record for record in sorted(records, key=lambda record: record.object_name)}
    for name in list(found)[MAX_PER_PROJECT:]:
        log.error("%s has more than %d triggers; %s does not fire", namespace, MAX_PER_PROJECT, name)
        del found[name]
    return found
