"""What a person must approve, through the whole run: schemas, moved sources, wrong epochs; each approval once."""

import re

import pyarrow as pa
import pytest

from dpp_core.handover import DatabaseSource, Incremental
from dpp_core.names import Reason, UnitOutcome
from fake_source import INSTANT, START, FakeTable, column
from run_bench import APPEND, REPLACE, Bench

ID, AT = column("id", pa.int64(), nullable=False), column("updated_at", INSTANT)
MOVED = DatabaseSource(engine="postgresql", host="new-erp", port=5432, database="erp")


@pytest.fixture
def bench() -> Bench:
    """Give one committed order."""
    bench = Bench()
    bench.source.put("orders", {"id": 1, "item": "pen", "updated_at": START})
    bench.tick()
    assert bench.run_one().code == 0
    return bench


def _change(bench: Bench, *columns: object, **cells: object) -> None:
    """Let the source have other columns, and one new row in them."""
    bench.source.tables["orders"] = FakeTable(columns=(ID, *columns, AT))  # type: ignore[arg-type]
    bench.source.put("orders", {"id": 2, "updated_at": bench.source.clock, **cells})
    bench.tick(60)


@pytest.mark.parametrize(
    ("columns", "told", "can_be_approved"),
    [
        ((column("article", pa.string()),), r"item .* is gone \(renamed to article\?\)", True),
        ((), "item .* is gone", True),
        ((column("item", pa.int64()),), "item was string and is int64 now", False),
    ],
    ids=["renamed", "removed", "another type"],
)
def test_a_column_that_went_or_became_another_is_blocked_with_25(
    bench: Bench, columns: tuple[object, ...], told: str, can_be_approved: bool
) -> None:
    _change(bench, *columns)

    report = bench.run(APPEND)

    unit = report.units[0]
    assert (unit.outcome, unit.code, unit.reason) == (
        UnitOutcome.BLOCKED,
        25,
        Reason.SCHEMA_CHANGED,
    )
    assert bool(unit.fingerprint) == can_be_approved
    assert re.search(told, bench.records(report.run_id)[0].units[0].message)
    assert bench.commits() == 1


def test_an_approved_removal_goes_on_with_nulls_and_needs_no_second_approval(bench: Bench) -> None:
    _change(bench)
    blocked = bench.run(APPEND)

    approved = bench.run_one(APPEND, approve=(blocked.run_id,))
    bench.source.put("orders", {"id": 3, "updated_at": bench.source.clock})
    bench.tick(60)
    after = bench.run_one()

    assert (approved.outcome, approved.rows) == (UnitOutcome.COMMITTED, 1)
    assert (after.outcome, after.rows) == (UnitOutcome.COMMITTED, 1)
    assert [(row["id"], row["item"]) for row in bench.current()] == [
        (1, "pen"),
        (2, None),
        (3, None),
    ]


def test_an_approval_of_one_change_lets_no_other_through(bench: Bench) -> None:
    _change(bench)
    blocked = bench.run(APPEND)
    _change(bench, column("item", pa.int64()))

    assert bench.run_one(APPEND, approve=(blocked.run_id,)).code == 25


def test_an_approval_of_a_run_that_never_was_changes_nothing(bench: Bench) -> None:
    _change(bench)

    assert bench.run_one(APPEND, approve=("run-99",)).code == 25


def test_a_wider_column_goes_through_by_itself_and_is_told() -> None:
    bench = Bench()
    bench.source.tables["orders"] = FakeTable(columns=(ID, column("n", pa.int32()), AT))
    bench.source.put("orders", {"id": 1, "n": 1, "updated_at": START})
    bench.tick()
    bench.run(APPEND)
    _change(bench, column("n", pa.int64()), n=2**40)

    report = bench.run(APPEND)

    assert bench.records(report.run_id)[0].units[0].warnings == ("Column n became wider.",)
    assert bench.rows()[-1]["n"] == 2**40


def test_a_moved_host_is_stopped_with_29_and_goes_on_from_its_watermark_when_approved(
    bench: Bench,
) -> None:
    bench.source.put("orders", {"id": 2, "item": "ink", "updated_at": bench.source.clock})
    bench.tick(60)

    stopped = bench.run(APPEND, source=MOVED)
    approved = bench.run_one(APPEND, source=MOVED, approve=(stopped.run_id,))
    after = bench.run_one(APPEND, source=MOVED)

    assert stopped.exit_code == 29
    assert stopped.units[0].reason is Reason.STREAM_IDENTITY_CHANGED
    assert (approved.outcome, approved.rows) == (UnitOutcome.COMMITTED, 1)
    assert after.outcome is UnitOutcome.UNCHANGED


def test_another_key_is_no_move_and_cannot_be_approved(bench: Bench) -> None:
    other = APPEND.model_copy(update={"key": ("id", "item")})
    stopped = bench.run(other)

    unit = bench.run_one(other, approve=(stopped.run_id,))

    assert (stopped.exit_code, unit.code) == (29, 29)


def test_another_cursor_is_read_anew_under_a_higher_epoch(bench: Bench) -> None:
    by_id = APPEND.model_copy(update={"incremental": Incremental(cursor="id")})

    refused = bench.run_one(by_id)
    anew = bench.run_one(by_id.model_copy(update={"epoch": 1}))

    assert refused.reason is Reason.STREAM_IDENTITY_CHANGED
    assert (anew.outcome, anew.rows, anew.high) == (UnitOutcome.COMMITTED, 1, "2")


def test_a_request_of_an_older_epoch_is_stopped_with_29(bench: Bench) -> None:
    bench.run(APPEND.model_copy(update={"epoch": 3}))

    unit = bench.run_one()

    assert (unit.code, unit.reason) == (29, Reason.EPOCH_BEHIND)


def test_a_log_behind_what_the_operator_knows_is_stopped_with_29(bench: Bench) -> None:
    unit = bench.run_one(APPEND.model_copy(update={"known_seq": 5}))

    assert (unit.code, unit.reason) == (29, Reason.STREAM_BEHIND)


def test_another_owner_is_stopped_with_29_and_leaves_no_trace(bench: Bench) -> None:
    before = dict(bench.store.objects)

    unit = bench.run_one(APPEND, cluster="elsewhere", publish="None")

    assert (unit.code, unit.reason) == (29, Reason.STREAM_OWNED_BY_ANOTHER)
    assert bench.store.objects == before


def test_duplicate_keys_block_and_name_three() -> None:
    bench = Bench()
    bench.source.tables["orders"] = FakeTable(columns=(column("id", pa.int64()), AT), unique=())
    bench.source.put("orders", *({"id": n, "updated_at": START} for n in (4, 3, 2, 1, 1, 2, 3, 4)))
    bench.tick()

    unit = bench.run_one(REPLACE)

    assert (unit.code, unit.reason) == (24, Reason.KEY_NOT_UNIQUE)
    assert "id=1; id=2; id=3" in unit.message
    assert bench.commits() == 0
