"""Values: what is read from a real MariaDB equals the server's own value, type by type."""

import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from dpp_extractor.extract.database.limits import Limits
from mariadb_views import read_all, rejected_of, rows_of
from servers.mariadb import MariaDb, Schema

LONG = "9" * 65
UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
EXACT: list[tuple[str, pa.DataType, list[str], list[Any]]] = [
    ("TINYINT", pa.int8(), ["-128", "127"], [-128, 127]),
    ("TINYINT(1)", pa.int8(), ["0", "1", "7"], [0, 1, 7]),
    ("BOOLEAN", pa.int8(), ["TRUE", "FALSE", "2"], [1, 0, 2]),
    ("TINYINT UNSIGNED", pa.int16(), ["255"], [255]),
    ("SMALLINT", pa.int16(), ["-32768", "32767"], [-32768, 32767]),
    ("SMALLINT UNSIGNED", pa.int32(), ["65535"], [65535]),
    ("MEDIUMINT", pa.int32(), ["-8388608", "8388607"], [-(2**23), 2**23 - 1]),
    ("MEDIUMINT UNSIGNED", pa.int32(), ["16777215"], [2**24 - 1]),
    ("INT", pa.int32(), ["-2147483648", "2147483647"], [-(2**31), 2**31 - 1]),
    ("INT UNSIGNED", pa.int64(), ["4294967295"], [2**32 - 1]),
    ("INT(8) ZEROFILL", pa.int64(), ["42"], [42]),
    ("BIGINT", pa.int64(), ["-9223372036854775808"], [-(2**63)]),
    ("BIGINT UNSIGNED", pa.decimal128(20, 0), ["18446744073709551615"], [Decimal(2**64 - 1)]),
    ("DECIMAL(12,2)", pa.decimal128(12, 2), ["1.1", "-0.01"], [Decimal("1.10"), Decimal("-0.01")]),
    ("DECIMAL(12,2) ZEROFILL", pa.decimal128(12, 2), ["1.1"], [Decimal("1.10")]),
    ("DECIMAL(38,18)", pa.decimal128(38, 18), ["1e-18"], [Decimal("0.000000000000000001")]),
    ("DECIMAL(38,0)", pa.decimal128(38, 0), ["9" * 38], [Decimal("9" * 38)]),
    ("DECIMAL(65,0)", pa.string(), [LONG], [LONG]),
    ("DECIMAL(40,2)", pa.string(), ["-0.5"], ["-0.50"]),
    ("BIT(1)", pa.bool_(), ["b'1'", "b'0'"], [True, False]),
    ("BIT(3)", pa.string(), ["b'101'", "b'1'"], ["101", "001"]),
    ("BIT(64)", pa.string(), ["18446744073709551615"], ["1" * 64]),
    ("YEAR", pa.int16(), ["2026", "'0000'", "1901"], [2026, 0, 1901]),
    (
        "DATE",
        pa.date32(),
        ["'0001-01-01'", "'9999-12-31'"],
        [date(1, 1, 1), date(9999, 12, 31)],
    ),
    (
        "DATETIME",
        pa.timestamp("us"),
        ["'0001-01-01'", "'2025-03-30 02:30:00'"],
        [datetime(1, 1, 1), datetime(2025, 3, 30, 2, 30)],
    ),
    (
        "DATETIME(6)",
        pa.timestamp("us"),
        ["'9999-12-31 23:59:59.999999'"],
        [datetime(9999, 12, 31, 23, 59, 59, 999_999)],
    ),
    (
        "TIMESTAMP(3) NULL",
        pa.timestamp("us", "UTC"),
        ["'2025-03-30 01:30:00.123'", "'1970-01-01 00:00:01'"],
        [
            datetime(2025, 3, 30, 1, 30, 0, 123_000, UTC),
            datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
        ],
    ),
    (
        "TIME(6)",
        pa.string(),
        ["'00:00'", "'-838:59:59'", "'23:59:59.5'"],
        ["00:00:00.000000", "-838:59:59.000000", "23:59:59.500000"],
    ),
    ("TIME", pa.string(), ["'-00:00:01'"], ["-00:00:01.000000"]),
    ("CHAR(5)", pa.string(), ["'ab  '", "''"], ["ab", ""]),
    ("VARCHAR(20)", pa.string(), ["'ab  '", "'😀\\\\N'"], ["ab  ", "😀\\N"]),
    ("VARCHAR(20) CHARACTER SET latin1", pa.string(), ["'Größe €'"], ["Größe €"]),
    ("VARCHAR(20) CHARACTER SET utf8mb3", pa.string(), ["'Łódź'"], ["Łódź"]),
    ("VARCHAR(20) CHARACTER SET ucs2", pa.string(), ["'Łódź'"], ["Łódź"]),
    ("VARCHAR(20) CHARACTER SET utf16", pa.string(), ["'😀'"], ["😀"]),
    ("VARCHAR(20) CHARACTER SET sjis", pa.string(), ["'日本語'"], ["日本語"]),
    ("VARCHAR(20) CHARACTER SET cp1251", pa.string(), ["'Привет'"], ["Привет"]),
    ("TEXT", pa.string(), ["'a\\tb\\nc\\0d\"'"], ['a\tb\nc\0d"']),
    ("LONGTEXT CHARACTER SET latin1", pa.string(), ["'ü'"], ["ü"]),
    ("BINARY(4)", pa.binary(), ["x'00ff'"], [b"\x00\xff\x00\x00"]),
    ("VARBINARY(4)", pa.binary(), ["x'00ff'", "''"], [b"\x00\xff", b""]),
    ("BLOB", pa.binary(), ["x'fb00fe'"], [b"\xfb\x00\xfe"]),
    ("ENUM('a','ü')", pa.string(), ["'ü'", "1"], ["ü", "a"]),
    ("ENUM('ä','b') CHARACTER SET latin1", pa.string(), ["'ä'"], ["ä"]),
    ("SET('a','b','c')", pa.string(), ["'c,a'", "''"], ["a,c", ""]),
    ("JSON", pa.string(), ["'{\"b\":  [1, null]}'"], ['{"b":  [1, null]}']),
    ("UUID", pa.string(), [f"'{UUID.upper()}'"], [UUID]),
    ("INET6", pa.string(), ["'::1'", "'::ffff:10.0.0.1'"], ["::1", "::ffff:10.0.0.1"]),
    ("INET4", pa.string(), ["'10.0.0.1'"], ["10.0.0.1"]),
    ("POINT", pa.string(), ["POINT(1.5, -2)"], ["SRID=0;POINT(1.5 -2)"]),
    (
        "GEOMETRY",
        pa.string(),
        ["ST_GeomFromText('LINESTRING(0 0,1 0.1)', 4326)"],
        ["SRID=4326;LINESTRING(0 0,1 0.1)"],
    ),
    ("DOUBLE(10,2)", pa.float64(), ["0.1", "99999999.99"], [0.1, 99999999.99]),
]


