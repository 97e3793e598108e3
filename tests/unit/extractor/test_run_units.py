"""The run on fakes: what each dataset becomes, what goes to quarantine, and what is left behind."""

from dataclasses import replace

import pyarrow as pa
import pytest

from dpp_core.errors import (
    DestinationUnavailableError,
    SourceUnavailableError,
)
from dpp_core.handover import Incremental, Values, build_request_bytes
from dpp_core.names import Reason, RunOutcome, UnitOutcome
from dpp_extractor.publish.keys import plan_key
from dpp_extractor.run import run
from fake_source import START, Broken, FakeTable, column
from run_bench import APPEND, REPLACE, Bench, FakeIndex, make_shop, order, unit_of

THREE = tuple(unit_of(name) for name in ("customers", "orders", "stock"))


@pytest.fixture
def bench() -> Bench:
    """Give three tables of which `orders` has three rows."""
    return make_shop()


def _failing(bench: Bench, dataset: str, error: BaseException, at: str = "describe") -> None:
    def before(call: str) -> None:
        bench.journal.append(call)
        if call == f"{at} {dataset}":
            raise error

    bench.source.before = before


# --- what a unit becomes ---


def test_a_first_run_brings_every_row_and_says_where_it_is(bench: Bench) -> None:
    report = bench.run(APPEND)

    assert (report.outcome, report.exit_code, report.index) == (RunOutcome.SUCCEEDED, 0, "Off")
    unit = report.units[0]
    assert (unit.outcome, unit.seq, unit.version, unit.rows) == (UnitOutcome.COMMITTED, 1, 0, 3)
    assert unit.high == "2026-01-02T03:04:14.000000+00:00"
    assert bench.current() == bench.source_rows()


def test_a_run_with_nothing_new_leaves_the_table_as_it_is(bench: Bench) -> None:
    bench.run(APPEND)
    bench.tick()

    unit = bench.run_one()

    assert (unit.outcome, unit.code, unit.rows) == (UnitOutcome.UNCHANGED, 0, 0)
    assert bench.commits() == 1


def test_the_next_run_brings_only_the_change(bench: Bench) -> None:
    bench.run(APPEND)
    bench.source.put("orders", order(2, 20, "ink"), order(4, 20))
    bench.tick(60)

    unit = bench.run_one()

    assert (unit.outcome, unit.rows, unit.seq) == (UnitOutcome.COMMITTED, 2, 2)
    assert len(bench.rows()) == 5
    assert bench.current() == bench.source_rows()


def test_the_first_run_of_an_empty_table_commits_and_the_next_is_unchanged(bench: Bench) -> None:
    unit = unit_of("stock")
    first = bench.run_one(unit)
    bench.tick()
    second = bench.run_one(unit)

    assert (first.outcome, first.rows, first.version) == (UnitOutcome.COMMITTED, 0, 0)
    assert second.outcome is UnitOutcome.UNCHANGED
    schema = bench.head("stock").schema
    assert schema is not None
    assert schema.names[:3] == ["id", "item", "updated_at"]
    assert bench.rows("stock") == []


def test_an_integer_cursor_of_an_empty_table_commits_once_too(bench: Bench) -> None:
    unit = unit_of("stock", incremental=Incremental(cursor="id"))

    first, second = bench.run_one(unit), bench.run_one(unit)
    bench.source.put("stock", order(5))
    third = bench.run_one(unit)

    assert [each.outcome.value for each in (first, second, third)] == [
        "Committed",
        "Unchanged",
        "Committed",
    ]
    assert (third.rows, third.high) == (1, "6")


def test_a_row_stamped_at_the_high_itself_comes_with_the_next_run_and_once(bench: Bench) -> None:
    bench.source.put("orders", order(4, 9))

    first = bench.run_one()
    bench.tick()
    second = bench.run_one()

    assert first.high == "2026-01-02T03:04:14.000000+00:00"  # nine seconds after the start
    assert (first.rows, second.rows) == (3, 1)
    assert len(bench.rows()) == 4


def test_an_initial_that_lies_ahead_makes_the_table_and_reads_nothing_yet(bench: Bench) -> None:
    later = Incremental(cursor="updated_at", initial="2026-01-02T03:05:00+00:00")
    unit = APPEND.model_copy(update={"incremental": later})

    first, second = bench.run_one(unit), bench.run_one(unit)
    bench.source.put("orders", order(4, 60))
    bench.tick(120)
    third = bench.run_one(unit)

    assert [(each.outcome.value, each.rows) for each in (first, second, third)] == [
        ("Committed", 0),
        ("Unchanged", 0),
        ("Committed", 1),
    ]
    assert [row["id"] for row in bench.rows()] == [4]


