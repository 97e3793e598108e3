"""The run record and the report: how units make a run, and what goes to whoever started it."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from dpp_core.names import Reason, RunOutcome, UnitOutcome
from dpp_core.records import CountsRecord, LoadRecord, UnitRecord, WindowRecord
from dpp_extractor.record.run import (
    Circumstances,
    build_run_record,
    build_run_report,
    compute_plan_digest,
    decide_outcome,
    fold_loads,
)
from run_bench import Bench

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AROUND = Circumstances(
    attempt_id="attempt-1",
    started_at=AT,
    ended_at=AT + timedelta(seconds=9),
    plan_digest="sha256:abc",
    source={"snapshot": "s"},
    code_version="1.2.3",
    warnings=("The clock is off.",),
)
DONE = UnitRecord(
    dataset="orders",
    outcome=UnitOutcome.COMMITTED,
    seq=3,
    version=4,
    window=WindowRecord(cursor="at", kind="timestamp", low=None, high="2026-01-02"),
    counts=CountsRecord(read=10, quarantined=1, written=9),
)
FAILED = UnitRecord(
    dataset="stock",
    outcome=UnitOutcome.BLOCKED,
    code=24,
    reason=Reason.REPLACE_TOO_SMALL,
    message="Too small.",
    fingerprint="seq 3",
)


def _unit(code: int) -> UnitRecord:
    return UnitRecord(dataset="d", outcome=UnitOutcome.FAILED, code=code)


@pytest.mark.parametrize(
    ("codes", "outcome"),
    [
        ([0, 0], RunOutcome.SUCCEEDED),
        ([], RunOutcome.SUCCEEDED),
        ([0, 24], RunOutcome.PARTIAL),
        ([23, 0, 23], RunOutcome.PARTIAL),
        ([24], RunOutcome.FAILED),
        ([23, 24], RunOutcome.FAILED),
    ],
)
def test_units_make_a_run(codes: list[int], outcome: RunOutcome) -> None:
    assert decide_outcome([_unit(code) for code in codes]) is outcome


def test_a_digest_is_of_the_very_bytes() -> None:
    assert compute_plan_digest(b"{}") == "sha256:" + hashlib.sha256(b"{}").hexdigest()


def test_a_record_says_who_when_what_and_how_it_ended() -> None:
    request = Bench().request()

    record = build_run_record(request, [DONE, FAILED], AROUND)

    assert (record.run_id, record.cluster, record.distributor) == ("run-1", "local", "acme")
    assert (record.outcome, record.exit_code, record.index) == ("Partial", 24, "Off")
    assert (record.started_at, record.ended_at) == (AROUND.started_at, AROUND.ended_at)
    assert (record.plan_digest, record.code_version) == ("sha256:abc", "1.2.3")
    assert record.source == {"snapshot": "s"}
    assert record.warnings == ("The clock is off.",)
    assert record.units == (DONE, FAILED)


def test_a_report_is_the_record_in_short() -> None:
    record = build_run_record(Bench().request(), [DONE, FAILED], AROUND)

    report = build_run_report(record)

    assert (report.run_id, report.outcome, report.exit_code) == ("run-1", "Partial", 24)
    done, failed = report.units
    assert (done.seq, done.version, done.rows, done.quarantined, done.high) == (
        3,
        4,
        9,
        1,
        "2026-01-02",
    )
    assert (failed.code, failed.reason, failed.message, failed.fingerprint, failed.high) == (
        24,
        Reason.REPLACE_TOO_SMALL,
        "Too small.",
        "seq 3",
        "",
    )


def test_a_run_bore_all_statements_the_longest_one_and_the_oldest_snapshot() -> None:
    loads = (
        LoadRecord(statements=3, longest_statement_seconds=4.5, longest_statement="Reading 'a'"),
        LoadRecord(statements=2, longest_statement_seconds=1.0, snapshot_age_seconds=9.0),
    )
    units = [DONE.model_copy(update={"load": load}) for load in loads]

    record = build_run_record(Bench().request(), [*units, FAILED], AROUND)
    report = build_run_report(record)

    assert record.load == LoadRecord(
        statements=5,
        longest_statement_seconds=4.5,
        longest_statement="Reading 'a'",
        snapshot_age_seconds=9.0,
    )
    assert (report.longest_statement_seconds, report.snapshot_age_seconds) == (4.5, 9.0)


def test_a_run_that_asked_no_source_tells_of_no_load() -> None:
    assert fold_loads([FAILED]) is None
