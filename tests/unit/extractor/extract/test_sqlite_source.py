"""SQLite files: values by declared type, windows on texts, and a file that is never made or changed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dpp_core.errors import DppError
from dpp_core.handover import DatabaseSource, Incremental, Unit, Values
from dpp_core.names import Reason
from dpp_extractor.batch import RawBatch, Rejected, Window
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.extract.database.limits import Limits
from dpp_extractor.extract.database.sqlite.types import map_type
from dpp_extractor.extract.database.window import decide_window
from dpp_extractor.ports import Snapshot, Source

T = Unit(dataset="t", object="t")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give the path of an empty database file."""
    path = tmp_path / "a folder ü" / "erp.db"
    path.parent.mkdir()
    run(path, "PRAGMA user_version = 1")
    return path


def run(
    path: Path, *statements: str, rows: tuple[str, list[tuple[Any, ...]]] | None = None
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        if rows:
            connection.executemany(*rows)
        connection.commit()


@contextmanager
def source_of(path: Path, **limits: int) -> Iterator[Source]:
    source = DatabaseSource(engine="sqlite", database=str(path))
    with open_database(source, {}, run_id="r", limits=Limits(**limits)) as opened:
        yield opened


@contextmanager
def view_of(path: Path, **limits: int) -> Iterator[Snapshot]:
    with source_of(path, **limits) as source, source.snapshot() as view:
        yield view


def read(
    path: Path, unit: Unit = T, window: Window | None = None, **limits: int
) -> tuple[list[dict[str, Any]], list[Rejected], list[RawBatch]]:
    with view_of(path, **limits) as view:
        table = view.describe(unit)
        batches = list(view.read(table, window, None))
    rows = [row for batch in batches for row in batch.rows.to_pylist()]
    return rows, [row for batch in batches for row in batch.rejected], batches


@pytest.mark.parametrize(
    ("declared", "arrow_type"),
    [
        ("INTEGER", pa.int64()),
        ("bigint", pa.int64()),
        ("UNSIGNED BIG INT", pa.int64()),
        ("POINT", pa.string()),
        ("BOOLEAN", pa.bool_()),
        ("REAL", pa.float64()),
        ("DOUBLE PRECISION", pa.float64()),
        ("DECIMAL(12,2)", pa.decimal128(12, 2)),
        ("decimal( 12 , 2 )", pa.decimal128(12, 2)),
        ("NUMERIC(5)", pa.decimal128(5, 0)),
        ("NUMERIC(40,2)", pa.string()),
        ("NUMERIC(2,3)", pa.string()),
        ("NUMERIC", pa.string()),
        ("DATE", pa.date32()),
        ("DATETIME", pa.timestamp("us")),
        ("TIMESTAMP(3)", pa.timestamp("us")),
        ("TIMESTAMPTZ", pa.timestamp("us", "UTC")),
        ("TIMESTAMP WITH TIME ZONE", pa.timestamp("us", "UTC")),
        ("TIMESTAMP WITHOUT TIME ZONE", pa.timestamp("us")),
        ("VARCHAR(40)", pa.string()),
        ("NCHAR", pa.string()),
        ("TEXT", pa.string()),
        ("TIME", pa.string()),
        ("UUID", pa.string()),
        ("BLOB", pa.binary()),
        ("", pa.string()),
    ],
)
def test_declared_types_have_an_arrow_type(declared: str, arrow_type: pa.DataType) -> None:
    assert map_type(declared).arrow_type == arrow_type


ACCEPTED: list[tuple[str, Any, Any]] = [
    ("INTEGER", 2**63 - 1, 2**63 - 1),
    ("INTEGER", -(2**63), -(2**63)),
    ("BOOLEAN", 0, False),
    ("BOOLEAN", 1, True),
    ("REAL", 0.1, 0.1),
    ("REAL", 7, 7.0),
    ("REAL", float("inf"), float("inf")),
    ("DECIMAL(12,2)", 0.1, Decimal("0.10")),
    ("DECIMAL(12,2)", 19.99, Decimal("19.99")),
    ("DECIMAL(12,2)", 1234567890.12, Decimal("1234567890.12")),
    ("DECIMAL(12,2)", -5, Decimal("-5.00")),
    ("DECIMAL(20,12)", 1e-12, Decimal("0.000000000001")),
    ("DECIMAL(38,0)", 1e22, Decimal(10**22)),
    ("DATE", "2026-02-28", date(2026, 2, 28)),
    ("DATE", "0001-01-01", date(1, 1, 1)),
    ("DATETIME", "2026-02-28 01:02:03", datetime(2026, 2, 28, 1, 2, 3)),
    ("DATETIME", "2026-02-28T01:02:03.5", datetime(2026, 2, 28, 1, 2, 3, 500000)),
    ("DATETIME", "1969-12-31 23:59:59.999999", datetime(1969, 12, 31, 23, 59, 59, 999999)),
    ("TIMESTAMPTZ", "2026-02-28 01:02:03Z", datetime(2026, 2, 28, 1, 2, 3, tzinfo=UTC)),
    ("TIMESTAMPTZ", "2026-02-28T01:02:03+01:00", datetime(2026, 2, 28, 0, 2, 3, tzinfo=UTC)),
    ("TIMESTAMPTZ", "2026-02-28 01:02:03", datetime(2026, 2, 28, 1, 2, 3, tzinfo=UTC)),
    ("TEXT", "", ""),
    ("TEXT", "Ä 😀\r\n", "Ä 😀\r\n"),
    ("TEXT", 5, "5"),
    ("BLOB", b"", b""),
    ("BLOB", b"\x00\xff", b"\x00\xff"),
    ("", 5, "5"),
    ("", 0.1, "0.1"),
    ("NUMERIC", 10**17, "100000000000000000"),
]


@pytest.mark.parametrize(("declared", "stored", "expected"), ACCEPTED)
def test_a_value_of_its_declared_type_comes_exactly(
    file: Path, declared: str, stored: Any, expected: Any
) -> None:
    run(
        file,
        f"CREATE TABLE t (v {declared})",
        rows=("INSERT INTO t VALUES (?)", [(stored,), (None,)]),
    )
    rows, rejected, _ = read(file)
    assert [row["v"] for row in rows] == [expected, None]
    assert rejected == []


REFUSED: list[tuple[str, Any, str]] = [
    ("INTEGER", "twelve", "twelve"),
    ("INTEGER", 1.5, "1.5"),
    ("INTEGER", 1e300, "1e+300"),
    ("BOOLEAN", 2, "2"),
    ("BOOLEAN", "true", "true"),
    ("REAL", "seven", "seven"),
    ("DECIMAL(12,2)", 1.005, "1.005"),
    ("DECIMAL(12,2)", 12345678901.0, "12345678901"),
    ("DECIMAL(12,2)", "1,50", "1,50"),
    ("DECIMAL(12,2)", float("inf"), "inf"),
    ("DECIMAL(12,2)", b"1", "31"),
    ("DATE", "2026-2-8", "2026-2-8"),
    ("DATE", "2026-02-30", "2026-02-30"),
    ("DATE", "0000-00-00", "0000-00-00"),
    ("DATE", "28.02.2026", "28.02.2026"),
    ("DATE", 20260228, "20260228"),
    ("DATE", "2026-02-28 00:00:00", "2026-02-28 00:00:00"),
    ("DATETIME", "2026-02-28", "2026-02-28"),
    ("DATETIME", "2026-02-28 10:00", "2026-02-28 10:00"),
    ("DATETIME", "2026-02-28 25:00:00", "2026-02-28 25:00:00"),
    ("DATETIME", "2026-02-28 01:02:03Z", "2026-02-28 01:02:03Z"),
    ("DATETIME", "2026-02-28 01:02:03.1234567", "2026-02-28 01:02:03.1234567"),
    ("DATETIME", 1700000000, "1700000000"),
    ("TIMESTAMPTZ", "2026-02-28 01:02:03 Berlin", "2026-02-28 01:02:03 Berlin"),
    ("TIMESTAMPTZ", "9999-12-31 23:59:59-12:00", "9999-12-31 23:59:59-12:00"),
    ("TEXT", b"\xff", "ff"),
    ("BLOB", "text", "text"),
    ("", b"\x00", "00"),
]


@pytest.mark.parametrize(("declared", "stored", "shown"), REFUSED)
def test_a_value_that_its_declared_type_cannot_mean_is_rejected_alone(
    file: Path, declared: str, stored: Any, shown: str
) -> None:
    run(
        file,
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})",
        rows=("INSERT INTO t VALUES (?, ?)", [(1, None), (2, stored), (3, None)]),
    )
    rows, rejected, _ = read(file)
    assert [row["id"] for row in rows] == [1, 3]
    assert [(row.rule, row.column, row.values) for row in rejected] == [
        ("type", "v", {"id": "2", "v": shown})
    ]
    assert shown not in rejected[0].detail