def test_a_table_of_nothing_but_rows_without_a_cursor_brings_none_of_them(bench: Bench) -> None:
    bench.source.tables["stock"] = FakeTable(
        columns=(column("id", pa.int64()), *bench.source.tables["orders"].columns[1:]), unique=()
    )
    bench.source.put("stock", {"id": None, "item": "lost"})
    unit = unit_of("stock", key=("item",), incremental=Incremental(cursor="id", nulls="Exclude"))

    assert (bench.run_one(unit).outcome, bench.rows("stock")) == (UnitOutcome.COMMITTED, [])


def test_a_replace_always_commits_and_holds_the_source_alone(bench: Bench) -> None:
    bench.run(REPLACE)
    bench.tick()
    bench.source.tables["orders"].rows.pop()

    unit = bench.run_one(REPLACE)

    assert (unit.outcome, unit.seq, unit.rows) == (UnitOutcome.COMMITTED, 2, 2)
    assert len(bench.rows()) == 2
    assert bench.run_one(REPLACE).seq == 3


def test_a_replace_of_an_emptied_table_is_blocked_until_it_is_approved(bench: Bench) -> None:
    bench.run(REPLACE)
    bench.source.tables["orders"].rows.clear()
    bench.tick()

    blocked = bench.run(REPLACE)
    waiting = bench.run_one(REPLACE)
    approved = bench.run_one(REPLACE, approve=(blocked.run_id,))
    again = bench.run_one(REPLACE, approve=(blocked.run_id,))

    assert (blocked.units[0].outcome, blocked.exit_code) == (UnitOutcome.BLOCKED, 24)
    assert blocked.units[0].reason is Reason.REPLACE_TOO_SMALL
    assert waiting.code == 24
    assert (approved.outcome, approved.rows) == (UnitOutcome.COMMITTED, 0)
    assert again.outcome is UnitOutcome.COMMITTED
    assert bench.rows() == []


def test_epoch_plus_one_reads_everything_anew(bench: Bench) -> None:
    bench.run(APPEND)
    bench.tick()
    bench.source.tables["orders"].rows.pop()

    unit = bench.run_one(APPEND.model_copy(update={"epoch": 1}))

    assert (unit.outcome, unit.rows) == (UnitOutcome.COMMITTED, 2)
    assert len(bench.rows()) == 2


# --- publish None ---


@pytest.mark.parametrize("publish", ["None", "Shadow"])
@pytest.mark.parametrize("limit", [None, 2], ids=["dry run", "limit"])
def test_a_run_that_publishes_nothing_puts_nothing_into_the_store(
    bench: Bench, publish: str, limit: int | None
) -> None:
    bench.source.put("orders", order(9, item=Broken("\x00")))

    report = bench.run(*THREE, publish=publish, limit_rows=limit)

    assert bench.store.objects == {}
    assert not [call for call in bench.journal if call.startswith("put")]
    assert report.units[1].outcome is UnitOutcome.SKIPPED
    assert report.units[1].rows == (limit or 3)
    assert "nothing was committed" in report.units[1].message
    assert report.exit_code == 0


def test_a_dry_run_on_a_table_that_is_there_leaves_every_byte_as_it_was(bench: Bench) -> None:
    bench.run(APPEND)
    before = dict(bench.store.objects)
    bench.source.put("orders", order(4, 20))
    bench.tick(60)

    unit = bench.run_one(publish="None")

    assert bench.store.objects == before
    assert (unit.outcome, unit.rows) == (UnitOutcome.SKIPPED, 1)


# --- quarantine ---


def test_a_row_that_cannot_be_kept_goes_to_quarantine_and_the_rest_goes_on(bench: Bench) -> None:
    bench.source.put("orders", order(9, item=Broken("\x00")))

    report = bench.run(APPEND)

    assert (report.units[0].rows, report.units[0].quarantined) == (3, 1)
    record = bench.records(report.run_id)[0].units[0]
    body = bench.store.objects[record.quarantine[0]].decode()
    assert '"rule": "type"' in body
    assert '"id": "9"' in body
    assert record.counts.read == record.counts.written + record.counts.quarantined == 4


