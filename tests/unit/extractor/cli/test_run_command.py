"""`dpp run`: how a run is named and asked for, and how its report is printed."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpp_core.cli.output import Output
from dpp_core.handover import RunReport, RunRequest, UnitReport
from dpp_core.names import Reason, RunOutcome, UnitOutcome
from dpp_extractor.cli import run as command
from run_bench import Bench

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RESOURCE = """
apiVersion: extraction.dpp.dev/v1alpha1
kind: DistributorExtraction
metadata: {name: shop, namespace: acme}
spec:
  distributor: acme
  source: {erp: generic-sql, database: {engine: sqlite, database: erp.db}}
  datasets: [{name: orders, key: [id]}, {name: stock, key: [id]}]
  destination: {profile: lake}
"""


def _report(*units: UnitReport, code: int = 0) -> RunReport:
    return RunReport(
        run_id="shop-1",
        attempt_id="a",
        outcome=RunOutcome.PARTIAL if code else RunOutcome.SUCCEEDED,
        exit_code=code,
        started_at=AT,
        ended_at=AT + timedelta(seconds=2.5),
        units=units,
    )


DONE = UnitReport(
    dataset="orders",
    outcome=UnitOutcome.COMMITTED,
    seq=3,
    version=4,
    rows=12345,
    high="2026-01-02",
)
FAILED = UnitReport(
    dataset="stock",
    outcome=UnitOutcome.FAILED,
    code=31,
    reason=Reason.SOURCE_OBJECT_MISSING,
    message="There is no stock.",
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[RunRequest]:
    """Take down what would be carried out; the answer is one failed unit."""
    requests: list[RunRequest] = []

    def carry_out(request: RunRequest, secrets_file: Path | None, *, as_json: bool) -> RunReport:
        requests.append(request)
        return _report(DONE, FAILED, code=31)

    monkeypatch.setattr(command, "carry_out", carry_out)
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text(RESOURCE)
    return requests


def _run(**options: Any) -> int:
    return command.run(file=Path("shop.yaml"), **options)


def test_a_runs_name_begins_with_its_extraction_and_its_time() -> None:
    assert command.build_run_id("shop", AT, "a1b2c3") == "shop-20260102030405-a1b2c3"


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=253))
def test_a_runs_name_is_never_longer_than_a_label(extraction: str) -> None:
    assert len(command.build_run_id(extraction, AT, "a1b2c3")) <= 63


def test_names_of_later_runs_sort_behind(asked: list[RunRequest]) -> None:
    names = [command.build_run_id("shop", AT + timedelta(seconds=n), "ffffff") for n in range(70)]

    assert names == sorted(names)


def test_the_exit_code_is_the_runs(asked: list[RunRequest]) -> None:
    assert _run() == 31


def test_two_runs_have_two_names_and_a_named_run_goes_on(asked: list[RunRequest]) -> None:
    _run()
    _run()
    _run(run_id="shop-again")

    first, second, third = (request.run_id for request in asked)
    assert first != second
    assert first.startswith("shop-")
    assert third == "shop-again"


@pytest.mark.parametrize(
    ("options", "publish", "limit"),
    [
        ({}, "Live", None),
        ({"dry_run": True}, "None", None),
        ({"limit": 10}, "None", 10),
        ({"limit": 10, "dry_run": True}, "None", 10),
    ],
    ids=["live", "dry run", "limit", "both"],
)
def test_a_limit_or_a_dry_run_publishes_nothing(
    asked: list[RunRequest], options: dict[str, Any], publish: str, limit: int | None
) -> None:
    _run(**options)

    assert (asked[0].publish, asked[0].limit_rows) == (publish, limit)


def test_only_the_named_datasets_are_asked_for(asked: list[RunRequest]) -> None:
    _run(dataset=["stock"])

    assert [unit.dataset for unit in asked[0].units] == ["stock"]


def test_every_run_has_a_trace_of_its_own(asked: list[RunRequest]) -> None:
    _run()
    _run()

    assert asked[0].traceparent != asked[1].traceparent
    assert asked[0].traceparent.startswith("00-")


def test_programs_get_the_report_as_one_document(
    asked: list[RunRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    _run(output=Output.JSON)

    printed = json.loads(capsys.readouterr().out)
    assert (printed["outcome"], printed["exit_code"]) == ("Partial", 31)
    assert printed["units"][0] == {
        "dataset": "orders",
        "outcome": "Committed",
        "seq": 3,
        "version": 4,
        "rows": 12345,
        "quarantined": 0,
        "deleted": 0,
        "high": "2026-01-02",
        "code": 0,
        "message": "",
        "fingerprint": "",
    }


def test_people_get_a_line_a_dataset_then_what_needs_attention_then_where_the_tables_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command.print_report(_report(DONE, FAILED, code=31), Bench().request())

    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[1].split() == [
        *("orders", "Committed", "12,345", "0", "0", "3", "4", "2026-01-02")
    ]
    assert lines[2].split() == ["stock", "Failed", "0", "0", "0", "-", "-", "-"]
    assert lines[-2] == "Run shop-1: Partial in 2.5 s (exit code 31)."
    assert lines[-1] == "Tables: /lake/acme/shop/<dataset>"
    assert err == "stock: SourceObjectMissing: There is no stock.\n"


def test_what_all_datasets_share_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    units = [FAILED.model_copy(update={"dataset": name}) for name in ("a", "b", "c")]

    command.print_report(_report(*units, code=31), Bench().request())

    assert capsys.readouterr().err.count("There is no stock.") == 1


def test_a_run_that_was_to_look_only_says_that_nothing_was_committed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command.print_report(_report(DONE), Bench().request(publish="None"))

    assert "Nothing was committed" in capsys.readouterr().out