def test_with_set_null_values_that_do_not_fit_are_null_and_counted(file: Path) -> None:
    run(
        file,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, d DATE, n DECIMAL(4,2), b BLOB)",
        "INSERT INTO t VALUES (1, 'soon', 1.5, x'00'), (2, '2026-01-01', 'x', 'x'),"
        " (3, 'soon', 0.001, x'01')",
    )
    unit = Unit(
        dataset="t", object="t", values=Values(unfit="SetNull", columns={"n": "Quarantine"})
    )
    rows, rejected, batches = read(file, unit)
    assert rows == [{"id": 1, "d": None, "n": Decimal("1.50"), "b": b"\x00"}]
    assert [(row.values["id"], row.column) for row in rejected] == [("2", "n"), ("3", "n")]
    assert [batch.nulled for batch in batches] == [{"d": 1}]


def test_with_text_a_column_is_text_in_every_row_but_bytes_stay_bytes(file: Path) -> None:
    run(
        file,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, d DATE, n DECIMAL(4,2), b BLOB)",
        "INSERT INTO t VALUES (1, 'soon', 1.5, x'00'), (2, '2026-01-01', 123456, NULL)",
    )
    unit = Unit(dataset="t", object="t", values=Values(unfit="Text"))
    with view_of(file) as view:
        table = view.describe(unit)
        rows = [row for batch in view.read(table, None, None) for row in batch.rows.to_pylist()]
    assert [(c.arrow_type, c.fidelity) for c in table.columns] == [
        (pa.int64(), "exact"),
        (pa.string(), "text"),
        (pa.string(), "text"),
        (pa.binary(), "exact"),
    ]
    assert rows == [
        {"id": 1, "d": "soon", "n": "1.5", "b": b"\x00"},
        {"id": 2, "d": "2026-01-01", "n": "123456", "b": None},
    ]


