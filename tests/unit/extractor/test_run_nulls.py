"""Rows without a cursor through a whole run on fakes: read in each run, or placed by another column."""

from dataclasses import replace
from typing import Any

import pytest

from dpp_core.handover import Incremental, Unit
from dpp_core.names import Reason, UnitOutcome
from fake_source import INSTANT, START, FakeTable, column
from run_bench import APPEND, Bench, make_shop, order

INCLUDE = APPEND.model_copy(
    update={"incremental": Incremental(cursor="updated_at", nulls="Include")}
)
COALESCE = APPEND.model_copy(
    update={"incremental": Incremental(cursor="updated_at", nulls="Coalesce", coalesce="made_at")}
)


@pytest.fixture
def bench() -> Bench:
    """Give a table of three rows, of which each also says when it was made."""
    bench = make_shop()
    orders = bench.source.tables["orders"]
    orders.columns = (*orders.columns, column("made_at", INSTANT))
    for row in orders.rows:
        row["made_at"] = START
    return bench


def _bare(number: int, item: str = "bare", **cells: Any) -> dict[str, Any]:
    return {"id": number, "item": item, "updated_at": None, **cells}


def _written(bench: Bench, unit: Unit) -> tuple[str, int]:
    ended = bench.run_one(unit)
    return ended.outcome.value, ended.rows


def test_included_rows_come_with_every_run_also_when_no_other_is_new(bench: Bench) -> None:
    bench.source.put("orders", _bare(8))
    first = _written(bench, INCLUDE)
    bench.source.put("orders", _bare(8, "changed"))
    second = _written(bench, INCLUDE)  # the clock has not moved: the window stands still
    bench.tick()

    assert (first, second) == (("Committed", 4), ("Committed", 1))
    assert _written(bench, INCLUDE) == ("Committed", 1)
    assert bench.current() == bench.source_rows()


def test_the_record_says_how_many_rows_come_again(bench: Bench) -> None:
    bench.source.put("orders", _bare(8), _bare(9))

    report = bench.run(INCLUDE)

    (record,) = bench.records(report.run_id)[0].units
    assert any("2 rows without updated_at are read in each run" in w for w in record.warnings)


def test_without_such_rows_an_including_dataset_is_unchanged(bench: Bench) -> None:
    bench.run(INCLUDE)

    assert bench.run_one(INCLUDE).outcome is UnitOutcome.UNCHANGED


def test_an_included_row_that_gets_its_cursor_comes_by_its_window(bench: Bench) -> None:
    bench.source.put("orders", _bare(8))
    bench.run(INCLUDE)
    bench.source.put("orders", order(8, 20, "stamped"))
    bench.tick(60)

    assert _written(bench, INCLUDE) == ("Committed", 1)
    assert bench.current() == bench.source_rows()


def test_a_row_without_a_cursor_is_placed_by_the_column_in_its_stead(bench: Bench) -> None:
    bench.source.put("orders", _bare(8, made_at=START))
    first = _written(bench, COALESCE)
    bench.tick()
    again = _written(bench, COALESCE)
    bench.source.put("orders", _bare(9, made_at=bench.source.clock))
    bench.tick(60)

    assert (first, again) == (("Committed", 4), ("Unchanged", 0))
    assert _written(bench, COALESCE) == ("Committed", 1)
    assert bench.current() == bench.source_rows()


def test_a_row_with_neither_blocks_the_dataset(bench: Bench) -> None:
    bench.source.put("orders", _bare(8, made_at=None))

    ended = bench.run_one(COALESCE)

    assert (ended.code, ended.reason) == (24, Reason.CURSOR_HAS_NULLS)


def test_a_column_of_another_type_cannot_stand_in(bench: Bench) -> None:
    wrong = Incremental(cursor="updated_at", nulls="Coalesce", coalesce="id")

    ended = bench.run_one(APPEND.model_copy(update={"incremental": wrong}))

    assert (ended.code, "cannot stand in" in ended.message) == (20, True)


def test_another_column_in_its_stead_is_another_stream_until_the_epoch_is_raised(
    bench: Bench,
) -> None:
    leaving_out = Incremental(cursor="updated_at", nulls="Exclude")
    bench.source.put("orders", _bare(8, made_at=START))
    bench.run(APPEND.model_copy(update={"incremental": leaving_out}))
    bench.tick()

    refused = bench.run_one(COALESCE)
    anew = bench.run_one(COALESCE.model_copy(update={"epoch": 1}))

    assert (refused.code, refused.reason) == (29, Reason.STREAM_IDENTITY_CHANGED)
    assert (anew.outcome, anew.rows) == (UnitOutcome.COMMITTED, 4)


def test_windows_keep_to_the_coarser_precision_of_the_two(bench: Bench) -> None:
    orders: FakeTable = bench.source.tables["orders"]
    orders.columns = (*orders.columns[:-1], replace(orders.columns[-1], second_digits=0))
    bench.source.tick(0.7)

    assert str(bench.run_one(COALESCE).high).endswith(":14.000000+00:00")
