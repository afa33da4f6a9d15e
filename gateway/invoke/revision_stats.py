"""Calls, errors and durations of each revision of tenants' functions (/v1/invoke), as this process sees them.

The ingress knows to which revision it gave a call, and says so in a field of the reply (`policies.mesh`). So a call
that waited for a cold start counts with its wait, and a call that no pod answered counts as well: pods know neither.
"""

import bisect
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from policies.names import NamespaceName
from policies.revision_field import UNKNOWN, revision_of_upstream

# Upper bounds in seconds; the last bucket has no bound.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0)
# Of a project. The one that was called least recently is forgotten.
PER_NAMESPACE = 32


@dataclass(slots=True, kw_only=True)
class RevisionCounts:
    """Counts of one revision."""

    function: str
    calls: int = 0
    errors: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def add(self, seconds: float, *, failed: bool) -> None:
        """Counts a call."""
        self.calls += 1
        self.errors += failed
        self.seconds += seconds
        self.buckets[bisect.bisect_left(BOUNDS, seconds)] += 1


class RevisionStats(Collector):
    """The counts, bounded for each project and for the process."""

    def __init__(self, most: int, *, clock: Callable[[], float] = time.time) -> None:
        """`most`: maximum number of revisions; 0: nothing is counted."""
        self._most = most
        self._since = clock()
        self._counts: OrderedDict[tuple[NamespaceName, str], RevisionCounts] = OrderedDict()
        self._sizes: Counter[NamespaceName] = Counter()

    def count(
        self, namespace: NamespaceName, function: str, upstream: bytes | None, seconds: float, *, failed: bool
    ) -> None:
        """Counts a call.

        Args:
            namespace: of the tenant.
            function: that was called.
            upstream: the ingress's field of the reply; None: there was no reply, or it says nothing.
            seconds: from the start of the call to the end of its reply.
            failed: whether the function failed: a status of 500 or more, or none at all.
        """
        if not self._most:
            return
        revision = revision_of_upstream(upstream, function, namespace) or f"{function}-{UNKNOWN}"
        key = namespace, revision
        counts = self._counts.get(key)
        if counts is None:
            self._evict_for(namespace)
            counts = self._counts[key] = RevisionCounts(function=function)
            self._sizes[namespace] += 1
        else:
            self._counts.move_to_end(key)
        counts.add(seconds, failed=failed)

    def _evict_for(self, namespace: NamespaceName) -> None:
        if self._sizes[namespace] >= PER_NAMESPACE:
            self._forget(next(key for key in self._counts if key[0] == namespace))
        elif len(self._counts) >= self._most:
            self._forget(next(iter(self._counts)))

    def _forget(self, key: tuple[NamespaceName, str]) -> None:
        del self._counts[key]
        self._sizes[key[0]] -= 1
        if not self._sizes[key[0]]:
            del self._sizes[key[0]]

    def document(self, namespace: str) -> dict[str, Any]:
        """The counts of one namespace, for the functions API: JSON."""
        revisions = {
            revision: {"calls": counts.calls, "errors": counts.errors, "buckets": counts.buckets}
            for (place, revision), counts in self._counts.items()
            if place == namespace
        }
        return {"since": self._since, "bounds": list(BOUNDS), "revisions": revisions}

    def collect(self) -> Iterator[Metric]:
        """The metrics in Prometheus' form."""
        labels = ["namespace", "function", "revision"]
        errors = CounterMetricFamily(
            "osfaas_function_errors", "Failed invocations of functions, by revision.", labels=labels
        )
        durations = HistogramMetricFamily(
            "osfaas_function_duration_seconds", "Invocations of functions, cold starts included.", labels=labels
        )
        for (namespace, revision), counts in list(self._counts.items()):
            values = [namespace, counts.function, revision]
            errors.add_metric(values, counts.errors)
            total, buckets = 0, []
            for bound, number in zip((*map(str, BOUNDS), "+Inf"), counts.buckets, strict=True):
                total += number
                buckets.append((bound, total))
            durations.add_metric(values, buckets, counts.seconds)
        yield errors
        yield durations