def test_a_column_named_in_values_must_be_there(file: Path) -> None:
    run(file, "CREATE TABLE t (id INTEGER, total DECIMAL(4,2))")
    unit = Unit(dataset="t", object="t", values=Values(columns={"totl": "Fail"}))
    with view_of(file) as view, pytest.raises(DppError, match="Did you mean 'total'") as refused:
        view.describe(unit)
    assert (refused.value.exit_code, refused.value.field) == (31, "datasets[t].values.columns")


def test_text_that_is_not_utf8_is_rejected_and_ends_nothing(file: Path) -> None:
    run(file, "CREATE TABLE t (id INTEGER, v TEXT)")
    run(file, "INSERT INTO t VALUES (1, 'ok'), (2, CAST(x'4dfc' AS TEXT)), (3, 'ä')")
    rows, rejected, _ = read(file)
    assert [row["v"] for row in rows] == ["ok", "ä"]
    assert rejected[0].values["v"] == "M\\xfc"


@pytest.mark.parametrize("block_bytes", [1, 100, 10_000])
def test_blocks_of_any_size_give_the_same_rows(file: Path, block_bytes: int) -> None:
    values = [(n, "x" * (n % 50)) for n in range(2000)]
    run(file, "CREATE TABLE t (id INTEGER, v TEXT)", rows=("INSERT INTO t VALUES (?, ?)", values))
    rows, _, batches = read(file, block_bytes=block_bytes)
    assert [tuple(row.values()) for row in rows] == values
    assert len(batches) > 1


STAMPS = [
    (1, "2026-01-01 00:00:00"),
    (2, "2026-01-01T00:00:00.999999"),
    (3, "2026-01-01 00:00:01"),
    (4, "2025-12-31 23:59:59.9"),
    (5, "2026-01-02 00:00:00"),
    (6, None),
]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (None, "2026-01-01T00:00:00.000000", [4]),
        ("2026-01-01T00:00:00.000000", "2026-01-01T00:00:01.000000", [1, 2]),
        ("2026-01-01T00:00:01.000000", "2026-01-02T00:00:00.000000", [3]),
        ("2026-01-02T00:00:00.000000", "2026-01-03T00:00:00.000000", [5]),
    ],
)
def test_adjoining_windows_bring_each_text_once_whatever_its_form(
    file: Path, low: str | None, high: str, expected: list[int]
) -> None:
    run(
        file,
        "CREATE TABLE t (id INTEGER, at DATETIME)",
        rows=("INSERT INTO t VALUES (?, ?)", STAMPS),
    )
    unit = Unit(dataset="t", object="t", key=("id",), incremental=Incremental(cursor="at"))
    rows, _, _ = read(file, unit, Window("at", "timestamp", low, high))
    assert [row["id"] for row in rows] == expected