def test_a_value_that_is_set_to_null_is_counted_by_column_and_told(bench: Bench) -> None:
    bench.source.put("orders", order(8, item=Broken("\x00")), order(9, item=Broken("\x01")))
    unit = APPEND.model_copy(update={"values": Values(unfit="SetNull")})

    report = bench.run(unit)

    assert (report.units[0].rows, report.units[0].quarantined) == (5, 0)
    assert {row["item"] for row in bench.rows() if row["id"] > 7} == {None}
    record = bench.records(report.run_id)[0].units[0]
    assert record.counts.nulled == {"item": 2}
    assert "2 values of item are NULL" in " ".join(record.warnings)
    own = bench.head("orders").live
    assert own is not None
    assert own.counts.nulled == {"item": 2}
    field = bench.head("orders").schema.field("item")
    assert field.metadata[b"dpp.unfit"] == b"SetNull"


def test_a_value_in_a_column_of_the_word_fail_blocks_the_unit_alone(bench: Bench) -> None:
    bench.source.put("orders", order(9, item=Broken("\x00")))
    failing = THREE[1].model_copy(update={"values": Values(columns={"item": "Fail"})})

    report = bench.run(THREE[0], failing, THREE[2])

    assert [unit.code for unit in report.units] == [0, 24, 0]
    assert report.units[1].reason is Reason.VALUE_UNREPRESENTABLE
    assert "id=9" in report.units[1].message
    assert bench.commits() == 0


def test_a_row_without_a_key_goes_to_quarantine(bench: Bench) -> None:
    bench.source.tables["orders"] = FakeTable(
        columns=(column("id", pa.int64()), *bench.source.tables["stock"].columns[1:]), unique=()
    )
    bench.source.put("orders", order(1), {**order(2), "id": None}, {**order(3), "id": None})

    unit = bench.run_one()

    assert (unit.rows, unit.quarantined) == (1, 2)
    assert [row["id"] for row in bench.rows()] == [1]


def test_a_window_of_nothing_but_rejected_rows_is_committed_and_not_read_again(
    bench: Bench,
) -> None:
    bench.run(APPEND)
    bench.source.put("orders", order(9, 20, Broken("\x00")))
    bench.tick(60)

    first, second = bench.run_one(), bench.run_one()

    assert (first.outcome, first.rows, first.quarantined) == (UnitOutcome.COMMITTED, 0, 1)
    assert second.outcome is UnitOutcome.UNCHANGED


def test_more_rejected_rows_than_quarantine_holds_block_the_unit(bench: Bench) -> None:
    bench.source.tables["orders"].rows = [
        order(number, item=Broken("\x00")) for number in range(1_001)
    ]
    bench.source.batch_rows = 100

    report = bench.run(*THREE)

    assert [unit.code for unit in report.units] == [0, 24, 0]
    assert report.units[1].reason is Reason.QUARANTINE_FULL
    assert bench.commits("orders") == 0
    assert not any("quarantine" in key for key in bench.store.objects)


def test_rejected_rows_that_cannot_be_stored_stop_the_commit(bench: Bench) -> None:
    bench.source.put("orders", order(9, item=Broken("\x00")))

    def before_put(key: str) -> None:
        if "quarantine" in key:
            raise DestinationUnavailableError("gone")

    bench.store.faults.before_put = before_put

    assert bench.run_one().code == 26
    assert bench.commits() == 0


# --- warnings ---


def test_rows_of_the_future_are_counted_and_named(bench: Bench) -> None:
    bench.source.put("orders", order(7, 86_400 * 3))

    report = bench.run(APPEND)

    record = bench.records(report.run_id)[0].units[0]
    assert record.counts.future == 1
    assert any("the first is id=7" in warning for warning in record.warnings)
    assert record.counts.written == 3


def test_rows_without_a_cursor_block_until_somebody_leaves_them_out(bench: Bench) -> None:
    bench.source.put("orders", {"id": 8, "item": "lost"})
    knowing = APPEND.model_copy(
        update={"incremental": Incremental(cursor="updated_at", nulls="Exclude")}
    )

    blocked = bench.run_one()
    report = bench.run(knowing)

    assert (blocked.code, blocked.reason) == (24, Reason.CURSOR_HAS_NULLS)
    record = bench.records(report.run_id)[0].units[0]
    assert any("1 rows without updated_at" in warning for warning in record.warnings)
    assert record.counts.written == 3


def test_a_source_without_a_horizon_says_why_its_windows_lag(bench: Bench) -> None:
    bench.source.has_horizon = False
    bench.tick(600)

    report = bench.run(APPEND)

    record = bench.records(report.run_id)[0]
    assert record.units[0].warnings == ("NoHorizon: nobody may look",)
    assert record.units[0].window is not None
    assert record.units[0].window.reason == "NoHorizon"
    assert record.source["reason"] == "NoHorizon"


