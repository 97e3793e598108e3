"""What we commit is read back equal by deltalake, DuckDB and Polars, from a folder."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extensions
import polars
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from dpp_extractor.adapters.folder import open_folder
from dpp_extractor.publish.keys import table_prefix
from table import STREAM, TableWriter, number_rows


def read_deltalake(uri: str, where: tuple[str, str, Any] | None = None) -> list[dict]:
    filters = [where] if where else None
    return DeltaTable(uri).to_pyarrow_table(filters=filters).to_pylist()


def read_duckdb(uri: str, where: tuple[str, str, Any] | None = None) -> list[dict]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    duckdb_extensions.import_extension("delta")
    connection.execute("LOAD delta")
    sql = f"SELECT * FROM delta_scan('{uri}')"
    if where:
        return (
            connection.execute(f'{sql} WHERE "{where[0]}" {where[1]} ?', [where[2]])
            .to_arrow_table()
            .to_pylist()
        )
    return connection.execute(sql).to_arrow_table().to_pylist()


def read_polars(uri: str, where: tuple[str, str, Any] | None = None) -> list[dict]:
    frame = polars.scan_delta(uri)
    if where:
        column, sign, value = where
        compared = {
            "=": polars.col(column) == value,
            ">=": polars.col(column) >= value,
            "<": polars.col(column) < value,
        }
        frame = frame.filter(compared[sign])
    return frame.collect().to_arrow().to_pylist()


READERS: dict[str, Callable[..., list[dict]]] = {
    "deltalake": read_deltalake,
    "duckdb": read_duckdb,
    "polars": read_polars,
}
reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@pytest.fixture
def writer(tmp_path: Path) -> TableWriter:
    return TableWriter(open_folder(tmp_path / "lake"))


def uri(writer: TableWriter) -> str:
    return f"{writer.store.uri}/{table_prefix(STREAM)}"


def by_id(rows: list[dict]) -> list[dict]:
    return sorted(rows, key=lambda row: row["id"])


def same(values: list[dict]) -> list[dict]:
    """Bring instants to UTC: readers name the zone differently."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC)
        return value

    return [{name: plain(value) for name, value in row.items()} for row in by_id(values)]


ALL_TYPES = pa.schema(
    [
        pa.field("id", pa.int64(), metadata={"dpp.source_name": "ID"}),
        pa.field("tiny", pa.int8()),
        pa.field("small", pa.int16()),
        pa.field("whole", pa.int32()),
        pa.field("ratio", pa.float64()),
        pa.field("price", pa.decimal128(38, 10)),
        pa.field("amount", pa.decimal128(12, 2)),
        pa.field("is_open", pa.bool_()),
        pa.field("name", pa.string()),
        pa.field("raw", pa.binary()),
        pa.field("born_on", pa.date32()),
        pa.field("changed_at", pa.timestamp("us", tz="UTC")),
        pa.field("local_at", pa.timestamp("us")),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("address.city", pa.string()),
        pa.field("größe", pa.string()),
    ]
)


def all_types_rows() -> pa.Table:
    first = {
        "id": 1,
        "tiny": -128,
        "small": 32767,
        "whole": -(2**31),
        "ratio": 0.1,
        "price": Decimal("1234567890123456789012345678.0123456789"),
        "amount": Decimal("-9999999999.99"),
        "is_open": True,
        "name": 'Müller & Söhne, „Großhandel“ \\ "x"',
        "raw": b"\x00\xff\x01",
        "born_on": date(1, 1, 1),
        "changed_at": datetime(2026, 3, 29, 1, 59, 59, 999999, tzinfo=UTC),
        "local_at": datetime(2026, 3, 29, 2, 30, 0, 1),
        "tags": ["a", None, ""],
        "address.city": "Köln",
        "größe": "XL",
    }
    empty = dict.fromkeys(first) | {"id": 2}
    last = first | {
        "id": 3,
        "born_on": date(9999, 12, 31),
        "amount": Decimal("0.01"),
        "name": "z" * 500,
        "changed_at": datetime(1970, 1, 1, tzinfo=UTC),
        "local_at": datetime(1900, 1, 1),
    }
    return pa.Table.from_pylist([first, empty, last], schema=ALL_TYPES)


@reader
def test_every_type_comes_back_equal(read: Callable[..., list[dict]], writer: TableWriter):
    rows = all_types_rows()

    writer.add(rows)

    assert same(read(uri(writer))) == same(rows.to_pylist())