@pytest.fixture(scope="module")
def shared(mariadb: MariaDb) -> Iterator[Schema]:
    """Give one database for all types: each test has a table of its own in it."""
    schema = mariadb.create_schema()
    yield schema
    mariadb.drop_schema(schema)


def make_table(schema: Schema, name: str, type_name: str, values: list[str]) -> str:
    """Make a table `t` of one type; the writer speaks UTC."""
    quoted = name.replace("`", "``")
    with schema.connect() as writer, writer.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00', sql_mode = ''")
        cursor.execute(
            f"CREATE TABLE `{quoted}` (id INT PRIMARY KEY AUTO_INCREMENT, v {type_name})"
        )
        cursor.execute(f"INSERT INTO `{quoted}` (v) VALUES (NULL)")
        for value in values:
            cursor.execute(f"INSERT INTO `{quoted}` (v) VALUES ({value})")
    return name


@pytest.mark.parametrize(
    ("type_name", "arrow_type", "given", "expected"), EXACT, ids=[case[0] for case in EXACT]
)
def test_every_value_and_null_come_exactly(
    shared: Schema, type_name: str, arrow_type: pa.DataType, given: list[str], expected: list[Any]
) -> None:
    name = make_table(shared, f"of {type_name}"[:60], type_name, given)

    table, batches = read_all(shared, name)

    assert table.column("v").arrow_type == arrow_type
    assert rejected_of(batches) == []
    assert [row["v"] for row in rows_of(batches)] == [None, *expected]


