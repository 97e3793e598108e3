"""Random values, read and held against the server's own text of each of them.

Whatever word holds for what does not fit, every value is the server's text, or is set aside with
that text, or is NULL and counted: nothing is ever changed in silence.
"""

import json
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpp_core.handover import DatabaseSource, Unit, Values
from dpp_core.names import Unfit
from dpp_extractor.batch import RawBatch, SourceTable
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.extract.database.limits import Limits
from dpp_extractor.ports import Source
from servers.postgres import Database, Postgres

WORDS: list[Unfit] = ["Quarantine", "SetNull", "Text"]
LIMITS = Limits(block_bytes=700)

PLAIN = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
JSON_LEAVES = st.none() | st.booleans() | st.integers() | PLAIN
INSTANTS = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
BEYOND = st.sampled_from(["infinity", "-infinity", "0044-03-15 BC", "4713-01-01 BC", "10000-01-01"])


def write_decimal(digits: int, scale: int) -> st.SearchStrategy[str]:
    """Draw decimals as text; `Decimal` would round them to its own 28 digits."""

    def write(number: int) -> str:
        shown = f"{abs(number):0{scale + 1}}"
        return f"{'-' * (number < 0)}{shown[:-scale]}.{shown[-scale:]}"

    most = 10**digits - 1
    return st.integers(-most, most).map(write)


def write_interval(parts: tuple[int, int, int]) -> str:
    return "{} mon {} days {} microseconds".format(*parts)


POSTGRESQL: dict[str, tuple[str, st.SearchStrategy[str]]] = {
    "small": ("smallint", st.integers(-(2**15), 2**15 - 1).map(str)),
    "whole": ("integer", st.integers(-(2**31), 2**31 - 1).map(str)),
    "big": ("bigint", st.integers(-(2**63), 2**63 - 1).map(str)),
    "flag": ("boolean", st.booleans().map(str)),
    "single": ("real", st.floats(width=32).map(str)),
    "double": ("double precision", st.floats().map(str)),
    "fixed": ("numeric(20,6)", write_decimal(20, 6) | st.just("NaN")),
    "widest": ("numeric(38,18)", write_decimal(38, 18)),
    "free": ("numeric", write_decimal(60, 25) | st.sampled_from(["NaN", "Infinity", "1e-40"])),
    "words": ("text", PLAIN),
    "padded": ("char(20)", PLAIN),
    "raw": ("bytea", st.binary(max_size=12).map(lambda value: "\\x" + value.hex())),
    "day": ("date", st.dates().map(str) | BEYOND),
    "wall": ("timestamp", INSTANTS.map(str) | BEYOND),
    "instant": ("timestamptz", st.builds(lambda at, o: str(at.replace(tzinfo=o)), INSTANTS, OFFSETS)
                | BEYOND),
    "clock": ("time", st.times().map(str)),
    "span": ("interval", st.tuples(*[st.integers(-9999, 9999)] * 3).map(write_interval)),
    "token": ("uuid", st.uuids().map(str)),
    "document": ("jsonb", st.recursive(JSON_LEAVES, lambda inner: st.lists(inner, max_size=3)
                 | st.dictionaries(PLAIN, inner, max_size=3), max_leaves=6).map(json.dumps)),
    "bits": ("bit varying", st.text("01", max_size=12)),
    "spread": ("int8range", st.tuples(st.integers(-9, 0), st.integers(0, 9)).map(
                lambda ends: f"[{ends[0]},{ends[1]})")),
}  # fmt: skip
PostgresRows = st.lists(
    st.fixed_dictionaries({name: st.none() | drawn for name, (_, drawn) in POSTGRESQL.items()}),
    min_size=1,
    max_size=12,
)


@dataclass(frozen=True, slots=True)
class Server:
    """A database with the table, open for writing and as a source."""

    writer: psycopg.Connection
    source: Source