def test_a_new_column_is_told_and_old_rows_have_none_of_it(bench: Bench) -> None:
    bench.run(APPEND)
    bench.source.tables["orders"].add_column(column("colour", pa.string()))
    bench.source.put("orders", {**order(4, 20), "colour": "red"})
    bench.tick(60)

    report = bench.run(APPEND)

    assert bench.records(report.run_id)[0].units[0].warnings == ("Column colour is new.",)
    assert [row["colour"] for row in bench.current()] == [None, None, None, "red"]


def test_a_clock_that_is_off_is_a_warning_in_the_record(bench: Bench) -> None:
    bench.store.tick(3600)
    tools = bench.tools()
    request = bench.request()
    run(request, replace(tools, now=lambda: START))

    assert any("3610 s apart" in warning for warning in bench.records(request.run_id)[0].warnings)


# --- what is left behind ---


def test_plan_and_record_say_what_was_asked_and_what_happened(bench: Bench) -> None:
    request = bench.request(*THREE)

    bench.again(request)

    assert bench.store.objects[plan_key("acme", "shop", request.run_id)] == build_request_bytes(
        request
    )
    record = bench.records(request.run_id)[0]
    assert (record.outcome, record.exit_code, record.code_version) == ("Succeeded", 0, "1.2.3")
    assert [unit.dataset for unit in record.units] == ["customers", "orders", "stock"]
    assert record.source["snapshot"].startswith("fake@")
    unit = record.units[1]
    assert (unit.kind, unit.parts, unit.counts.read) == ("append", 1, 3)
    assert unit.bytes > 0
    assert bench.head().live is not None
    assert unit.schema_fingerprint == bench.head().live.fingerprint  # type: ignore[union-attr]


def test_units_stand_in_the_order_of_the_request_however_they_ended(bench: Bench) -> None:
    _failing(bench, "customers", SourceUnavailableError("gone"), at="read")
    bench.source.put("customers", order(1))

    report = bench.run(*THREE)

    assert [unit.dataset for unit in report.units] == ["customers", "orders", "stock"]


def test_a_record_that_cannot_be_written_leaves_the_report(bench: Bench) -> None:
    def before_put(key: str) -> None:
        if "_dpp/runs" in key or "_dpp/plans" in key:
            raise DestinationUnavailableError("gone")

    bench.store.faults.before_put = before_put

    report = bench.run(APPEND)

    assert report.exit_code == 0
    assert bench.records(report.run_id) == []
    assert bench.current() == bench.source_rows()


def test_the_index_holds_run_commit_watermark_and_catalog(bench: Bench) -> None:
    bench.index = FakeIndex()

    report = bench.run(*THREE)

    counts = {name: len(bench.index.of(name)) for name in INDEXED}
    assert report.index == "Current"
    assert counts == {"runs": 1, "commits": 3, "watermarks": 3, "catalog": 3}
    catalog = next(each for each in bench.index.of("catalog") if each["dataset"] == "orders")
    assert catalog["table"] == "memory://fake/acme/shop/orders"
    assert [each["name"] for each in catalog["columns"]][:3] == ["id", "item", "updated_at"]


INDEXED = ("runs", "commits", "watermarks", "catalog")


@pytest.mark.parametrize("saves", [0, 1, 2, 3, 4])
def test_an_index_that_is_down_or_goes_down_is_behind_and_the_run_succeeds(
    bench: Bench, saves: int
) -> None:
    bench.index = FakeIndex(saves_until_down=saves)

    report = bench.run(APPEND)

    assert report.index == ("Behind" if saves < 4 else "Current")
    assert (report.outcome, report.exit_code) == (RunOutcome.SUCCEEDED, 0)
    assert bench.commits() == 1


def test_an_index_that_came_back_before_the_end_is_still_behind(bench: Bench) -> None:
    bench.index = index = FakeIndex(saves_until_down=0)

    def on_hook(point: str) -> None:
        if point == "recorded":
            index.saves_until_down = None

    bench.on_hook = on_hook

    assert bench.run(APPEND).index == "Behind"


def test_progress_is_told_once_a_batch_with_rows_so_far(bench: Bench) -> None:
    bench.run(APPEND)

    assert [(dataset, rows) for dataset, rows, _ in bench.progress] == [
        ("orders", 2),
        ("orders", 3),
    ]
    assert [size for *_, size in bench.progress] == sorted(size for *_, size in bench.progress)
