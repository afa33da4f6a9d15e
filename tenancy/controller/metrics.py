"""The metrics of the controller, in a separate registry."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class ControllerMetrics:
    """The metrics and their registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "osfaas_controller_reconciles",
            "Reconciles of tenants, by result: done, invalid, unavailable, failed.",
            ["result"],
            registry=self.registry,
        )
        self.reconcile_duration = Histogram(
            "osfaas_controller_reconcile_duration_seconds",
            "Duration of a reconcile of one tenant.",
            registry=self.registry,
        )
        self.changes = Counter(
            "osfaas_controller_changes",
            "Objects that were created, corrected, deleted or rejected.",
            ["change", "kind"],
            registry=self.registry,
        )
        self.keystone_polls = Counter(
            "osfaas_controller_keystone_polls",
            "Reads of Keystone's projects, by result: complete or unusable.",
            ["result"],
            registry=self.registry,
        )
        self.keystone_complete = Gauge(
            "osfaas_controller_keystone_complete_timestamp_seconds",
            "When Keystone's projects were last read in full.",
            registry=self.registry,
        )
        self.limit_reads = Counter(
            "osfaas_controller_limit_reads",
            "Reads of Keystone's limits, by result: complete or unusable.",
            ["result"],
            registry=self.registry,
        )
        self.watch_failures = Counter(
            "osfaas_controller_watch_failures",
            "Watches that broke, by kind.",
            ["kind"],
            registry=self.registry,
        )
        self.tenants = Gauge(
            "osfaas_controller_tenants",
            "Tenants by whether they are Ready and the reason.",
            ["ready", "reason"],
            registry=self.registry,
        )
        self.leading = Gauge("osfaas_controller_leading", "1 while this replica leads.", registry=self.registry)
