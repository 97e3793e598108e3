"""SQL for servers that are not at hand: golden files, and the traps that a golden file would only repeat.

The golden files are written anew by `python tests/support/sql_golden.py`.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sql_golden
from dpp_core.engines import ENGINES as ROWS
from dpp_core.errors import InternalError, SpecError
from dpp_extractor.batch import SourceColumn, SourceTable, Window
from dpp_extractor.extract.database import query
from dpp_extractor.extract.database.compiled.bounds import build_within, write_bound
from dpp_extractor.extract.database.compiled.dialects import (
    NAME_RULES,
    CompiledEngine,
    check_names,
    compile_statement,
)
from dpp_extractor.extract.database.compiled.sessions import SESSIONS
from dpp_extractor.extract.database.window import LEAST_INTEGER, parse_cursor
from sql_golden import CURSORS, ENGINES, FOLDER, NAIVE, ZONED

KINDS = [(engine, column) for engine in ENGINES for column in CURSORS[engine]]
IDS = [f"{engine}-{column.source_type}" for engine, column in KINDS]
DIGITS = r"[0-9:. T+-]+"
LITERALS = re.compile(
    rf"-?[0-9]+|0x[0-9A-F]{{16}}|\{{(d|ts) '{DIGITS}'\}}|TIMESTAMP '{DIGITS}'"
    rf"|CAST\((TIMESTAMP )?'{DIGITS}' AS [A-Z0-9]+(\([0-6]\))?\)"
    rf"|CONVERT\((SMALL)?DATETIME, '{DIGITS}', 126\)"
    rf"|TO_(DATE|SECONDDATE|TIMESTAMP)\('{DIGITS}', 'YYYY-MM-DD( HH24:MI:SS(\.FF6)?)?'\)"
)
"""All that a bound may look like."""


def column(source_type: str, arrow_type: pa.DataType = NAIVE, digits: int = 6) -> SourceColumn:
    return SourceColumn("at", source_type, arrow_type, second_digits=digits)


def read_one(engine: CompiledEngine, schema: str, table: str, name: str) -> str:
    source = SourceTable("o", (SourceColumn(name, "int", pa.int32()),))
    statement = query.build_read(query.Relation(schema, table), source, {}, None, None)
    return " ".join(compile_statement(engine, statement).split())


@pytest.mark.parametrize("engine", ENGINES)
def test_the_sql_is_as_the_golden_file_says(engine: CompiledEngine) -> None:
    assert sql_golden.render(engine) == (FOLDER / f"{engine}.sql").read_text(encoding="utf-8")


def test_what_is_called_compile_tested_is_what_has_a_golden_file() -> None:
    named = {row.name for row in ROWS if row.level == "compile-tested"}

    assert named == set(ENGINES) == {page.stem for page in FOLDER.glob("*.sql")}
    assert set(SESSIONS) == set(NAME_RULES) == named


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_with_a_horizon_asks_the_place_that_its_row_names(engine: CompiledEngine) -> None:
    row = next(row for row in ROWS if row.name == engine)
    asked = (SESSIONS[engine].horizon + SESSIONS[engine].counter).replace("GV_$", "GV$")

    assert bool(row.horizon) == bool(asked)
    assert all(place in asked for place in row.horizon.split("; ") if place)


@pytest.mark.parametrize(
    ("engine", "quoted"),
    [
        ("mssql", '[q"]][.x]'),
        ("oracle", '"q\'][.x"'),
        ("db2", '"q""][.x"'),
        ("hana", '"q""][.x"'),
        ("odbc", '"q""][.x"'),
    ],
)
def test_quotes_and_dots_stay_inside_a_name(engine: CompiledEngine, quoted: str) -> None:
    name = "q'][.x" if engine == "oracle" else 'q"][.x'

    expected = f"SELECT {quoted}.{quoted}.{quoted} AS c0 FROM {quoted}.{quoted}"
    assert read_one(engine, name, name, name) == expected


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name",
    [
        "select",
        "ORDER",
        "user",
        "Größe",
        "🧾",
        "a b",
        "%s %(a)s 100%",
        ":x",
        "?",
        "x; --",
        "{ts '1'}",
    ],
)
def test_no_name_becomes_a_word_a_placeholder_or_an_escape(
    engine: CompiledEngine, name: str
) -> None:
    quoted = f"[{name}]" if engine == "mssql" else f'"{name}"'

    check_names(engine, [name])
    assert read_one(engine, "s", "t", name).startswith(
        f"SELECT {'[s].[t]' if engine == 'mssql' else chr(34) + 's' + chr(34) + '.' + chr(34) + 't' + chr(34)}"
        f".{quoted} AS c0"
    )


@pytest.mark.parametrize(
    ("engine", "longest"),
    [
        ("mssql", "n" * 128),
        ("mssql", "🧾" * 64),
        ("oracle", "n" * 128),
        ("oracle", "ü" * 64),
        ("oracle", "🧾" * 32),
        ("db2", "n" * 128),
        ("db2", "ü" * 64),
        ("hana", "n" * 127),
        ("hana", "ü" * 127),
    ],
    ids=lambda value: value[:1] + str(len(value)) if len(value) > 6 else value,
)
def test_a_name_of_the_servers_full_length_is_whole_and_one_sign_more_is_refused(
    engine: CompiledEngine, longest: str
) -> None:
    check_names(engine, [longest])
    assert read_one(engine, longest, longest, longest).count(longest) == 5

    with pytest.raises(SpecError, match="long; allowed are 1 to 12"):
        check_names(engine, [longest + "n"])


@pytest.mark.parametrize(
    ("engine", "name", "says"),
    [
        ("oracle", 'a"b', "no name of this server can"),
        ("mssql", "a\0b", "no name of this server can"),
        ("odbc", "", "is 0 bytes long"),
    ],
    ids=["oracle-quote", "zero-byte", "empty"],
)
def test_a_name_that_cannot_be_is_refused(engine: CompiledEngine, name: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        check_names(engine, ["fine", name])


@pytest.mark.parametrize(
    ("engine", "clause"),
    [
        ("mssql", "SELECT TOP 7 "),
        ("oracle", " FETCH FIRST 7 ROWS ONLY"),
        ("db2", " FETCH FIRST 7 ROWS ONLY"),
        ("hana", " LIMIT 7"),
        ("odbc", ""),
    ],
)
def test_each_server_limits_rows_in_its_own_words(engine: CompiledEngine, clause: str) -> None:
    source = SourceTable("o", (SourceColumn("a", "int", pa.int32()),))
    sql = compile_statement(engine, query.build_read(query.Relation("s", "t"), source, {}, None, 7))

    assert clause in " ".join(sql.split())
    words = {"TOP", "FETCH", "LIMIT"} & set(sql.split())
    assert words == {word for word in ("TOP", "FETCH", "LIMIT") if word in clause}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_limit_is_a_number_and_nothing_else(engine: CompiledEngine) -> None:
    source = SourceTable("o", (SourceColumn("a", "int", pa.int32()),))
    limit: Any = "1; DROP TABLE x"

    with pytest.raises(ValueError, match="invalid literal"):
        compile_statement(
            engine, query.build_read(query.Relation("s", "t"), source, {}, None, limit)
        )


@pytest.mark.parametrize("engine", ["mssql", "db2"])
def test_a_count_holds_more_than_two_billion_rows(engine: CompiledEngine) -> None:
    statement = query.build_count(query.Relation("s", "t"), "a", query.is_null)

    assert "count_big(*)" in compile_statement(engine, statement)


@pytest.mark.parametrize(
    ("given_at", "kept"),
    [
        ("00:00:00.999999", "00:00:00.997"),
        ("00:00:00.996999", "00:00:00.993"),
        ("00:00:00.002999", "00:00:00.000"),
        ("23:59:59.999", "23:59:59.997"),
        ("10:00:00", "10:00:00.000"),
    ],
)
def test_a_sql_server_datetime_is_cut_to_a_tick_and_never_rounded_up(
    given_at: str, kept: str
) -> None:
    value = datetime.fromisoformat(f"2026-12-31T{given_at}")

    written = write_bound("mssql", column("datetime"), value)

    assert written == f"CONVERT(DATETIME, '2026-12-31T{kept}', 126)"


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1753, 1, 1)))
def test_a_cut_datetime_is_a_tick_at_most_one_tick_early_and_cutting_again_changes_nothing(
    value: datetime,
) -> None:
    written = write_bound("mssql", column("datetime"), value)
    kept = datetime.fromisoformat(written.split("'")[1])

    assert kept <= value < kept + timedelta(milliseconds=4)
    assert kept.microsecond // 1000 % 10 in {0, 3, 7}
    assert write_bound("mssql", column("datetime"), kept) == written


@pytest.mark.parametrize(
    ("source_type", "first"),
    [("datetime", "1753-01-01T00:00:00.000"), ("smalldatetime", "1900-01-01T00:00:00")],
)
def test_a_bound_before_the_types_first_day_is_its_first_day(source_type: str, first: str) -> None:
    assert f"'{first}'" in write_bound("mssql", column(source_type), datetime(1, 1, 1))


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (2001, "0x00000000000007D1"),
        (0, "0x0000000000000000"),
        (LEAST_INTEGER, "0x0000000000000000"),
        (2**63, "0x8000000000000000"),
    ],
    ids=["some", "none", "empty-table", "beyond-bigint"],
)
@pytest.mark.parametrize("source_type", ["rowversion", "timestamp"])
def test_a_rowversion_is_compared_as_its_eight_bytes(
    source_type: str, number: int, written: str
) -> None:
    assert write_bound("mssql", column(source_type, pa.int64()), number) == written


@pytest.mark.parametrize(
    ("source_type", "written"),
    [
        ("DATE", "CAST(TIMESTAMP '2026-07-01 22:30:15' AS DATE)"),
        ("TIMESTAMP(6)", "TIMESTAMP '2026-07-01 22:30:15.123456'"),
        ("TIMESTAMP(6) WITH TIME ZONE", "TIMESTAMP '2026-07-01 22:30:15.123456 +00:00'"),
        ("TIMESTAMP(6) WITH LOCAL TIME ZONE", "TIMESTAMP '2026-07-01 22:30:15.123456 +00:00'"),
    ],
)
def test_oracle_literals_are_typed_by_the_standard_and_ask_no_nls_setting(
    source_type: str, written: str
) -> None:
    value = datetime(2026, 7, 1, 22, 30, 15, 123456)
    if "ZONE" in source_type:
        value = (value + timedelta(hours=2)).replace(tzinfo=timezone(timedelta(hours=2)))

    assert write_bound("oracle", column(source_type, NAIVE), value) == written
    assert not re.search("TO_DATE|TO_TIMESTAMP|NLS_DATE", sql_golden.render("oracle"))


@pytest.mark.parametrize(
    ("engine", "source_type"),
    [
        ("oracle", "DATE"),
        ("mssql", "datetime2"),
        ("db2", "TIMESTAMP"),
        ("hana", "TIMESTAMP"),
        ("odbc", "TIMESTAMP"),
        ("hana", "TIME"),
    ],
)
def test_a_type_without_a_literal_is_refused_as_a_cursor(
    engine: CompiledEngine, source_type: str
) -> None:
    arrow_type = NAIVE if source_type == "TIME" else ZONED
    value = datetime(2026, 1, 1, tzinfo=None if arrow_type == NAIVE else UTC)

    with pytest.raises(SpecError, match=f"of type {source_type} has no literal"):
        write_bound(engine, column(source_type, arrow_type), value)


class Number(int):
    def __format__(self, form: str) -> str:
        return "0 OR 1=1"


class Day(date):
    def isoformat(self) -> str:
        return "' OR '1'='1"


class Instant(datetime):
    def isoformat(self, *_: Any, **__: Any) -> str:
        return "' OR '1'='1"


class Zone(tzinfo):
    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(hours=2)

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _: datetime | None) -> str:
        return "' OR '1'='1"


@pytest.mark.parametrize(
    "value",
    ["0 OR 1=1", b"0", 1.5, True, None, Number(7), Day(2026, 1, 1), Instant(2026, 1, 1), ["1"]],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(("engine", "kind"), KINDS, ids=IDS)
def test_a_bound_is_a_number_a_date_or_a_timestamp_and_nothing_else(
    engine: CompiledEngine, kind: SourceColumn, value: Any
) -> None:
    with pytest.raises(InternalError, match="A bound must be a number, a date or a timestamp"):
        write_bound(engine, kind, value)


def test_a_zone_with_a_name_of_its_own_only_moves_the_clock() -> None:
    value = datetime(2026, 1, 1, 12, tzinfo=Zone())

    written = write_bound("oracle", column("TIMESTAMP WITH TIME ZONE", ZONED), value)

    assert written == "TIMESTAMP '2026-01-01 10:00:00.000000 +00:00'"


INJECTIONS = [
    "0 OR 1=1",
    "1; DROP TABLE x",
    "2026-01-01' OR '1'='1",
    "--",
    "1e3",
    "٢٠٢٦-01-01",
    "NULL",
]


@pytest.mark.parametrize(("engine", "kind"), KINDS, ids=IDS)
@settings(max_examples=40, deadline=None)
@given(text=st.one_of(st.sampled_from(INJECTIONS), st.text(), st.datetimes().map(str)))
def test_whatever_text_comes_in_is_refused_or_becomes_a_plain_literal(
    engine: CompiledEngine, kind: SourceColumn, text: str
) -> None:
    try:
        value = parse_cursor(kind, text)
    except (ValueError, OverflowError):
        return

    assert LITERALS.fullmatch(write_bound(engine, kind, value))


@pytest.mark.parametrize(("engine", "kind"), KINDS, ids=IDS)
def test_a_window_whose_bound_is_no_value_of_its_cursor_is_not_written(
    engine: CompiledEngine, kind: SourceColumn
) -> None:
    for low, high in (("1 OR 1=1", "2"), (None, "2026-01-01' --"), ("' OR '", "2026-01-01")):
        with pytest.raises(ValueError):  # noqa: PT011 - which words is the parser's matter
            build_within(engine, kind, Window(kind.name, "timestamp", low, high))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_session_only_reads(engine: CompiledEngine) -> None:
    session = SESSIONS[engine]
    texts = (*session.settings, session.clock, session.horizon, *session.begin, session.counter)
    first = {text.split()[0] for text in (*texts, session.end) if text}

    assert first <= {"SELECT", "SET", "BEGIN", "ROLLBACK"}
    assert all("READ UNCOMMITTED" not in text and "NOLOCK" not in text for text in texts)
