"""The Job's process: a request file goes in, a termination message and an exit code come out."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dpp_core import logs
from dpp_core.handover import (
    DatabaseSource,
    Destination,
    Incremental,
    RunRequest,
    Unit,
    build_request_bytes,
)
from dpp_core.names import Reason, RunOutcome, UnitOutcome
from dpp_core.termination import REPORT_LIMIT_BYTES, parse_termination_message
from dpp_extractor import __main__ as process
from dpp_extractor import run as conductor
from log_capture import Captured, captured_logs


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Captured]:
    """Give what the process logs."""
    with captured_logs() as captured:
        monkeypatch.setattr(logs, "set_up_logging", lambda *settings: None)
        yield captured


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, captured: Captured, tmp_path: Path) -> Path:
    """Give a folder with a source, and an environment as a Job's."""
    for name, value in {
        "DPP_REQUEST_FILE": tmp_path / "request.json",
        "DPP_TERMINATION_FILE": tmp_path / "message",
        "DPP_SECRETS_DIR": tmp_path / "secrets",
    }.items():
        monkeypatch.setenv(name, str(value))
    with closing(sqlite3.connect(tmp_path / "erp.db")) as shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, at TIMESTAMP)")
        shop.execute("INSERT INTO orders VALUES (1, '2026-01-01 00:00:00')")
        shop.commit()
    return tmp_path


def _request(folder: Path, *units: Unit) -> RunRequest:
    now = datetime.now(UTC)
    unit = Unit(
        dataset="orders",
        object="orders",
        key=("id",),
        incremental=Incremental(cursor="at"),
        write="Append",
    )
    return RunRequest(
        run_id="acme-1",
        correlation_id="c" * 32,
        cluster="local",
        namespace="acme",
        extraction="acme",
        distributor="acme",
        created_at=now,
        deadline_at=now + timedelta(hours=1),
        source=DatabaseSource(engine="sqlite", database=str(folder / "erp.db")),
        destination=Destination(kind="Folder", path=str(folder / "out")),
        units=units or (unit,),
    )


def _main(folder: Path, body: bytes) -> tuple[int, bytes]:
    (folder / "request.json").write_bytes(body)
    code = process.main()
    return code, (folder / "message").read_bytes()


def test_a_request_becomes_a_table_and_a_report(job: Path) -> None:
    code, message = _main(job, build_request_bytes(_request(job)))

    report = parse_termination_message(message)
    assert code == report.exit_code == 0
    assert (report.run_id, report.outcome) == ("acme-1", RunOutcome.SUCCEEDED)
    assert [(unit.outcome, unit.rows) for unit in report.units] == [(UnitOutcome.COMMITTED, 1)]
    assert list((job / "out/acme/acme/orders/_delta_log").glob("*.json"))


def test_the_same_job_once_more_ends_well_and_commits_nothing(job: Path) -> None:
    body = build_request_bytes(_request(job))
    _main(job, body)

    code, message = _main(job, body)

    assert code == 0
    assert parse_termination_message(message).units[0].outcome is UnitOutcome.ALREADY_COMMITTED


def test_a_request_to_maintain_reads_no_source_and_reports_each_table(job: Path) -> None:
    request = _request(job)
    _main(job, build_request_bytes(request))
    log = job / "out/acme/acme/orders/_delta_log"
    before = sorted(log.iterdir())
    (job / "erp.db").unlink()
    upkeep = request.model_copy(update={"run_id": "acme-maintain-1", "type": "Maintain"})

    code, message = _main(job, build_request_bytes(upkeep))

    report = parse_termination_message(message)
    assert (code, report.run_id, report.outcome) == (0, "acme-maintain-1", RunOutcome.SUCCEEDED)
    assert [(u.outcome, u.seq, u.rows) for u in report.units] == [(UnitOutcome.UNCHANGED, None, 0)]
    assert sorted(log.iterdir()) == before


def test_tables_of_another_owner_are_not_maintained(job: Path) -> None:
    request = _request(job)
    _main(job, build_request_bytes(request))
    upkeep = request.model_copy(update={"cluster": "another", "type": "Maintain"})

    code, message = _main(job, build_request_bytes(upkeep))

    (unit,) = parse_termination_message(message).units
    assert (code, unit.outcome, unit.reason) == (
        29,
        UnitOutcome.FAILED,
        Reason.STREAM_OWNED_BY_ANOTHER,
    )


