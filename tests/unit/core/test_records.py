"""The run record: written once, read by every later version."""

import json
from datetime import UTC, datetime

from dpp_core.names import Reason, RunOutcome, UnitOutcome
from dpp_core.records import CountsRecord, RunRecord, UnitRecord, WindowRecord

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _record() -> RunRecord:
    unit = UnitRecord(
        dataset="orders",
        outcome=UnitOutcome.COMMITTED,
        attempt_id="a",
        kind="append",
        seq=3,
        version=4,
        read_at=AT,
        window=WindowRecord(cursor="at", kind="timestamp", low=None, high="2026-01-02"),
        counts=CountsRecord(read=10, quarantined=1, written=9),
        reason=Reason.SUCCEEDED,
    )
    return RunRecord(
        run_id="r",
        attempt_id="a",
        correlation_id="c",
        cluster="local",
        namespace="acme",
        extraction="acme",
        distributor="acme",
        generation=1,
        type="Manual",
        publish="Live",
        created_at=AT,
        started_at=AT,
        ended_at=AT,
        outcome=RunOutcome.SUCCEEDED,
        exit_code=0,
        plan_digest="sha256:0",
        units=(unit,),
    )


def test_a_record_comes_back_as_it_was_written() -> None:
    assert RunRecord.model_validate_json(_record().model_dump_json(indent=1)) == _record()


def test_a_record_of_a_newer_version_is_read_without_what_it_adds() -> None:
    fields = json.loads(_record().model_dump_json())
    fields["weather"] = "fine"
    fields["units"][0]["lineage"] = {"to": "lake"}
    fields["units"][0]["window"]["zone"] = "UTC"

    assert RunRecord.model_validate(fields) == _record()


def test_a_record_says_its_format_and_every_instant_in_utc() -> None:
    fields = json.loads(_record().model_dump_json())

    assert fields["format"] == 1
    assert fields["started_at"] == "2026-01-02T03:04:05Z"
