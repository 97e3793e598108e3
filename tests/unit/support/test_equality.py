"""The judge is judged: a comparer that finds nothing must not be able to pass."""

import json
import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from equality import (
    READERS,
    Row,
    assert_same_tables,
    assert_table_equals,
    compare,
    current_state,
    sqlite_rows,
)

AT = datetime(2025, 6, 30, 12, 0, 0, 123456, tzinfo=UTC)
LATER = datetime(2025, 7, 1, 12, 0, 0, tzinfo=UTC)
ROW: Row = {
    "id": 1,
    "name": "Müller & Söhne, Łódź",
    "price": Decimal("12.30"),
    "weight": 0.1,
    "is_active": True,
    "since": date(2023, 1, 2),
    "updated_at": datetime.fromisoformat("2025-06-30 11:00:00.000001"),
    "picture": b"\x00\xff",
}
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("name", pa.string()),
        ("price", pa.decimal128(12, 2)),
        ("weight", pa.float64()),
        ("is_active", pa.bool_()),
        ("since", pa.date32()),
        ("updated_at", pa.timestamp("us")),
        ("picture", pa.binary()),
        ("_dpp_op", pa.string()),
        ("_dpp_read_at", pa.timestamp("us", tz="UTC")),
        ("_dpp_order", pa.int64()),
    ]
)


def read(row: Row, order: int, at: datetime = AT, op: str = "read") -> Row:
    return {**row, "_dpp_op": op, "_dpp_read_at": at, "_dpp_order": order}


def make_table(folder: Path, *rows: Row) -> str:
    write_deltalake(str(folder), pa.Table.from_pylist(list(rows), schema=SCHEMA))
    return str(folder)


def test_a_table_that_is_the_source_passes_with_every_reader(tmp_path: Path) -> None:
    source = [ROW, {**ROW, "id": 2, "name": None, "price": None, "picture": None}]
    uri = make_table(tmp_path, read(source[0], 0), read(source[1], 1))

    assert_table_equals(uri, source, key=["id"])

    assert set(READERS) == {"deltalake", "duckdb", "polars"}


def test_the_current_state_keeps_the_latest_version_and_drops_deleted_rows(tmp_path: Path) -> None:
    moved = {**ROW, "name": "new name"}
    gone = {**ROW, "id": 2}
    uri = make_table(
        tmp_path,
        read(moved, 0, LATER),
        read(ROW, 0),
        read(gone, 1),
        read(gone, 1, LATER, op="delete"),
    )

    assert_table_equals(uri, [moved], key=["id"], form="current")


def test_of_two_versions_in_one_read_the_higher_order_is_current() -> None:
    rows = [read({"id": 1, "name": "second"}, 7), read({"id": 1, "name": "first"}, 3)]

    assert [row["name"] for row in current_state(rows, ["id"])] == ["second"]


@pytest.mark.parametrize(
    ("column", "wrong"),
    [
        ("name", "Muller"),
        ("name", None),
        ("price", Decimal("12.31")),
        ("weight", 0.10000000000000002),
        ("is_active", False),
        ("since", date(2023, 1, 3)),
        ("updated_at", datetime.fromisoformat("2025-06-30 11:00:00.000002")),
        ("picture", b"\x00\xfe"),
    ],
)
def test_one_wrong_value_is_found_and_named(tmp_path: Path, column: str, wrong: Any) -> None:
    uri = make_table(tmp_path, read({**ROW, column: wrong}, 0))

    with pytest.raises(AssertionError, match=rf"\(1,\)\.{column}: source"):
        assert_table_equals(uri, [ROW], key=["id"])


@pytest.mark.parametrize(
    ("expected", "actual"),
    [(1, True), (1, Decimal(1)), (1, "1"), (Decimal("1.5"), 1.5), (AT, AT.replace(tzinfo=None))],
    ids=["bool", "decimal", "text", "float", "zone"],
)
def test_a_value_of_another_type_is_a_difference(expected: Any, actual: Any) -> None:
    found = compare([{"id": 1, "cell": expected}], [read({"id": 1, "cell": actual}, 0)], ["id"])

    assert len(found) == 1


def test_missing_extra_and_doubled_rows_are_told_apart() -> None:
    expected = [{"id": 1}, {"id": 2}]
    actual = [read({"id": 2}, 0), read({"id": 2}, 1), read({"id": 3}, 2)]

    message = "\n".join(compare(expected, actual, ["id"]))

    assert "1 of 2 missing in the table:\n    (1,)" in message
    assert "1 of 2 not in the source:\n    (3,)" in message
    assert "1 of 2 more often in the table than in the source:\n    (2,)" in message


def test_missing_and_unknown_columns_are_named() -> None:
    message = "\n".join(compare([{"id": 1, "a": 1}], [{"id": 1, "b": 1}], ["id"]))

    assert "missing in the table: ['a']" in message
    assert "not in the source: ['b']" in message
    assert "columns of the product missing: ['_dpp_op', '_dpp_order', '_dpp_read_at']" in message


def test_a_version_kept_twice_is_found_in_current_form(tmp_path: Path) -> None:
    uri = make_table(tmp_path, read(ROW, 0), read(ROW, 0, LATER))

    with pytest.raises(AssertionError, match="are there more than once"):
        assert_table_equals(uri, [ROW], key=["id"], form="current")


def test_two_rows_with_one_order_in_one_read_are_found(tmp_path: Path) -> None:
    other = {**ROW, "id": 2}
    uri = make_table(tmp_path, read(ROW, 0), read(other, 0))

    with pytest.raises(AssertionError, match="share _dpp_read_at and _dpp_order"):
        assert_table_equals(uri, [ROW, other], key=["id"])


def test_same_tables_differ_only_by_the_instant_of_the_read() -> None:
    assert_same_tables([read(ROW, 0)], [read(ROW, 0, LATER)])

    with pytest.raises(AssertionError, match="only in the second"):
        assert_same_tables([read(ROW, 0)], [read(ROW, 1, LATER)])


def test_sqlite_cells_are_read_as_their_declared_type_means_them(tmp_path: Path) -> None:
    path = tmp_path / "erp.sqlite"
    with sqlite3.connect(path) as source:
        source.execute(
            "CREATE TABLE t (d DECIMAL(6,2), b BOOLEAN, a TIMESTAMP, e DATE, f DOUBLE, n TEXT)"
        )
        source.execute(
            "INSERT INTO t VALUES (12.3, 1, '2025-06-30 11:00:00.000001', '2025-06-30', 2, NULL)"
        )

    assert sqlite_rows(path, "t") == [
        {
            "d": Decimal("12.30"),
            "b": True,
            "a": datetime.fromisoformat("2025-06-30 11:00:00.000001"),
            "e": date(2025, 6, 30),
            "f": 2.0,
            "n": None,
        }
    ]


@pytest.mark.parametrize(
    ("declared", "cell"),
    [
        ("DECIMAL(6,2)", 1.234),
        ("DECIMAL(6,2)", 12345),
        ("DECIMAL(6,2)", "auf Anfrage"),
        ("BOOLEAN", "J"),
        ("DATE", "2024-02-30"),
        ("TIMESTAMP", "gestern"),
    ],
    ids=json.dumps,
)
def test_a_sqlite_cell_that_does_not_fit_is_refused(
    tmp_path: Path, declared: str, cell: Any
) -> None:
    path = tmp_path / "erp.sqlite"
    with sqlite3.connect(path) as source:
        source.execute(f"CREATE TABLE t (c {declared})")
        source.execute("INSERT INTO t VALUES (?)", [cell])

    with pytest.raises(ValueError, match=r"."):
        sqlite_rows(path, "t")
