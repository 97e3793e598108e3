"""What a run measured, as Prometheus metrics; made from the run record at the end, never counted on
the side.

Called by `run` and `cli`, and only when somebody asked: a file for node_exporter's textfile
collector, or a push gateway, since a Job is gone before anyone could scrape it. Not here: ids of
runs as labels (each would be a new series for ever).

    registry = build_metrics(record)
    write_metrics(registry, Path("/metrics/dpp.prom"))
    push_metrics(registry, "http://gateway:9091", {"namespace": "acme", "extraction": "acme"})
"""

from collections.abc import Iterable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest, write_to_textfile
from prometheus_client.exposition import pushadd_to_gateway

from dpp_core import logs
from dpp_core.records import RunRecord

JOB: Final = "dpp_extractor"
PUSH_TIMEOUT_SECONDS: Final = 5
FATES: Final = ("read", "filtered", "quarantined", "written", "future", "deleted")
_STREAM: Final = ("namespace", "extraction", "distributor")


def build_metrics(record: RunRecord) -> CollectorRegistry:
    """Build the gauges of one run in a registry of their own. Pure: the same record gives the same
    text.
    """
    registry = CollectorRegistry(auto_describe=False)
    stream = (record.namespace, record.extraction, record.distributor)
    seconds = (record.ended_at - record.started_at).total_seconds()

    def gauge(name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, (*_STREAM, *labels), registry=registry)

    gauge("dpp_run_duration_seconds", "How long the last run took.").labels(*stream).set(seconds)
    gauge("dpp_run_exit_code", "Exit code of the last run.").labels(*stream).set(record.exit_code)
    ended = gauge("dpp_run_ended_timestamp_seconds", "When the last run ended.")
    ended.labels(*stream).set(record.ended_at.timestamp())
    behind = gauge("dpp_index_behind", "1 when the index misses documents of the last run.")
    behind.labels(*stream).set(record.index == "Behind")

    rows = gauge("dpp_unit_rows", "Rows of the last run by fate.", "dataset", "fate")
    nulled = gauge("dpp_unit_nulled_values", "Values that became NULL in the last run.", "dataset")
    size = gauge("dpp_unit_bytes", "Bytes of data files the last run wrote.", "dataset")
    seq = gauge("dpp_unit_seq", "Number of the last commit.", "dataset")
    outcome = gauge("dpp_unit_outcome", "1 for how the dataset ended.", "dataset", "outcome")
    for unit in record.units:
        for fate in FATES:
            rows.labels(*stream, unit.dataset, fate).set(getattr(unit.counts, fate))
        nulled.labels(*stream, unit.dataset).set(sum(unit.counts.nulled.values()))
        size.labels(*stream, unit.dataset).set(unit.bytes)
        outcome.labels(*stream, unit.dataset, unit.outcome.value).set(1)
        if unit.seq is not None:
            seq.labels(*stream, unit.dataset).set(unit.seq)
    return registry


def build_index_metrics(lags: Iterable[tuple[str, str, str, int]]) -> CollectorRegistry:
    """Build the gauges of the index: (namespace, extraction, dataset, commits behind) a stream."""
    registry = CollectorRegistry(auto_describe=False)
    labels = ("namespace", "extraction", "dataset")
    lag = Gauge(
        "dpp_index_lag_commits", "Commits the index is behind the table.", labels, registry=registry
    )
    for namespace, extraction, dataset, commits in lags:
        lag.labels(namespace, extraction, dataset).set(commits)
    return registry


def render_metrics(registry: CollectorRegistry) -> str:
    """Render in Prometheus' text format."""
    return generate_latest(registry).decode()


def write_metrics(registry: CollectorRegistry, path: Path) -> bool:
    """Write the text beside the file and move it there, so that no collector reads half of it.

    False, with a warning, when the file cannot be written: a run does not fail for its metrics.
    """
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        logs.warning("metrics_not_written", exception=error, file=str(path))
        return False
    return True


def push_metrics(registry: CollectorRegistry, gateway: str, grouping: Mapping[str, str]) -> bool:
    """Send to a push gateway; pushing again replaces. False, with a warning, when it does not take
    them.
    """
    try:
        pushadd_to_gateway(
            gateway, JOB, registry, grouping_key=dict(grouping), timeout=PUSH_TIMEOUT_SECONDS
        )
    except (OSError, ValueError, HTTPException) as error:
        logs.warning("metrics_not_pushed", exception=error, gateway=gateway)
        return False
    return True
