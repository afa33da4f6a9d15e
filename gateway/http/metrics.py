"""Prometheus metrics. Labels are bounded: routes, methods, statuses and outcomes, never ids or names."""

import math
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from gateway.http.context import context_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])


@lru_cache(maxsize=4_096)
def counter_of(counter: Counter, *labels: str | int) -> Counter:
    """The counter of these labels. The library's own look-up costs more than counting does."""
    return counter.labels(*labels)


class Metrics:
    """The gateway's metrics, in a registry of their own.

    Attributes:
        open_requests: requests being answered.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.open_requests = 0
        self._of_kind: dict[tuple[str, str, int, str], tuple[Counter, Counter, Histogram]] = {}
        self.requests = Counter(
            "osfaas_requests", "Answered requests.", ["route", "method", "status"], registry=self.registry
        )
        self.request_outcomes = Counter(
            "osfaas_request_outcomes",
            "Answered requests by outcome and responsible side.",
            ["route", "status_class", "outcome"],
            registry=self.registry,
        )
        self.request_duration = Histogram(
            "osfaas_request_duration_seconds",
            "Time from the head of a request to the end of its answer.",
            ["route"],
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120, 600, 1800),
            registry=self.registry,
        )
        in_flight = Gauge("osfaas_requests_in_flight", "Requests being answered.", registry=self.registry)
        in_flight.set_function(lambda: self.open_requests)
        self.token_validations = Counter(
            "osfaas_token_validations",
            "Token validations by source and result.",
            ["source", "result"],
            registry=self.registry,
        )
        self.computations = Counter(
            "osfaas_computations",
            "Calls of a checksums function, by capability and outcome.",
            ["capability", "outcome"],
            registry=self.registry,
        )
        self.computed_bytes = Counter(
            "osfaas_computed_bytes", "Bytes of objects that computations have read.", registry=self.registry
        )
        self.events = Counter("osfaas_events", "Object events by outcome.", ["outcome"], registry=self.registry)
        self.trigger_firings = Counter(
            "osfaas_trigger_firings",
            "Firings of triggers by kind (event, schedule) and outcome.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self.digests = Counter("osfaas_digests", "Digests returned, by source.", ["source"], registry=self.registry)
        self.limit_decisions = Counter(
            "osfaas_limit_decisions",
            "Requests to a project's limits: granted at once, granted after waiting, rejected.",
            ["limit", "outcome"],
            registry=self.registry,
        )
        self.limit_queued_calls = Gauge(
            "osfaas_limit_queued_calls", "Calls that are queued for a limit.", registry=self.registry
        )
        self.limits_shared = Gauge(
            "osfaas_limits_shared",
            "1 while replicas share the limits, 0 while each process counts by itself because the store is "
            "unreachable; NaN if no store is configured.",
            registry=self.registry,
        )
        self.limits_shared.set(math.nan)
        self.limit_store_failures = Counter(
            "osfaas_limit_store_failures",
            "Requests to the Redis of the shared limits that failed or timed out.",
            registry=self.registry,
        )
        self.unified_limit_reads = Counter(
            "osfaas_unified_limit_reads",
            "Reads of Keystone's limits by result: complete, or unusable, and then the last ones stay in force.",
            ["result"],
            registry=self.registry,
        )
        self.usage_records = Counter(
            "osfaas_usage_records",
            "Usage records by result: stored in the database, or dropped because it was away for too long.",
            ["result"],
            registry=self.registry,
        )
        self.usage_waiting = Gauge(
            "osfaas_usage_records_waiting", "Usage records that wait for the database.", registry=self.registry
        )
        self.tasks = Gauge(
            "osfaas_tasks",
            "Tasks of the event loop. Constant without requests.",
            registry=self.registry,
        )
        self.directory_age = Gauge(
            "osfaas_directory_age_seconds",
            "Time since the tenant directory was last synchronised; NaN before the first time.",
            registry=self.registry,
        )
        self.directory_age.set(math.nan)

    def count_request(self, route: str, method: str, status: int, outcome: str, seconds: float) -> None:
        """Counts an answered request. All of its labels are bounded, so the metrics of each kind are kept."""
        kind = (route, method, status, outcome)
        found = self._of_kind.get(kind)
        if found is None:
            found = self._of_kind[kind] = (
                self.requests.labels(route, method, status),
                self.request_outcomes.labels(route, f"{status // 100}xx", outcome),
                self.request_duration.labels(route),
            )
        requests, outcomes, duration = found
        requests.inc()
        outcomes.inc()
        duration.observe(seconds)

    def exposition(self, request: Request) -> Response:
        """The endpoint `/metrics`."""
        context_of(request.scope).route = "metrics"
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE)