def test_floats_come_bit_by_bit(schema: Schema) -> None:
    # The server itself keeps no sign of zero.
    doubles = [0.0, 5e-324, 1.7976931348623157e308, 0.1, 0.1 + 0.2, 1e22, 123456789.123456789]
    singles = [0.0, 1e-45, 3.4028234663852886e38, 0.1, 16777216.0, 1 / 3, 123456.789]
    singles = [struct.unpack("f", struct.pack("f", number))[0] for number in singles]
    schema.execute("CREATE TABLE t (id INT PRIMARY KEY, d DOUBLE, s FLOAT)")
    for number, (double, single) in enumerate(zip(doubles, singles, strict=True)):
        schema.execute(f"INSERT INTO t VALUES ({number}, {double!r}, {single!r})")

    _, batches = read_all(schema, "t")

    read = [(row["d"], row["s"]) for row in rows_of(batches)]
    packed = [struct.pack(">dd", *pair) for pair in read]
    assert packed == [struct.pack(">dd", *pair) for pair in zip(doubles, singles, strict=True)]


def test_instants_are_utc_whatever_the_server_is_set_to(mariadb: MariaDb, schema: Schema) -> None:
    admin = mariadb.admin()
    (before,) = admin.execute("SELECT @@global.time_zone, @@global.sql_mode")
    admin.execute("SET GLOBAL time_zone = '+05:30'")
    admin.execute("SET GLOBAL sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,ANSI_QUOTES'")
    try:
        schema.execute("CREATE TABLE t (z TIMESTAMP(6) NULL, n DATETIME, c CHAR(9))")
        schema.execute(
            "INSERT INTO t VALUES ('2026-03-04 05:30:00.000001', '2026-03-04 05:30:00', 'ab')"
        )
        _, batches = read_all(schema, "t")
    finally:
        admin.execute("SET GLOBAL time_zone = %s, GLOBAL sql_mode = %s", before)
    (row,) = rows_of(batches)
    assert row["z"].isoformat() == "2026-03-04T00:00:00.000001+00:00"
    assert row["n"] == datetime(2026, 3, 4, 5, 30)
    assert row["c"] == "ab"


@pytest.mark.parametrize(
    ("name", "value"),
    [("sql_select_limit", "2"), ("max_statement_time", "0.0001"), ("net_write_timeout", "1")],
)
def test_what_somebody_set_for_all_sessions_cuts_no_table(
    mariadb: MariaDb, schema: Schema, name: str, value: str
) -> None:
    schema.execute("CREATE TABLE t (n INT) AS SELECT seq AS n FROM seq_1_to_5000")
    admin = mariadb.admin()
    ((before,),) = admin.execute(f"SELECT @@global.{name}")
    admin.execute(f"SET GLOBAL {name} = {value}")
    try:
        _, batches = read_all(schema, "t")
    finally:
        admin.execute(f"SET GLOBAL {name} = {before}")
    assert sum(batch.rows.num_rows for batch in batches) == 5000


UNREPRESENTABLE = [
    ("DATE", "'0000-00-00'", "0000-00-00"),
    ("DATE", "'2026-00-15'", "2026-00-15"),
    ("DATE", "'0000-03-15'", "0000-03-15"),
    ("DATETIME", "'0000-00-00 00:00:00'", "0000-00-00 00:00:00"),
    ("DATETIME(3)", "'2026-01-00 10:00:00'", "2026-01-00 10:00:00.000"),
    ("TIMESTAMP NULL", "0", "0000-00-00 00:00:00"),
]