@pytest.fixture(scope="module")
def server(postgres: Postgres) -> Iterator[Server]:
    database = postgres.create_database()
    columns = ", ".join(f"{name} {declared}" for name, (declared, _) in POSTGRESQL.items())
    database.execute(f"CREATE TABLE t (id integer PRIMARY KEY, {columns})")
    place = DatabaseSource(
        engine="postgresql",
        host=database.host,
        port=database.port,
        database=database.name,
        tls="Disable",
    )
    with (
        psycopg.connect(database.dsn, autocommit=True) as writer,
        open_database(place, secret_of(database), run_id="random", limits=LIMITS) as source,
    ):
        writer.execute("SET TimeZone = 'UTC'; SET IntervalStyle = 'iso_8601'")
        yield Server(writer, source)
    postgres.drop_database(database)


def secret_of(database: Database) -> dict[str, str]:
    return {"username": database.user, "password": database.password}


def put_rows(writer: psycopg.Connection, rows: list[dict[str, str | None]]) -> dict[int, Any]:
    """Write the rows and give back the server's own text of each value."""
    writer.execute("DELETE FROM t")
    names = ", ".join(POSTGRESQL)
    casts = ", ".join(f"CAST(%s AS text)::{declared}" for declared, _ in POSTGRESQL.values())
    with writer.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO t (id, {names}) VALUES (%s, {casts})".encode(),
            [(n, *(row[name] for name in POSTGRESQL)) for n, row in enumerate(rows)],
        )
        texts = ", ".join(f"{name}::text" for name in POSTGRESQL)
        found = cursor.execute(f"SELECT id, {texts} FROM t".encode()).fetchall()
    return {row[0]: dict(zip(POSTGRESQL, row[1:], strict=True)) for row in found}


def read_all(source: Source, unfit: Unfit) -> tuple[SourceTable, list[RawBatch]]:
    with source.snapshot() as view:
        unit = Unit(dataset="t", object="t", key=("id",), values=Values(unfit=unfit))
        table = view.describe(unit)
        return table, list(view.read(table, None, None))


UNDO = {
    "time": lambda value: value.rstrip("0").rstrip("."),  # always has six digits
    "char(20)": lambda value: value.rstrip(" "),  # the server's cast takes its padding away
}


def write_as_server(value: Any, declared: str, text: str) -> str | None:
    """Write a value as the server's cast to text does; a float when it is that float bit by bit."""
    if value is None:
        return None
    if isinstance(value, str):
        return UNDO.get(declared, str)(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        form = "f" if declared == "real" else "d"
        return text if struct.pack(form, value) == struct.pack(form, float(text)) else repr(value)
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, datetime):
        whole, dot, fraction = str(value).removesuffix("+00:00").partition(".")
        end = "+00" if value.tzinfo else ""
        return f"{whole}{dot}{fraction.rstrip('0')}{end}"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


@settings(max_examples=60)
@given(rows=PostgresRows, unfit=st.sampled_from(WORDS))
def test_every_value_of_postgresql_is_the_servers_text_or_is_told(
    server: Server, rows: list[dict[str, str | None]], unfit: Unfit
) -> None:
    texts = put_rows(server.writer, rows)

    table, batches = read_all(server.source, unfit)

    read = [row for batch in batches for row in batch.rows.to_pylist()]
    rejected = [row for batch in batches for row in batch.rejected]
    told = sum((Counter(batch.nulled) for batch in batches), Counter())
    nulled: Counter[str] = Counter()
    for row in read:
        for name, (declared, _) in POSTGRESQL.items():
            text = texts[row["id"]][name]
            if row[name] is None and text is not None:
                nulled[name] += 1
            else:
                assert write_as_server(row[name], declared, text) == text, name
    assert nulled == told
    assert not nulled or unfit == "SetNull"
    for out in rejected:
        text = texts[int(str(out.values["id"]))][out.column]
        assert str(out.values[out.column]) == text
        assert table.column(out.column).may_be_unfit
    assert len(read) + len(rejected) == len(rows)
    assert not rejected or unfit == "Quarantine"


