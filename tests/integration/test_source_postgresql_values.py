"""Values: what is read from a real PostgreSQL equals the server's own text of every value."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from dpp_core.handover import DatabaseSource, Unit
from dpp_extractor.batch import RawBatch, Rejected, SourceTable
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.extract.database.limits import Limits
from dpp_extractor.ports import Snapshot
from servers.postgres import Database, Postgres


@contextmanager
def snapshot_of(database: Database, **limits: int) -> Iterator[Snapshot]:
    source = DatabaseSource(
        engine="postgresql",
        host=database.host,
        port=database.port,
        database=database.name,
        tls="Disable",
    )
    secret = {"username": database.user, "password": database.password}
    with (
        open_database(source, secret, run_id="values", limits=Limits(**limits)) as opened,
        opened.snapshot() as view,
    ):
        yield view


def read_all(
    database: Database, name: str, limit_rows: int | None = None, **limits: int
) -> tuple[SourceTable, list[RawBatch]]:
    with snapshot_of(database, **limits) as view:
        table = view.describe(Unit(dataset="t", object=name))
        return table, list(view.read(table, None, limit_rows))


def rows_of(batches: list[RawBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.rows.to_pylist()]


def rejected_of(batches: list[RawBatch]) -> list[Rejected]:
    return [row for batch in batches for row in batch.rejected]


EXACT: list[tuple[str, pa.DataType, list[str], list[Any]]] = [
    ("smallint", pa.int16(), ["-32768", "32767"], [-32768, 32767]),
    ("integer", pa.int32(), ["-2147483648", "2147483647"], [-(2**31), 2**31 - 1]),
    (
        "bigint",
        pa.int64(),
        ["-9223372036854775808", "9223372036854775807"],
        [-(2**63), 2**63 - 1],
    ),
    ("oid", pa.int64(), ["4294967295"], [4294967295]),
    ("boolean", pa.bool_(), ["true", "false"], [True, False]),
    ("numeric(12,2)", pa.decimal128(12, 2), ["1.10", "-0.01"], [Decimal("1.10"), Decimal("-0.01")]),
    (
        "numeric(38,18)",
        pa.decimal128(38, 18),
        ["99999999999999999999.999999999999999999", "0.000000000000000001"],
        [Decimal("99999999999999999999.999999999999999999"), Decimal("0.000000000000000001")],
    ),
    ("numeric(38,0)", pa.decimal128(38, 0), ["9" * 38], [Decimal("9" * 38)]),
    ("numeric(39,0)", pa.string(), ["9" * 39], ["9" * 39]),
    ("numeric(3,-2)", pa.string(), ["12345"], ["12300"]),
    ("numeric(2,4)", pa.string(), ["0.0012"], ["0.0012"]),
    (
        "numeric",
        pa.string(),
        ["3.141592653589793238462", "NaN", "Infinity", "1e30"],
        ["3.141592653589793238462", "NaN", "Infinity", "1" + "0" * 30],
    ),
    ("money", pa.string(), ["12.34", "-1234567.89"], ["12.34", "-1234567.89"]),
    (
        "text",
        pa.string(),
        [
            "",
            "NULL",
            "\\N",
            "\\.",
            "a\r\nb",
            "\n",
            'say "hi"',
            "a,b",
            "  pad  ",
            "😀 Ä",
            "\t",
            "\\",
        ],
        [
            "",
            "NULL",
            "\\N",
            "\\.",
            "a\r\nb",
            "\n",
            'say "hi"',
            "a,b",
            "  pad  ",
            "😀 Ä",
            "\t",
            "\\",
        ],
    ),
    ("char(5)", pa.string(), ["ab", ""], ["ab   ", "     "]),
    ("varchar(9)", pa.string(), ["ab  "], ["ab  "]),
    ("bytea", pa.binary(), ["\\x", "\\x00ff0a", "\\x5c2e"], [b"", b"\x00\xff\n", b"\\."]),
    (
        "date",
        pa.date32(),
        ["0001-01-01", "1969-12-31", "9999-12-31"],
        [date(1, 1, 1), date(1969, 12, 31), date(9999, 12, 31)],
    ),
    (
        "timestamp",
        pa.timestamp("us"),
        ["0001-01-01", "1969-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999"],
        [
            datetime(1, 1, 1),
            datetime(1969, 12, 31, 23, 59, 59, 999999),
            datetime(9999, 12, 31, 23, 59, 59, 999999),
        ],
    ),
    (
        "time",
        pa.string(),
        ["00:00", "23:59:59.5", "24:00"],
        [
            "00:00:00.000000",
            "23:59:59.500000",
            "24:00:00.000000",
        ],
    ),
    ("timetz", pa.string(), ["12:00:00.5+02"], ["12:00:00.5+02"]),
    ("interval", pa.string(), ["1 mon -2 days 3.5 s"], ["P1M-2DT3.5S"]),
    (
        "uuid",
        pa.string(),
        ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
        ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    ),
    ("json", pa.string(), ['{"a":  [1, null]}'], ['{"a":  [1, null]}']),
    ("jsonb", pa.string(), ['{"b":1,"a":2}'], ['{"a": 2, "b": 1}']),
    ("xml", pa.string(), ["<a>ä</a>"], ["<a>ä</a>"]),
    ("inet", pa.string(), ["10.0.0.1/8"], ["10.0.0.1/8"]),
    ("bit(3)", pa.string(), ["101"], ["101"]),
    ("int4[]", pa.string(), ["{1,NULL,3}"], ["{1,NULL,3}"]),
    ("text[]", pa.string(), ['{"a,b",""}'], ['{"a,b",""}']),
    ("int4range", pa.string(), ["[1,5)"], ["[1,5)"]),
    ("mood", pa.string(), ["so-so"], ["so-so"]),
    ("price_domain", pa.decimal128(9, 3), ["1.5"], [Decimal("1.500")]),
    ("pair", pa.string(), ['(1,"a b")'], ['(1,"a b")']),
]


@pytest.fixture(scope="module")
def shared(postgres: Postgres) -> Iterator[Database]:
    """Give one database for all types: each test has a table of its own in it."""
    database = postgres.create_database()
    database.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'so-so'); CREATE TYPE pair AS (n int, s text);"
        "CREATE DOMAIN price_inner AS numeric(9,3); CREATE DOMAIN price_domain AS price_inner"
    )
    yield database
    postgres.drop_database(database)


@pytest.mark.parametrize(
    ("type_name", "arrow_type", "given", "expected"), EXACT, ids=[case[0] for case in EXACT]
)
def test_every_value_and_null_come_exactly(
    shared: Database,
    type_name: str,
    arrow_type: pa.DataType,
    given: list[str],
    expected: list[Any],
) -> None:
    shared.execute(f'CREATE TABLE "of {type_name}" (v {type_name})')
    shared.execute(
        f'INSERT INTO "of {type_name}" VALUES (NULL)'
        + f", (CAST(%s AS text)::{type_name})" * len(given),
        given,
    )
    table, batches = read_all(shared, f"of {type_name}")
    assert table.columns[0].arrow_type == arrow_type
    assert rejected_of(batches) == []
    assert [row["v"] for row in rows_of(batches)] == [None, *expected]


def test_floats_come_bit_by_bit(database: Database) -> None:
    import struct

    doubles = ["NaN", "Infinity", "-Infinity", "-0", "5e-324", "1.7976931348623157e308", "0.1"]
    singles = ["NaN", "Infinity", "-0", "1e-45", "3.4028235e38", "0.1", "16777217"]
    database.execute("CREATE TABLE t (id int, d float8, s float4)")
    for number, (double, single) in enumerate(zip(doubles, singles, strict=True)):
        database.execute(
            "INSERT INTO t VALUES (%s, %s::text::float8, %s::text::float4)",
            [number, double, single],
        )
    sent = database.execute("SELECT float8send(d), float4send(s) FROM t ORDER BY id")
    _, batches = read_all(database, "t")
    rows = sorted(rows_of(batches), key=lambda row: row["id"])
    assert [(struct.pack(">d", row["d"]), struct.pack(">f", row["s"])) for row in rows] == sent


def test_instants_are_utc_whatever_the_server_is_set_to(database: Database) -> None:
    database.execute(
        f"""ALTER ROLE "{database.user}" SET TimeZone = 'Asia/Kolkata';
        ALTER ROLE "{database.user}" SET DateStyle = 'German, DMY';
        ALTER ROLE "{database.user}" SET IntervalStyle = 'postgres_verbose';
        ALTER ROLE "{database.user}" SET bytea_output = 'escape';
        ALTER ROLE "{database.user}" SET extra_float_digits = 0"""
    )
    database.execute("CREATE TABLE t (z timestamptz, d date, i interval, b bytea, f float8)")
    database.execute(
        "INSERT INTO t VALUES ('2026-03-04T05:30:00.000001+05:30', '2026-03-04', '2 hours',"
        " '\\xdead', 0.1::float8 + 0.2::float8)"
    )
    _, batches = read_all(database, "t")
    (row,) = rows_of(batches)
    assert row["z"].isoformat() == "2026-03-04T00:00:00.000001+00:00"
    assert (row["d"], row["i"], row["b"]) == (date(2026, 3, 4), "PT2H", b"\xde\xad")
    assert row["f"] == 0.1 + 0.2


UNREPRESENTABLE = [
    ("timestamptz", "infinity"),
    ("timestamptz", "-infinity"),
    ("timestamptz", "10000-01-01 00:00:00+00"),
    ("timestamptz", "0044-03-15 12:00:00+00 BC"),
    ("timestamp", "infinity"),
    ("timestamp", "294276-12-31"),
    ("date", "infinity"),
    ("date", "0044-03-15 BC"),
    ("date", "10000-01-01"),
    ("numeric(10,2)", "NaN"),
]


@pytest.mark.parametrize(("type_name", "value"), UNREPRESENTABLE)
def test_a_value_without_a_standard_form_is_rejected_alone_and_whole(
    shared: Database, type_name: str, value: str
) -> None:
    name = f"{type_name} {value}"
    shared.execute(f'CREATE TABLE "{name}" (id int, v {type_name}, note text)')
    shared.execute(
        f'INSERT INTO "{name}" SELECT n, CASE WHEN n IN (3, 77) THEN CAST(%s AS text)::{type_name} END,'
        " 'note, ' || n FROM generate_series(1, 100) n",
        [value],
    )
    _, batches = read_all(shared, name, block_bytes=400)
    rejected = rejected_of(batches)
    assert sorted(row["id"] for row in rows_of(batches)) == [
        n for n in range(1, 101) if n not in (3, 77)
    ]
    assert [(row.rule, row.column) for row in rejected] == [("type", "v")] * 2
    text = shared.execute(f'SELECT v::text FROM "{name}" WHERE id = 3')[0][0]
    assert text.removesuffix("+00") in str(rejected[0].values["v"])
    assert rejected[0].values["note"] == "note, 3"
    assert value not in rejected[0].detail


def test_a_million_infinities_do_not_stop_the_good_rows(database: Database) -> None:
    database.execute("CREATE TABLE t (id int, valid_to timestamptz)")
    database.execute(
        "INSERT INTO t SELECT n, CASE WHEN n % 10 = 0 THEN now() ELSE 'infinity' END"
        " FROM generate_series(1, 50000) n"
    )
    _, batches = read_all(database, "t", block_bytes=65536)
    assert len(rows_of(batches)) == 5000
    assert len(rejected_of(batches)) == 45000


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 4096])
def test_blocks_of_any_size_give_the_same_rows(database: Database, block_bytes: int) -> None:
    database.execute("CREATE TABLE t (v text)")
    database.execute(
        "INSERT INTO t SELECT CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'x\\ny'"
        " ELSE '\\.' END FROM generate_series(1, 40) n"
    )
    _, batches = read_all(database, "t", block_bytes=block_bytes)
    assert [row["v"] for row in rows_of(batches)] == ["", "x\ny", "\\.", None] * 10


def test_a_row_greater_than_a_block_and_thirty_megabytes_of_bytes_come_whole(
    database: Database,
) -> None:
    database.execute("CREATE TABLE t (id int, v bytea)")
    database.execute("INSERT INTO t VALUES (1, decode(repeat('00ff', 15000000), 'hex')), (2, '')")
    _, batches = read_all(database, "t")
    values = {row["id"]: row["v"] for row in rows_of(batches)}
    assert values == {1: b"\x00\xff" * 15_000_000, 2: b""}


def test_an_empty_table_gives_no_batch_and_a_limit_is_kept(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    assert read_all(database, "t")[1] == []
    database.execute("INSERT INTO t SELECT generate_series(1, 100)")
    assert len(rows_of(read_all(database, "t", limit_rows=7)[1])) == 7


def test_a_wide_table_comes_whole(database: Database) -> None:
    names = [f"c{n}" for n in range(1500)]
    database.execute(f"CREATE TABLE t ({', '.join(f'{n} int' for n in names)})")
    database.execute(f"INSERT INTO t VALUES ({', '.join(str(n) for n in range(1500))})")
    _, batches = read_all(database, "t")
    assert list(rows_of(batches)[0].values()) == list(range(1500))
