"""What the operator counts, for Prometheus. No id of a run is ever a label.

Called by `worker`, `apply`, `rules` and `probes`, each with the one `Metrics` that `__main__` made.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LOOK_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
DELAY_BUCKETS: Final = (0.5, 1, 2, 5, 10, 15, 30, 60, 300, 3600)


class Metrics:
    """The operator's metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.reconciles = Counter(
            "dpp_reconciles",
            "Looks at an extraction, by how they went",
            ["result"],
            registry=registry,
        )
        self.reconcile_seconds = Histogram(
            "dpp_reconcile_duration_seconds",
            "Time of one look at an extraction",
            buckets=LOOK_BUCKETS,
            registry=registry,
        )
        self.writes = Counter(
            "dpp_api_writes", "Writes to the API server", ["verb", "kind"], registry=registry
        )
        self.queue_length = _gauge(registry, "dpp_queue_length", "Extractions waiting for a look")
        self.extractions = _gauge(registry, "dpp_extractions", "Extractions known")
        self.runs_started = Counter("dpp_runs_started", "Tries started", registry=registry)
        self.runs_ended = Counter(
            "dpp_runs_ended", "Runs ended", ["outcome", "exit_code"], registry=registry
        )
        self.schedule_delay_seconds = Histogram(
            "dpp_schedule_delay_seconds",
            "Time from a due time to the run's Job",
            buckets=DELAY_BUCKETS,
            registry=registry,
        )
        self.last_success = Gauge(
            "dpp_last_success_timestamp_seconds",
            "When the last successful run of an extraction ended",
            ["namespace", "extraction"],
            registry=registry,
        )
        valid = "1 when the policy file is right, 0 when an older one is used"
        self.policy_valid = _gauge(registry, "dpp_policy_valid", valid)
        self.policy_reloads = _counter(registry, "dpp_policy_reloads", "Changed policy files read")
        self.resyncs = _counter(registry, "dpp_resyncs", "Times everything was listed anew")


def _gauge(registry: CollectorRegistry, name: str, says: str) -> Gauge:
    return Gauge(name, says, registry=registry)


def _counter(registry: CollectorRegistry, name: str, says: str) -> Counter:
    return Counter(name, says, ["result"], registry=registry)