@pytest.mark.parametrize(("type_name", "value", "text"), UNREPRESENTABLE)
def test_a_value_without_a_standard_form_is_rejected_alone_and_whole(
    schema: Schema, type_name: str, value: str, text: str
) -> None:
    with schema.connect() as writer, writer.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00', sql_mode = ''")
        cursor.execute(f"CREATE TABLE t (id INT PRIMARY KEY, v {type_name}, note TEXT)")
        cursor.execute(
            f"INSERT INTO t SELECT seq, IF(seq IN (3, 77), {value}, NULL), CONCAT('note, ', seq)"
            " FROM seq_1_to_100"
        )

    _, batches = read_all(schema, "t", limits=Limits(block_bytes=400))

    rejected = rejected_of(batches)
    assert sorted(row["id"] for row in rows_of(batches)) == [
        n for n in range(1, 101) if n not in (3, 77)
    ]
    assert [(row.rule, row.column) for row in rejected] == [("type", "v")] * 2
    assert rejected[0].values == {"id": "3", "v": text, "note": "note, 3"}
    assert text not in rejected[0].detail


def test_a_table_full_of_zero_dates_does_not_stop_the_good_rows(schema: Schema) -> None:
    with schema.connect() as writer, writer.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY, until DATE)")
        cursor.execute(
            "INSERT INTO t SELECT seq, IF(seq % 10 = 0, '2026-01-01', '0000-00-00')"
            " FROM seq_1_to_50000"
        )

    _, batches = read_all(schema, "t", limits=Limits(block_bytes=65_536))

    assert len(rows_of(batches)) == 5_000
    assert len(rejected_of(batches)) == 45_000


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 4096])
def test_blocks_of_any_size_give_the_same_rows(schema: Schema, block_bytes: int) -> None:
    schema.execute("CREATE TABLE t (id INT PRIMARY KEY, v TEXT)")
    schema.execute(
        "INSERT INTO t SELECT seq, ELT(1 + seq % 4, NULL, '', 'x\\ny', REPEAT('ä', 200))"
        " FROM seq_1_to_40"
    )

    _, batches = read_all(schema, "t", limits=Limits(block_bytes=block_bytes))

    assert [row["v"] for row in rows_of(batches)] == ["", "x\ny", "ä" * 200, None] * 10


@pytest.mark.parametrize("size_bytes", [16_777_214, 16_777_215, 16_777_216, 40_000_000])
def test_a_field_of_many_megabytes_comes_whole(schema: Schema, size_bytes: int) -> None:
    schema.execute("CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)")
    schema.execute(f"INSERT INTO t VALUES (1, REPEAT(x'ff', {size_bytes})), (2, '')")

    _, batches = read_all(schema, "t")

    values = {row["id"]: row["v"] for row in rows_of(batches)}
    assert {key: len(value) for key, value in values.items()} == {1: size_bytes, 2: 0}
    assert values[1] == b"\xff" * size_bytes


def test_an_empty_table_gives_no_batch_and_a_limit_is_kept(schema: Schema) -> None:
    schema.execute("CREATE TABLE t (id INT)")
    assert read_all(schema, "t")[1] == []
    schema.execute("INSERT INTO t SELECT seq FROM seq_1_to_100")
    assert len(rows_of(read_all(schema, "t", limit_rows=7)[1])) == 7


def test_a_table_of_the_most_columns_comes_whole(schema: Schema) -> None:
    names = [f"c{n}" for n in range(1017)]
    schema.execute(f"CREATE TABLE t ({', '.join(f'{n} INT' for n in names)})")
    schema.execute(f"INSERT INTO t VALUES ({', '.join(str(n) for n in range(1017))})")

    _, batches = read_all(schema, "t")

    assert list(rows_of(batches)[0].values()) == list(range(1017))
