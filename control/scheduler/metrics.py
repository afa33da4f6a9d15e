"""Metrics of the scheduler, in the registry of the process."""

import math

from prometheus_client import Gauge, Histogram

from gateway.http.metrics import Metrics


class SchedulerMetrics:
    """The scheduler's metrics. Labels are bounded, as the gateway's are."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self.firings = metrics.trigger_firings
        self.leading = Gauge("osfaas_scheduler_leading", "Whether this replica leads.", registry=registry)
        self.schedules = Gauge("osfaas_scheduler_schedules", "Schedules that this replica knows.", registry=registry)
        self.schedules.set(math.nan)
        self.lateness = Histogram(
            "osfaas_schedule_lateness_seconds",
            "Time from a time of a schedule to the call of the gateway.",
            buckets=(0.1, 0.5, 1, 2, 5, 15, 60, 300, 600),
            registry=registry,
        )