def test_texts_with_an_offset_are_compared_as_instants(file: Path) -> None:
    stamps = [
        (1, "2026-01-01T00:30:00+01:00"),
        (2, "2025-12-31T23:45:00Z"),
        (3, "2026-01-01 00:10:00"),
    ]
    run(
        file,
        "CREATE TABLE t (id INTEGER, at TIMESTAMPTZ)",
        rows=("INSERT INTO t VALUES (?, ?)", stamps),
    )
    unit = Unit(dataset="t", object="t", key=("id",), incremental=Incremental(cursor="at"))
    low, high = "2025-12-31T23:30:00.000000+00:00", "2026-01-01T00:00:00.000000+00:00"
    rows, _, _ = read(file, unit, Window("at", "timestamp", low, high))
    assert [row["id"] for row in rows] == [1, 2]  # by instant, not by text


@pytest.mark.parametrize(
    ("declared", "good", "bad"),
    [
        ("DATETIME", ["2026-01-01 00:00:00"], [None, 1700000000, "soon", "2026-01-01", b"x"]),
        ("TIMESTAMPTZ", ["2026-01-01 00:00:00Z"], [None, 5, "2026-99-01 00:00:00"]),
        ("DATE", ["2026-01-01"], [None, 5, "01.01.2026"]),
        ("INTEGER", [1], [None, "x", 1.5]),
    ],
)
def test_rows_that_no_window_would_bring_are_counted(
    file: Path, declared: str, good: list[Any], bad: list[Any]
) -> None:
    values = [(value,) for value in (*good, *bad)]
    run(file, f"CREATE TABLE t (at {declared})", rows=("INSERT INTO t VALUES (?)", values))
    unit = Unit(dataset="t", object="t", incremental=Incremental(cursor="at"))
    with view_of(file) as view:
        table = view.describe(unit)
        assert view.count_null_cursor(table, "at") == len(bad)


def test_rows_of_the_future_the_greatest_number_and_double_keys_are_found(file: Path) -> None:
    stamps = [(1, "2000-01-01 00:00:00"), (2, "2999-01-01 00:00:00"), (2, "2998-01-01 00:00:00")]
    run(
        file,
        "CREATE TABLE t (id INTEGER, at DATETIME)",
        rows=("INSERT INTO t VALUES (?, ?)", stamps),
    )
    unit = Unit(dataset="t", object="t", key=("id",), incremental=Incremental(cursor="at"))
    with view_of(file) as view:
        table = view.describe(unit)
        assert view.count_future(table, "at") == (2, "id=2")
        assert view.max_cursor(table, "id") == 2
        assert view.duplicate_keys(table, None) == ("id=2",)


@pytest.mark.parametrize(
    ("definition", "key", "is_unique"),
    [
        ("a INTEGER PRIMARY KEY, b INT", ("a",), True),
        ("a INT PRIMARY KEY, b INT", ("a",), False),
        ("a INT NOT NULL PRIMARY KEY, b INT", ("a",), True),
        ("a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b)", ("a",), False),
        ("a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b)", ("b", "a"), True),
        ("a INT NOT NULL UNIQUE, b INT", ("a", "b"), True),
        ("a INT UNIQUE, b INT", ("a",), False),
        ("a INT, b INT", ("a",), False),
    ],
)
def test_a_key_is_unique_when_the_file_enforces_it(
    file: Path, definition: str, key: tuple[str, ...], is_unique: bool
) -> None:
    run(file, f"CREATE TABLE t ({definition})")
    with view_of(file) as view:
        table = view.describe(Unit(dataset="t", object="t", key=key))
        assert table.key_is_unique is is_unique


def test_a_partial_index_does_not_make_a_key_unique(file: Path) -> None:
    run(file, "CREATE TABLE t (a INT NOT NULL)", "CREATE UNIQUE INDEX i ON t (a) WHERE a > 0")
    with view_of(file) as view:
        assert not view.describe(Unit(dataset="t", object="t", key=("a",))).key_is_unique