def test_a_failing_dataset_gives_its_code_and_says_why(job: Path) -> None:
    missing = Unit(dataset="stock", object="stock", key=("id",))

    code, message = _main(job, build_request_bytes(_request(job, missing)))

    unit = parse_termination_message(message).units[0]
    assert code == unit.code == 31
    assert "stock" in unit.message


def test_keys_that_are_no_text_can_be_told_of(job: Path) -> None:
    with closing(sqlite3.connect(job / "erp.db")) as shop:
        shop.execute("CREATE TABLE names (name TEXT)")
        shop.execute("INSERT INTO names VALUES (CAST(x'4dfc' AS TEXT)), (CAST(x'4dfc' AS TEXT))")
        shop.commit()
    unit = Unit(dataset="names", object="names", key=("name",))

    code, message = _main(job, build_request_bytes(_request(job, unit)))

    assert code == 24
    assert "name=M\ufffd" in parse_termination_message(message).units[0].message


def test_a_hundred_failing_datasets_of_long_names_fit_the_message(job: Path) -> None:
    units = [Unit(dataset=f"{n:03d}{'ab-' * 20}", object="ü" * 256, key=("i",)) for n in range(100)]
    request = _request(job, *units)

    code, message = _main(job, build_request_bytes(request))

    report = parse_termination_message(message, [unit.dataset for unit in units])
    assert code == 31
    assert len(message) <= REPORT_LIMIT_BYTES
    assert (len(report.units), report.truncated) == (100, False)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "cannot be read"),
        (b'{"run_id": "x"}', "cannot be read"),
        (b'{"must_understand": ["cdc"], "run_id": "x"}', "needs cdc"),
    ],
    ids=["torn", "incomplete", "not understood"],
)
def test_a_damaged_request_ends_with_20_and_a_sentence(job: Path, body: bytes, told: str) -> None:
    code, message = _main(job, body)

    assert code == 20
    assert told in message.decode()
    assert not (job / "out").exists()


def test_a_request_that_is_not_there_ends_with_20_and_names_its_file(job: Path) -> None:
    code = process.main()

    message = (job / "message").read_text()
    assert code == 20
    assert str(job / "request.json") in message
    assert "DPP_REQUEST_FILE" in message


def test_a_missing_secret_ends_with_21_before_anything_connects(job: Path) -> None:
    request = _request(job).model_copy(
        update={
            "source": DatabaseSource(engine="postgresql", host="erp.invalid", database="erp"),
        }
    )

    code, message = _main(job, build_request_bytes(request))

    assert code == 21
    assert b"source" in message
    assert not (job / "out").exists()


def test_a_crash_ends_with_70_and_leaves_a_line_that_says_where(
    job: Path, captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object) -> None:
        raise ZeroDivisionError("password=hunter2 " + "ü" * 5000)

    monkeypatch.setattr(conductor, "run", crash)

    code, message = _main(job, build_request_bytes(_request(job)))

    assert code == 70
    assert message.decode().startswith("ZeroDivisionError")
    assert len(message) <= REPORT_LIMIT_BYTES
    assert b"hunter2" not in message
    assert "hunter2" not in captured.text
    assert "crash" in captured.events()[0]


def test_a_message_that_cannot_be_written_does_not_change_the_end(
    job: Path, captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPP_TERMINATION_FILE", str(job / "nowhere" / "message"))
    (job / "request.json").write_bytes(build_request_bytes(_request(job)))

    assert process.main() == 0
    assert "termination_message_not_written" in captured.events()


def test_a_wrong_setting_ends_with_20_and_names_it(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPP_LOG_FORMAT", "xml")

    code, message = _main(job, build_request_bytes(_request(job)))

    assert code == 20
    assert b"DPP_LOG_FORMAT" in message


def test_the_record_of_a_run_that_ended_well_is_in_the_store(job: Path) -> None:
    _main(job, build_request_bytes(_request(job)))

    (record,) = (job / "out/acme/acme/_dpp/runs/acme-1").glob("*.json")
    assert json.loads(record.read_text())["outcome"] == "Succeeded"
