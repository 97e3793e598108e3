"""Rows without a cursor on real engines: in every window, or placed by another column, by the indexes."""

from pathlib import Path

import pytest

from dpp_core.handover import Incremental, Unit
from dpp_extractor.batch import Window
from dpp_extractor.ports import Snapshot
from places import ENGINES, INSTANTS, Place, make_place

T = Unit(dataset="t", object="t", key=("id",), write="Append")
EXCLUDE = T.model_copy(update={"incremental": Incremental(cursor="at", nulls="Exclude")})
INCLUDE = T.model_copy(update={"incremental": Incremental(cursor="at", nulls="Include")})
COALESCE = T.model_copy(
    update={"incremental": Incremental(cursor="at", nulls="Coalesce", coalesce="made")}
)
NUMBERS = T.model_copy(
    update={"incremental": Incremental(cursor="rev", nulls="Coalesce", coalesce="old")}
)
SECOND_OF_JANUARY = Window(
    "at", "timestamp", "2026-01-02T00:00:00.000000", "2026-01-03T00:00:00.000000"
)
TABLE = "CREATE TABLE t (id BIGINT PRIMARY KEY NOT NULL, at {instant}, made {instant}, rev BIGINT, old BIGINT)"
ROWS = """
INSERT INTO t VALUES (1, '2026-01-01 00:00:00', '2020-01-01 00:00:00', 5, NULL),
    (2, '2026-01-02 10:00:00', '2026-01-05 00:00:00', NULL, 6),
    (3, NULL, '2026-01-02 09:00:00', NULL, 3), (4, NULL, '2026-01-03 00:00:00', 2, 9),
    (5, NULL, NULL, NULL, NULL)
"""


@pytest.fixture
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give an empty table in the engine that the test names."""
    made = make_place(request, request.param, tmp_path)
    made.execute(TABLE.format(instant=INSTANTS[request.param]))
    return made


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give the five rows in each engine."""
    made = make_place(request, request.param, tmp_path)
    made.execute(TABLE.format(instant=INSTANTS[request.param]))
    made.execute(ROWS)
    return made


def _ids(view: Snapshot, unit: Unit, window: Window) -> list[int]:
    table = view.describe(unit)
    return [row["id"] for b in view.read(table, window, None) for row in b.rows.to_pylist()]


def test_a_window_without_them_with_them_and_with_another_column(place: Place) -> None:
    with place.open() as source, source.snapshot() as view:
        assert _ids(view, EXCLUDE, SECOND_OF_JANUARY) == [2]
        assert sorted(_ids(view, INCLUDE, SECOND_OF_JANUARY)) == [2, 3, 4, 5]
        assert _ids(view, COALESCE, SECOND_OF_JANUARY) == [3, 2]


def test_an_empty_window_brings_included_rows_alone(place: Place) -> None:
    low = "2026-01-02T00:00:00.000000"
    with place.open() as source, source.snapshot() as view:
        assert sorted(_ids(view, INCLUDE, Window("at", "timestamp", low, low))) == [3, 4, 5]
        assert _ids(view, COALESCE, Window("at", "timestamp", low, low)) == []


def test_what_no_window_can_place_is_counted(place: Place) -> None:
    with place.open() as source, source.snapshot() as view:
        assert view.count_null_cursor(view.describe(INCLUDE), "at") == 3
        assert view.count_null_cursor(view.describe(COALESCE), "at") == 1


def test_numbers_are_bounded_by_what_is_compared(place: Place) -> None:
    with place.open() as source, source.snapshot() as view:
        table = view.describe(NUMBERS)
        assert view.max_cursor(table, "rev") == 6
        assert view.count_null_cursor(table, "rev") == 1
        assert _ids(view, NUMBERS, Window("rev", "integer", "3", "7")) == [3, 1, 2]


def test_rows_of_the_future_are_counted_by_the_column_that_stands_in(place: Place) -> None:
    place.execute("INSERT INTO t VALUES (9, NULL, '2099-01-01 00:00:00', 1, 1)")
    with place.open() as source, source.snapshot() as view:
        assert view.count_future(view.describe(COALESCE), "at") == (1, "id=9")
        assert view.count_future(view.describe(EXCLUDE), "at") == (0, "")
        assert view.estimate_rows(view.describe(COALESCE), SECOND_OF_JANUARY) is not None


def test_keys_that_occur_twice_are_looked_for_in_all_that_is_read(place: Place) -> None:
    doubled = {"key": ("old",)}
    place.execute("INSERT INTO t VALUES (8, NULL, '2026-01-02 00:00:00', NULL, 3)")
    with place.open() as source, source.snapshot() as view:
        for unit, expected in ((EXCLUDE, ()), (INCLUDE, ("old=3",)), (COALESCE, ("old=3",))):
            table = view.describe(unit.model_copy(update=doubled))
            assert view.duplicate_keys(table, SECOND_OF_JANUARY) == expected


@pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
def test_in_sqlite_a_cursor_that_is_no_timestamp_is_not_skipped_but_rejected(empty: Place) -> None:
    empty.execute("INSERT INTO t VALUES (1, 'soon', '2026-01-02 00:00:00', 1, 1)")
    with empty.open() as source, source.snapshot() as view:
        (batch,) = view.read(view.describe(INCLUDE), SECOND_OF_JANUARY, None)
        assert view.count_null_cursor(view.describe(COALESCE), "at") == 1
    assert [each.values["id"] for each in batch.rejected] == ["1"]


@pytest.mark.parametrize("empty", ["postgresql"], indirect=True)
def test_both_columns_are_found_by_their_indexes(empty: Place) -> None:
    empty.execute(
        "INSERT INTO t SELECT n, CASE WHEN n % 9 > 0 THEN timestamp '2020-01-01' + n * interval '1 min'"
        " END, timestamp '2020-01-01' + n * interval '1 min' FROM generate_series(1, 50000) n;"
        "CREATE INDEX by_at ON t (at); CREATE INDEX by_made ON t (made); ANALYZE t"
    )
    from dpp_extractor.extract.database import query
    from dpp_extractor.extract.database.postgresql.snapshot import build_within, compile_statement

    low, high = "2020-01-05T00:00:00.000000", "2020-01-05T01:00:00.000000"
    with empty.open() as source, source.snapshot() as view:
        table = view.describe(COALESCE)
        within = build_within(table, Window("at", "timestamp", low, high))
        read = query.build_read(query.Relation("public", "t"), table, {}, within, None)
        assert len(_ids(view, COALESCE, Window("at", "timestamp", low, high))) == 60
    plan = str(empty.execute(f"EXPLAIN {compile_statement(read)}"))
    assert "by_at" in plan
    assert "by_made" in plan