@pytest.mark.parametrize("name", ['a"b', "a.b", "Größe", "x; DROP TABLE y--", "%s :b ?", "order"])
def test_any_name_is_read(file: Path, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    run(file, f"CREATE TABLE {quoted} ({quoted} INTEGER)", f"INSERT INTO {quoted} VALUES (1)")
    rows, _, _ = read(file, Unit(dataset="t", object=name))
    assert rows == [{name: 1}]


def test_views_and_case_are_understood_as_sqlite_does(file: Path) -> None:
    run(file, "CREATE TABLE Base (n INTEGER)", "INSERT INTO Base VALUES (1)")
    run(file, "CREATE VIEW Twice AS SELECT n * 2 AS n2, n FROM Base")
    assert read(file, Unit(dataset="t", object="twice"))[0] == [{"n2": "2", "n": 1}]


def test_a_missing_table_is_named_with_its_nearest(file: Path) -> None:
    run(file, "CREATE TABLE orders (n INTEGER)")
    with view_of(file) as view, pytest.raises(DppError, match="Did you mean 'orders'") as refused:
        view.describe(Unit(dataset="t", object="order"))
    assert (refused.value.exit_code, refused.value.reason) == (31, Reason.SOURCE_OBJECT_MISSING)


def test_a_missing_file_is_unreachable_and_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    with pytest.raises(DppError, match=r"none\.db") as refused, source_of(path):
        pytest.fail("it was opened")
    assert refused.value.exit_code == 23
    assert not path.exists()


def test_a_file_of_another_kind_is_a_broken_object(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    path.write_text("this is no database, but long enough to be looked at" * 40)
    with pytest.raises(DppError) as refused, source_of(path):
        pytest.fail("it was opened")
    assert (refused.value.exit_code, refused.value.reason) == (31, Reason.SOURCE_READ_FAILED)


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_reading_changes_no_byte_of_the_file(file: Path, journal: str) -> None:
    run(file, f"PRAGMA journal_mode = {journal}", "CREATE TABLE t (n INTEGER)")
    run(file, "INSERT INTO t VALUES (1)")
    before = file.read_bytes()
    assert read(file)[0] == [{"n": 1}]
    assert file.read_bytes() == before


def test_no_writer_open_means_an_exact_horizon_and_no_lag(file: Path) -> None:
    run(file, "CREATE TABLE t (at DATETIME)")
    with source_of(file) as source:
        assert "horizon exact" in source.ping()
        with source.snapshot() as view:
            clocks = view.clocks
            column = view.describe(T).column("at")
    window = decide_window(Incremental(cursor="at"), column, None, clocks)
    assert clocks.is_exclusive
    assert window is not None
    assert datetime.fromisoformat(window.high) == clocks.clock_at.replace(
        microsecond=0, tzinfo=None
    )


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_an_open_writer_takes_the_horizon_away_and_is_not_seen(file: Path, journal: str) -> None:
    run(file, f"PRAGMA journal_mode = {journal}", "CREATE TABLE t (n INTEGER)")
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO t VALUES (1)")
        with view_of(file, lock_seconds=0) as view:
            assert not view.clocks.is_exclusive
            assert view.clocks.reason == Reason.NO_HORIZON
            assert "lock" in view.clocks.holder
            assert list(view.read(view.describe(T), None, None)) == []
        writer.execute("ROLLBACK")


def test_one_view_is_one_state_while_others_write(file: Path) -> None:
    run(file, "PRAGMA journal_mode = WAL", "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1)")
    with source_of(file) as source:
        with source.snapshot() as view:
            run(file, "INSERT INTO t VALUES (2)")
            table = view.describe(T)
            seen = [row for b in view.read(table, None, None) for row in b.rows.to_pylist()]
        with source.snapshot() as later:
            rows = sum(b.rows.num_rows for b in later.read(later.describe(T), None, None))
            assert later.snapshot_at - view.snapshot_at < timedelta(minutes=5)
    assert (seen, rows) == ([{"n": 1}], 2)


def test_nothing_can_be_written_through_the_handle(file: Path) -> None:
    from dpp_extractor.extract.database.sqlite.snapshot import _open_reader

    with (
        closing(_open_reader(str(file), Limits())) as connection,
        pytest.raises(sqlite3.OperationalError),
    ):
        connection.execute("CREATE TABLE x (n)")
