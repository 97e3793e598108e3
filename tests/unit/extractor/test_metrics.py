"""Metrics come from the run record alone, and have no id of a run as a label."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dpp_core.names import RunOutcome, UnitOutcome
from dpp_core.records import CountsRecord, RunRecord, UnitRecord
from dpp_extractor.metrics import build_metrics, push_metrics, render_metrics, write_metrics
from log_capture import captured_logs

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RECORD = RunRecord(
    run_id="run-1",
    attempt_id="attempt-1",
    correlation_id="correlation-1",
    cluster="local",
    namespace="acme",
    extraction="acme-erp",
    distributor="acme",
    generation=1,
    type="Manual",
    publish="Live",
    created_at=NOW,
    started_at=NOW,
    ended_at=NOW + timedelta(seconds=12.5),
    outcome=RunOutcome.PARTIAL,
    exit_code=31,
    plan_digest="",
    index="Behind",
    units=(
        UnitRecord(
            dataset="orders",
            outcome=UnitOutcome.COMMITTED,
            seq=7,
            bytes=4096,
            counts=CountsRecord(read=10, filtered=1, quarantined=2, written=7),
        ),
        UnitRecord(dataset="items", outcome=UnitOutcome.FAILED),
    ),
)


def samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(sample.labels.get(name, "") for name in ("dataset", "fate", "outcome"))): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_numbers_of_the_record_are_the_metrics() -> None:
    found = samples(render_metrics(build_metrics(RECORD)))

    assert found["dpp_run_duration_seconds", "", "", ""] == 12.5
    assert found["dpp_run_exit_code", "", "", ""] == 31
    assert found["dpp_index_behind", "", "", ""] == 1
    assert found["dpp_unit_rows", "orders", "written", ""] == 7
    assert found["dpp_unit_rows", "orders", "quarantined", ""] == 2
    assert found["dpp_unit_bytes", "orders", "", ""] == 4096
    assert found["dpp_unit_seq", "orders", "", ""] == 7
    assert found["dpp_unit_outcome", "items", "", "Failed"] == 1
    assert ("dpp_unit_seq", "items", "", "") not in found


def test_no_id_of_a_run_is_in_any_metric() -> None:
    text = render_metrics(build_metrics(RECORD))

    assert [each for each in ("run-1", "attempt-1", "correlation-1") if each in text] == []


def test_the_same_record_gives_the_same_text_in_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "dpp.prom"

    write_metrics(build_metrics(RECORD), file)
    write_metrics(build_metrics(RECORD), file)

    assert file.read_text() == render_metrics(build_metrics(RECORD))
    assert [each.name for each in tmp_path.iterdir()] == ["dpp.prom"]


def test_a_file_that_cannot_be_written_is_a_warning_and_not_an_error(tmp_path: Path) -> None:
    with captured_logs() as captured:
        assert write_metrics(build_metrics(RECORD), tmp_path / "nowhere" / "dpp.prom") is False

    assert captured.events() == ["metrics_not_written"]


@pytest.mark.parametrize("gateway", ["http://127.0.0.1:1", "not a gateway"])
def test_a_gateway_that_is_away_is_a_warning_and_not_an_error(gateway: str) -> None:
    with captured_logs() as captured:
        assert push_metrics(build_metrics(RECORD), gateway, {"namespace": "acme"}) is False

    assert captured.events() == ["metrics_not_pushed"]