STAMPS = st.datetimes().map(lambda at: at.isoformat(sep=" "))
CELLS = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(-3, 3)
    | st.floats(allow_nan=False)
    | st.sampled_from([0.1, 0.25, 19.99, 1.005, float("inf")])
    | PLAIN
    | st.dates().map(str)
    | STAMPS
    | st.binary(max_size=6)
)
SQLITE = {
    "whole": "INTEGER",
    "flag": "BOOLEAN",
    "share": "REAL",
    "price": "DECIMAL(12,2)",
    "day": "DATE",
    "wall": "DATETIME",
    "words": "TEXT",
    "raw": "BLOB",
    "loose": "NUMERIC",
}
SqliteRows = st.lists(st.fixed_dictionaries(dict.fromkeys(SQLITE, CELLS)), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("random") / "erp.sqlite"
    columns = ", ".join(f"{name} {declared}" for name, declared in SQLITE.items())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {columns})")
    return path


def put_cells(path: Path, rows: list[dict[str, Any]]) -> dict[int, dict[str, tuple[str, Any]]]:
    """Write the rows and give back how SQLite says it keeps each: storage class and value."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM t")
        marks = ", ".join("?" * (len(SQLITE) + 1))
        connection.executemany(
            f"INSERT INTO t VALUES ({marks})",
            [(n, *(row[name] for name in SQLITE)) for n, row in enumerate(rows)],
        )
        connection.commit()
        asked = ", ".join(f"typeof({name}), {name}" for name in SQLITE)
        found = connection.execute(f"SELECT id, {asked} FROM t").fetchall()
    return {
        row[0]: {name: (row[1 + 2 * n], row[2 + 2 * n]) for n, name in enumerate(SQLITE)}
        for row in found
    }


def is_the_same(value: Any, stored: Any) -> bool:
    """Say whether a value read is what SQLite keeps, without any loss."""
    if isinstance(value, Decimal):
        return value == Decimal(repr(stored) if isinstance(stored, float) else stored)
    if isinstance(value, datetime):
        return isinstance(stored, str) and value == datetime.fromisoformat(stored)
    if isinstance(value, date):
        return value.isoformat() == stored
    if isinstance(value, str) and not isinstance(stored, str):
        return value == (repr(stored) if isinstance(stored, float) else str(stored))
    return bool(value == stored and isinstance(value, str) == isinstance(stored, str))


@settings(max_examples=80)
@given(rows=SqliteRows, unfit=st.sampled_from(WORDS))
def test_every_value_of_sqlite_is_what_it_keeps_or_is_told(
    file: Path, rows: list[dict[str, Any]], unfit: Unfit
) -> None:
    kept = put_cells(file, rows)

    place = DatabaseSource(engine="sqlite", database=str(file))
    with open_database(place, {}, run_id="random", limits=LIMITS) as source:
        _, batches = read_all(source, unfit)

    read = [row for batch in batches for row in batch.rows.to_pylist()]
    rejected = [row for batch in batches for row in batch.rejected]
    told = sum((Counter(batch.nulled) for batch in batches), Counter())
    nulled: Counter[str] = Counter()
    for row in read:
        for name, (kind, stored) in kept[row["id"]].items():
            if row[name] is None and kind != "null":
                nulled[name] += 1
            else:
                assert row[name] is None or is_the_same(row[name], stored), (name, stored)
    assert nulled == told
    assert not nulled or unfit == "SetNull"
    for out in rejected:
        kind, stored = kept[int(str(out.values["id"]))][out.column]
        shown = stored.hex() if isinstance(stored, bytes) else str(stored)
        assert out.values[out.column] == shown
        # Bytes have no text that could not be another's, and a column of bytes stays one.
        is_beyond_text = kind == "blob" or out.column == "raw"
        assert unfit == "Quarantine" or (unfit == "Text" and is_beyond_text)
    assert len(read) + len(rejected) == len(rows)