@reader
@pytest.mark.parametrize(
    "where",
    [
        ("amount", "=", Decimal("-9999999999.99")),
        ("price", "=", Decimal("1234567890123456789012345678.0123456789")),
        ("born_on", "=", date(9999, 12, 31)),
        ("born_on", "<", date(2, 1, 1)),
        ("changed_at", "=", datetime(2026, 3, 29, 1, 59, 59, 999999, tzinfo=UTC)),
        ("local_at", "=", datetime(2026, 3, 29, 2, 30, 0, 1)),
        ("local_at", "<", datetime(1900, 1, 2)),
        ("name", "=", "z" * 500),
        ("name", ">=", "z" * 400),
        ("whole", "=", -(2**31)),
        ("ratio", "=", 0.1),
        ("größe", "=", "XL"),
        ("is_open", "=", True),
        ("tiny", "=", -128),
        ("id", "=", 4),
    ],
    ids=lambda value: f"{value[0]} {value[1]} {str(value[2])[:20]}",
)
def test_statistics_make_no_filter_lose_rows(
    read: Callable[..., list[dict]], where: tuple[str, str, Any], writer: TableWriter
):
    rows = all_types_rows()
    only_nulls = pa.Table.from_pylist([{"id": 4}], schema=ALL_TYPES)
    column, sign, value = where
    matches = {
        "=": lambda held: held == value,
        ">=": lambda held: held >= value,
        "<": lambda held: held < value,
    }[sign]
    wanted = [
        row["id"]
        for row in pa.concat_tables([rows, only_nulls]).to_pylist()
        if row[column] is not None and matches(row[column])
    ]
    writer.add(rows)
    writer.add(only_nulls)

    found = read(uri(writer), where)

    assert wanted
    assert [row["id"] for row in by_id(found)] == wanted


@reader
def test_appends_add_up(read: Callable[..., list[dict]], writer: TableWriter):
    for start in range(0, 50, 10):
        writer.add(number_rows(list(range(start, start + 10))))

    assert [row["id"] for row in by_id(read(uri(writer)))] == list(range(50))


@reader
def test_a_replace_leaves_only_the_new_rows(read: Callable[..., list[dict]], writer: TableWriter):
    writer.add(number_rows([1, 2, 3]))
    writer.add(number_rows([4]))

    writer.add(number_rows([2, 9], "new"), kind="replace")

    assert by_id(read(uri(writer))) == [{"id": 2, "name": "new2"}, {"id": 9, "name": "new9"}]


@reader
def test_an_empty_first_commit_makes_an_empty_table(
    read: Callable[..., list[dict]], writer: TableWriter
):
    writer.add(None)

    assert read(uri(writer)) == []


@reader
def test_a_column_that_is_new_is_null_in_old_rows(
    read: Callable[..., list[dict]], writer: TableWriter
):
    writer.add(number_rows([1]))
    later = pa.table(
        {
            "id": [2],
            "name": ["n2"],
            "local_at": pa.array([datetime(2026, 1, 1)], pa.timestamp("us")),
        }
    )

    writer.add(later)

    assert by_id(read(uri(writer))) == [
        {"id": 1, "name": "n1", "local_at": None},
        {"id": 2, "name": "n2", "local_at": datetime(2026, 1, 1)},
    ]
    assert DeltaTable(uri(writer)).protocol().min_reader_version == 3


@reader
def test_a_column_that_is_gone_stays_null_in_new_rows(
    read: Callable[..., list[dict]], writer: TableWriter
):
    writer.add(number_rows([1]))

    writer.add(pa.table({"id": pa.array([2], pa.int64())}))

    assert by_id(read(uri(writer))) == [{"id": 1, "name": "n1"}, {"id": 2, "name": None}]


@reader
@pytest.mark.parametrize(
    ("old", "new", "values"),
    [
        (pa.int16(), pa.int32(), (7, 70000)),
        (pa.int32(), pa.int64(), (7, 2**40)),
        (pa.float32(), pa.float64(), (0.5, 0.1)),
        (pa.decimal128(9, 2), pa.decimal128(20, 2), (Decimal("1.25"), Decimal("123456789012.25"))),
    ],
    ids=["short to int", "int to long", "float to double", "decimal grows"],
)
def test_a_widened_column_reads_in_old_and_new_rows(
    read: Callable[..., list[dict]],
    old: pa.DataType,
    new: pa.DataType,
    values: tuple[Any, Any],
    writer: TableWriter,
):
    def rows(number: int, kind: pa.DataType) -> pa.Table:
        return pa.table(
            {"id": pa.array([number], pa.int64()), "v": pa.array([values[number]], kind)}
        )

    writer.add(rows(0, old))

    writer.add(rows(1, new))

    assert [row["v"] for row in by_id(read(uri(writer)))] == list(values)


def test_the_log_holds_our_commit_and_the_metadata_of_fields(writer: TableWriter):
    writer.add(all_types_rows())

    table = DeltaTable(uri(writer))
    head = writer.head()

    assert table.transaction_version("dpp") == 1
    assert table.history()[0]["dpp"]["seq"] == 1
    assert head.schema is not None
    assert head.schema.field("id").metadata == {b"dpp.source_name": b"ID"}
    assert [str(field.type) for field in head.schema if field.name != "tags"] == [
        str(field.type) for field in ALL_TYPES if field.name != "tags"
    ]


def test_a_strangers_compaction_states_nothing_that_is_not_exact(writer: TableWriter):
    writer.add(all_types_rows())
    writer.add(all_types_rows())

    DeltaTable(uri(writer)).optimize.compact()

    found = read_deltalake(uri(writer), ("amount", "=", Decimal("-9999999999.99")))
    assert [row["id"] for row in found] == [1, 1]
