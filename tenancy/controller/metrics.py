"""The controller's figures for Prometheus, in a registry of their own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class ControllerMetrics:
    """All of them, by what they count."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rounds = Counter(
            "osfaas_controller_rounds",
            "Rounds over tenants, by how they ended: done, refused, unavailable, failed.",
            ["result"],
            registry=self.registry,
        )
        self.round_seconds = Histogram(
            "osfaas_controller_round_seconds", "Duration of a round over one tenant.", registry=self.registry
        )
        self.changes = Counter(
            "osfaas_controller_changes",
            "Objects that were made, repaired or removed, or that the cluster refused.",
            ["change", "kind"],
            registry=self.registry,
        )
        self.keystone_polls = Counter(
            "osfaas_controller_keystone_polls",
            "Readings of Keystone's projects, by how they ended: complete or unusable.",
            ["result"],
            registry=self.registry,
        )
        self.keystone_complete = Gauge(
            "osfaas_controller_keystone_complete_timestamp_seconds",
            "When Keystone's projects were last read in full.",
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
