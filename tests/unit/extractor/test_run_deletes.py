"""Rows that went at the source, through the whole run on fakes: found, told, guarded, committed once."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from dpp_core.handover import Deletes, Incremental, RunReport, Unit, UnitReport
from dpp_core.names import Reason, UnitOutcome
from dpp_core.records import UnitRecord
from dpp_extractor.publish.keys import Stream
from dpp_extractor.upkeep.verify import Depth, verify
from fake_source import INSTANT, START, Broken, FakeTable, column
from run_bench import APPEND, Bench, FakeIndex, Killed, order

KEY_DIFF = APPEND.model_copy(update={"deletes": Deletes(kind="KeyDiff")})
STREAM = Stream("acme", "shop", "orders")


def by(cursor: str, **changes: Any) -> Unit:
    return KEY_DIFF.model_copy(update={"incremental": Incremental(cursor=cursor, **changes)})


@pytest.fixture
def bench() -> Bench:
    """Give five orders that were committed."""
    bench = Bench()
    bench.source.put("orders", *(order(number) for number in range(1, 6)))
    bench.tick()
    assert bench.run_one(KEY_DIFF).rows == 5
    bench.tick(60)
    return bench


def remove(bench: Bench, *keys: int) -> None:
    bench.source.tables["orders"].remove(*keys)


def record_of(bench: Bench, report: RunReport) -> UnitRecord:
    return bench.records(report.run_id)[-1].units[0]


def facts(unit: UnitReport) -> tuple[UnitOutcome, int, int]:
    return unit.outcome, unit.rows, unit.deleted


def is_right(bench: Bench) -> bool:
    """The current state is the source, and verify finds nothing in the table."""
    verdict = verify(bench.store, STREAM, Depth(deep=True), now=bench.store.clock)
    assert verdict.findings == ()
    return bench.current() == bench.source_rows()


def test_a_deleted_row_becomes_a_delete_row_with_its_key_alone(bench: Bench) -> None:
    remove(bench, 2, 4)
    bench.source.put("orders", order(6, 30))

    unit = bench.run_one(KEY_DIFF)

    assert facts(unit) == (UnitOutcome.COMMITTED, 1, 2)
    assert is_right(bench)
    deletes = [row for row in bench.rows() if row["_dpp_op"] == "delete"]
    read = next(row for row in bench.rows() if row["id"] == 6)
    assert [row["id"] for row in deletes] == [2, 4]
    assert {(row["item"], row["updated_at"]) for row in deletes} == {(None, None)}
    assert {row["_dpp_read_at"] for row in deletes} == {read["_dpp_read_at"]}
    assert min(row["_dpp_order"] for row in deletes) > read["_dpp_order"]


def test_deletes_alone_are_committed_and_nothing_at_all_is_not(bench: Bench) -> None:
    remove(bench, 5)

    first = bench.run_one(KEY_DIFF)
    bench.tick()
    second = bench.run_one(KEY_DIFF)

    assert facts(first) == (UnitOutcome.COMMITTED, 0, 1)
    assert facts(second) == (UnitOutcome.UNCHANGED, 0, 0)
    assert bench.commits() == 2
    assert is_right(bench)


def test_without_key_diff_a_deleted_row_stays(bench: Bench) -> None:
    remove(bench, 5)

    assert facts(bench.run_one(APPEND)) == (UnitOutcome.UNCHANGED, 0, 0)
    assert len(bench.current()) == 5
    assert facts(bench.run_one(KEY_DIFF)) == (UnitOutcome.COMMITTED, 0, 1)


def test_a_key_that_comes_back_lives_again_and_can_go_again(bench: Bench) -> None:
    remove(bench, 3)
    bench.run_one(KEY_DIFF)
    bench.source.put("orders", order(3, 71, "back"))
    bench.tick(60)

    assert facts(bench.run_one(KEY_DIFF)) == (UnitOutcome.COMMITTED, 1, 0)
    assert is_right(bench)
    remove(bench, 3)
    bench.tick(60)
    assert facts(bench.run_one(KEY_DIFF)) == (UnitOutcome.COMMITTED, 0, 1)
    assert is_right(bench)


def test_a_row_that_comes_and_goes_between_two_runs_leaves_no_trace(bench: Bench) -> None:
    bench.source.put("orders", order(9, 30))
    remove(bench, 9)

    assert facts(bench.run_one(KEY_DIFF)) == (UnitOutcome.UNCHANGED, 0, 0)


def test_a_row_not_brought_yet_is_neither_deleted_nor_missing(bench: Bench) -> None:
    bench.source.put("orders", order(1, 69.9, "later"), order(8, 69.9))

    report = bench.run(KEY_DIFF)

    assert facts(report.units[0]) == (UnitOutcome.UNCHANGED, 0, 0)
    assert record_of(bench, report).warnings == ()


def test_with_an_integer_cursor_deletes_are_committed_at_the_standing_watermark() -> None:
    bench = Bench()
    bench.source.put("orders", *(order(number) for number in range(1, 6)))
    unit = by("id")
    high = bench.run_one(unit).high
    remove(bench, 5, 2)
    bench.tick()

    gone, again = bench.run_one(unit), bench.run_one(unit)
    bench.source.put("orders", order(6))
    after = bench.run_one(unit)

    assert facts(gone) == (UnitOutcome.COMMITTED, 0, 2)
    assert (gone.high, high) == ("6", "6")
    assert again.outcome is UnitOutcome.UNCHANGED
    assert facts(after) == (UnitOutcome.COMMITTED, 1, 0)
    assert is_right(bench)


def test_a_new_epoch_reads_anew_and_compares_nothing(bench: Bench) -> None:
    remove(bench, 1)

    unit = bench.run_one(KEY_DIFF.model_copy(update={"epoch": 1}))

    assert facts(unit) == (UnitOutcome.COMMITTED, 4, 0)
    assert is_right(bench)


@pytest.mark.parametrize("changes", [{"publish": "None"}, {"publish": "None", "limit_rows": 2}])
def test_a_trial_writes_nothing_and_a_dry_run_tells_the_deletes(
    bench: Bench, changes: dict[str, Any]
) -> None:
    remove(bench, 1)
    bench.source.put("orders", *(order(number, 30) for number in (6, 7, 8)))
    before = dict(bench.store.objects)

    unit = bench.run_one(KEY_DIFF, **changes)

    assert bench.store.objects == before
    wanted = (2, 0) if "limit_rows" in changes else (3, 1)
    assert facts(unit) == (UnitOutcome.SKIPPED, *wanted)


# --- keys of every kind ---

KINDS = [
    (pa.string(), ["a", "A", "a ", "ä", " ", "ß"]),
    (pa.decimal128(20, 4), [1, 2, 3, 4, 5, 6]),
    (pa.date32(), [datetime(2026, 1, day).date() for day in range(1, 7)]),
    (INSTANT, [START + timedelta(microseconds=number) for number in range(6)]),
    (pa.binary(), [bytes([number]) for number in range(6)]),
]


@pytest.mark.parametrize(("kind", "keys"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_a_composite_key_of_any_kind_is_found(kind: pa.DataType, keys: list[Any]) -> None:
    bench = Bench()
    columns = (column("id", pa.int32()), column("Key", kind), column("updated_at", INSTANT))
    table = bench.source.tables["orders"] = FakeTable(columns=columns, unique=("id", "Key"))
    for number in range(12):
        table.put({"id": number % 2, "Key": keys[number // 2], "updated_at": START})
    unit = KEY_DIFF.model_copy(update={"key": ("id", "Key")})
    bench.tick()
    bench.run_one(unit)
    went = table.rows[::3]
    table.rows[:] = [row for row in table.rows if row not in went]
    bench.tick()

    done = bench.run_one(unit)

    assert done.deleted == len(went)
    deletes = [(row["id"], row["key"]) for row in bench.rows() if row["_dpp_op"] == "delete"]
    assert sorted(deletes, key=str) == sorted(((row["id"], row["Key"]) for row in went), key=str)


def test_rows_without_a_whole_key_are_in_quarantine_and_delete_nothing(bench: Bench) -> None:
    table = bench.source.tables["orders"]
    table.columns, table.unique = (replace(table.columns[0], nullable=True), *table.columns[1:]), ()
    bench.source.put("orders", {**order(0, 30), "id": None})

    unit = bench.run_one(KEY_DIFF)

    assert (unit.quarantined, unit.deleted) == (1, 0)


# --- what no window brings ---


def test_rows_below_the_watermark_that_are_not_in_the_table_are_told(bench: Bench) -> None:
    bench.source.put("orders", order(7, -1_000), order(8, -2_000))

    report = bench.run(KEY_DIFF)

    assert facts(report.units[0]) == (UnitOutcome.UNCHANGED, 0, 0)
    (warning,) = record_of(bench, report).warnings
    assert warning.startswith("2 rows of orders lie below the watermark and are not in the table")
    assert "such as id=7" in warning


def test_rows_before_initial_and_rows_in_quarantine_are_no_news(bench: Bench) -> None:
    bench = Bench()
    unit = by("updated_at", initial=START.isoformat())
    bench.source.put("orders", order(1, -500), order(2, 1), order(3, 1, Broken("x")))
    bench.tick()
    bench.run_one(unit)
    bench.tick()

    report = bench.run(unit)

    (warning,) = record_of(bench, report).warnings
    assert warning.startswith("1 rows of orders")
    assert "id=3" in warning
    assert "quarantine" in warning


def test_a_bound_above_the_columns_greatest_number_is_compared() -> None:
    bench = Bench()
    columns = (column("id", pa.int64(), nullable=False), column("rev", pa.int64()))
    bench.source.tables["orders"] = FakeTable(columns=columns)
    bench.source.put("orders", *({"id": number, "rev": 2**63 - number} for number in (1, 2, 3)))
    bench.run_one(by("rev"))
    remove(bench, 2)

    assert facts(bench.run_one(by("rev"))) == (UnitOutcome.COMMITTED, 0, 1)


def test_a_row_whose_cursor_cannot_be_represented_is_still_there(bench: Bench) -> None:
    remove(bench, 1)
    bench.source.put("orders", {"id": 2, "item": "pen", "updated_at": Broken("infinity")})

    assert facts(bench.run_one(KEY_DIFF)) == (UnitOutcome.COMMITTED, 0, 1)
    assert [row["id"] for row in bench.current()] == [2, 3, 4, 5]


# --- the guard ---


@pytest.mark.parametrize(
    ("keys", "went", "percent", "is_blocked"),
    [
        (100, 10, None, False),
        (100, 11, None, True),
        (99, 98, None, False),
        (99, 99, None, True),
        (1, 1, 100, True),
        (100, 50, 50, False),
        (100, 51, 50, True),
        (200, 3, 1, True),
    ],
)
def test_a_drop_above_the_share_or_of_all_is_not_committed(
    keys: int, went: int, percent: int | None, is_blocked: bool
) -> None:
    bench = Bench()
    bench.source.batch_rows = 64
    unit = KEY_DIFF.model_copy(update={"deletes": Deletes(kind="KeyDiff", most_percent=percent)})
    bench.source.put("orders", *(order(number) for number in range(keys)))
    bench.tick()
    bench.run_one(unit)
    remove(bench, *range(went))
    bench.tick()
    files = set(bench.store.objects)

    done = bench.run_one(unit)

    assert done.outcome is (UnitOutcome.BLOCKED if is_blocked else UnitOutcome.COMMITTED)
    if is_blocked:
        assert (done.code, done.reason) == (24, Reason.TOO_MANY_DELETES)
        assert bool(done.fingerprint)
        assert not [key for key in set(bench.store.objects) - files if key.endswith(".parquet")]


def test_an_approval_lets_the_drop_through_once_and_no_greater_one(bench: Bench) -> None:
    remove(bench, 1, 2, 3, 4, 5)
    blocked = bench.run(KEY_DIFF)

    approved = bench.run_one(KEY_DIFF, approve=(blocked.run_id,))
    bench.source.put("orders", order(9, 75))
    bench.tick(60)
    bench.run_one(KEY_DIFF)
    remove(bench, 9)
    bench.tick(60)
    again = bench.run_one(KEY_DIFF, approve=(blocked.run_id,))

    assert blocked.units[0].code == 24
    assert facts(approved) == (UnitOutcome.COMMITTED, 0, 5)
    assert again.outcome is UnitOutcome.BLOCKED
    live = bench.head().live
    assert live is not None
    assert live.counts.deleted == 0


# --- kills, strangers, and what is told ---


@pytest.mark.parametrize(
    "point",
    ["table_keys_read", "source_keys_read", "keys_compared", "parts_done", "commit_sent"],
)
def test_a_run_killed_before_its_commit_leaves_nothing_and_the_next_finds_the_same(
    bench: Bench, point: str
) -> None:
    remove(bench, 2)
    before = bench.commits()
    request = bench.request(KEY_DIFF)
    bench.kill_at(point)

    with pytest.raises(Killed):
        bench.again(request)
    assert bench.commits() == before
    unit = bench.again(request).units[0]

    assert facts(unit) == (UnitOutcome.COMMITTED, 0, 1)
    assert is_right(bench)


def test_a_run_killed_behind_its_commit_is_found_with_its_deletes(bench: Bench) -> None:
    remove(bench, 2)
    request = bench.request(KEY_DIFF)
    bench.kill_at("committed")

    with pytest.raises(Killed):
        bench.again(request)
    unit = bench.again(request).units[0]

    assert facts(unit) == (UnitOutcome.ALREADY_COMMITTED, 0, 1)
    assert is_right(bench)


def test_a_file_that_went_away_ends_the_unit_for_now_and_deletes_nothing(bench: Bench) -> None:
    remove(bench, 2)
    part = next(key for key in bench.store.objects if key.endswith(".parquet"))
    body = bench.store.objects.pop(part)

    lost = bench.run_one(KEY_DIFF)
    bench.store.objects[part] = body
    found = bench.run_one(KEY_DIFF)

    assert (lost.code, lost.reason) == (75, Reason.OVERTAKEN)
    assert facts(found) == (UnitOutcome.COMMITTED, 0, 1)


def test_a_file_that_is_no_parquet_needs_a_person(bench: Bench) -> None:
    part = next(key for key in bench.store.objects if key.endswith(".parquet"))
    bench.store.objects[part] = b"x" * len(bench.store.objects[part])

    unit = bench.run_one(KEY_DIFF)

    assert (unit.code, unit.reason) == (29, Reason.STREAM_FOREIGN_CHANGE)
    assert bench.commits() == 1


def test_a_stop_between_two_batches_takes_effect(bench: Bench) -> None:
    bench.on_hook = lambda point: bench.stop.ask("SIGTERM") if point == "table_keys_read" else None

    assert bench.run(KEY_DIFF).exit_code == 143
    assert bench.commits() == 1


def test_the_index_says_how_many_went_and_where_the_watermark_stands(bench: Bench) -> None:
    bench.index = FakeIndex()
    remove(bench, 2)

    unit = bench.run_one(KEY_DIFF)

    (commit,) = bench.index.of("commits")
    (watermark,) = bench.index.of("watermarks")
    assert (commit["counts"]["written"], commit["counts"]["deleted"]) == (0, 1)
    assert watermark["watermark"] == unit.high


# --- rows that the source marks ---


def test_a_marked_row_comes_as_a_delete_and_an_unmarked_one_lives_again() -> None:
    bench = Bench()
    soft = Deletes(kind="SoftDeleteColumn", column="item", value="gone")
    unit = APPEND.model_copy(update={"deletes": soft})
    bench.source.put("orders", order(1), order(2, 0, "gone"), order(3))
    bench.tick()
    first = bench.run_one(unit)
    bench.source.put("orders", order(2, 10, "back"), order(3, 10, "gone"))
    bench.tick()
    second = bench.run_one(unit)

    assert (facts(first), facts(second)) == (
        (UnitOutcome.COMMITTED, 2, 1),
        (UnitOutcome.COMMITTED, 1, 1),
    )
    assert [(row["id"], row["item"]) for row in bench.current()] == [(1, "pen"), (2, "back")]
    verdict = verify(bench.store, STREAM, Depth(deep=True), now=bench.store.clock)
    assert verdict.findings == ()


def test_a_mark_that_the_source_lacks_ends_the_dataset_with_20() -> None:
    bench = Bench()
    soft = Deletes(kind="SoftDeleteColumn", column="removed", value=None)

    unit = bench.run_one(APPEND.model_copy(update={"deletes": soft}))

    assert (unit.code, unit.reason) == (20, Reason.INVALID_SPEC)
