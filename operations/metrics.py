"""Prometheus metrics of a worker. No label has a project or an id: the log has them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from operations.store.working import QueueFacts, Reaped


class WorkerMetrics:
    """The metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.attempts = Counter(
            "osfaas_operation_attempts",
            "Attempts at operations, by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        self.running = Gauge("osfaas_operations_running", "Operations that this worker does.", registry=self.registry)
        self.lease_losses = Counter(
            "osfaas_operation_lease_losses",
            "Operations that were given to another worker while this one did them.",
            registry=self.registry,
        )
        self.reaped = Counter(
            "osfaas_operations_reaped",
            "Operations whose worker was gone, and queued ones that were too old, by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        self.deliveries = Counter(
            "osfaas_callback_deliveries", "Attempts to deliver callbacks.", ["outcome"], registry=self.registry
        )
        self.store_failures = Counter(
            "osfaas_operation_store_failures", "Transactions that the database did not answer.", registry=self.registry
        )
        self.stored = Gauge(
            "osfaas_operations_stored", "Operations in the database.", ["state"], registry=self.registry
        )
        self.oldest = Gauge(
            "osfaas_operation_oldest_queued_seconds",
            "Age of the oldest queued operation of all projects.",
            registry=self.registry,
        )
        self.callbacks_due = Gauge(
            "osfaas_callbacks_due", "Callbacks that are not delivered yet.", registry=self.registry
        )

    def show(self, facts: QueueFacts) -> None:
        """Sets the gauges about the database."""
        for state, count in (("queued", facts.queued), ("running", facts.running), ("dead_letter", facts.dead_letters)):
            self.stored.labels(state).set(count)
        self.oldest.set(facts.oldest_queued_ms / 1000)
        self.callbacks_due.set(facts.callbacks_due)

    def count_reaped(self, reaped: Reaped) -> None:
        """Counts what a reaping has found."""
        for outcome in ("requeued", "failed", "cancelled", "expired"):
            self.reaped.labels(outcome).inc(getattr(reaped, outcome))

    def listen(self, host: str, port: int) -> None:
        """Serves /metrics in a thread."""
        start_http_server(port, host, registry=self.registry)
