"""A directory of the cluster's `FunctionTrigger` objects: listed, then watched, in a separate thread.

A list replaces all of it; a change makes the triggers of one tenant anew, so its cost does not grow with the tenants.
While the API server is unreachable, the last known state stays in force, as that of tenants does.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable

from policies.model import Manifest
from policies.names import NamespaceName
from tenancy.directory.triggers import NO_TRIGGERS, ProjectTriggers, bounded
from tenancy.kubernetes.client import Change
from tenancy.kubernetes.informer import Reflector, Source, WatchedKind, WatchIntervals
from tenancy.kubernetes.kinds import TRIGGERS
from tenancy.model.errors import KindMissingError, RecordError
from tenancy.model.trigger import TriggerRecord, trigger_record_of

log = logging.getLogger(__name__)


class KubernetesTriggers:
    """`TriggerDirectory` from `FunctionTrigger` objects."""

    def __init__(
        self,
        source: Source,
        *,
        on_change: Callable[[NamespaceName | None], None] = lambda _: None,
        intervals: WatchIntervals | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Sends no request yet: see `start`.

        Args:
            source: the cluster.
            on_change: called in the thread of the watch, after a tenant's triggers changed; None: all of them.
            intervals: of lists and retries.
            clock: monotonic seconds.
        """
        self._reflector = Reflector(source, WatchedKind(TRIGGERS), self, intervals=intervals, clock=clock)
        self._on_change = on_change
        # Written by the watch thread; None before the first complete list.
        self._tenants: dict[NamespaceName, ProjectTriggers] | None = None
        self._ending = threading.Event()

    def start(self) -> None:
        """Starts the watch thread, until `close`."""
        threading.Thread(target=self._reflector.run, args=(self._ending,), name="triggers", daemon=True).start()

    def close(self) -> None:
        """Ends the thread at the next event; the process need not wait for that."""
        self._ending.set()

    @property
    def synced(self) -> bool:
        """Whether the triggers have been read."""
        return self._tenants is not None

    def namespaces(self) -> tuple[NamespaceName, ...]:
        """The tenants with triggers."""
        return tuple(self._tenants or ())

    def triggers_of(self, namespace: NamespaceName) -> ProjectTriggers:
        """See `TriggerDirectory`."""
        return (self._tenants or {}).get(namespace, NO_TRIGGERS)

    def replace(self, items: tuple[Manifest, ...]) -> None:
        """See `tenancy.kubernetes.informer.Sink`."""
        found: dict[NamespaceName, list[TriggerRecord]] = defaultdict(list)
        for item in items:
            record = _parsed(item)
            if record is not None:
                found[NamespaceName(record.namespace)].append(record)
        self._tenants = {namespace: ProjectTriggers(bounded(namespace, each)) for namespace, each in found.items()}
        log.info("the cluster has %d tenants with triggers", len(found))
        self._on_change(None)

    def apply(self, change: Change) -> None:
        """See `tenancy.kubernetes.informer.Sink`."""
        assert self._tenants is not None, "a watch follows a list"
        metadata = change.object["metadata"]
        namespace = NamespaceName(metadata["namespace"])
        records = dict(self.triggers_of(namespace).records)
        records.pop(metadata["name"], None)
        record = None if change.type == "DELETED" else _parsed(change.object)
        if record is not None:
            records = bounded(namespace, [*records.values(), record])
        if records:
            self._tenants[namespace] = ProjectTriggers(records)
        else:
            self._tenants.pop(namespace, None)
        self._on_change(namespace)

    def confirm(self) -> None:
        """See `tenancy.kubernetes.informer.Sink`."""

    def lose(self, error: Exception, retry_seconds: float) -> None:
        """See `tenancy.kubernetes.informer.Sink`. The known triggers stay in force."""
        if isinstance(error, KindMissingError) and self._tenants is None:
            # A cluster that has no such resource yet has no triggers.
            log.info("the cluster has no FunctionTriggers (manifests/crd)")
            return
        log.warning("%s; listing the triggers again in %.1f s", error, retry_seconds)


def _parsed(manifest: Manifest) -> TriggerRecord | None:
    try:
        return trigger_record_of(manifest)
    except RecordError as error:
        log.error("the record is ignored: %s", error)  # noqa: TRY400 - the traceback adds nothing
        return None
