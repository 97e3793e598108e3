"""SQL text: every identifier is quoted, every bound is a typed literal, in both dialects."""

import pyarrow as pa
import pytest

from dpp_extractor.batch import SourceColumn, SourceTable, Window
from dpp_extractor.extract.database import query
from dpp_extractor.extract.database.postgresql import snapshot as postgresql
from dpp_extractor.extract.database.postgresql.catalogue import build_grant
from dpp_extractor.extract.database.postgresql.types import map_type
from dpp_extractor.extract.database.query import Relation
from dpp_extractor.extract.database.sqlite import bounds as sqlite

AT = SourceColumn("at", "timestamptz", pa.timestamp("us", "UTC"))
NAIVE = SourceColumn("at", "datetime", pa.timestamp("us"))
DAY = SourceColumn("at", "date", pa.date32())
NUMBER = SourceColumn("at", "bigint", pa.int64())


def table_of(cursor: SourceColumn, *others: SourceColumn) -> SourceTable:
    return SourceTable("t", (cursor, *others), key=("id",), cursor="at")


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("column", "low", "high", "condition"),
    [
        (
            AT,
            "2026-01-01T00:00:00.000000+00:00",
            "2026-01-02T00:00:00.000001+00:00",
            """"s"."t"."at" >= CAST('2026-01-01T00:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE)"""
            """ AND "s"."t"."at" < CAST('2026-01-02T00:00:00.000001+00:00' AS"""
            " TIMESTAMP WITH TIME ZONE)",
        ),
        (
            NAIVE,
            None,
            "2026-01-02T00:00:00.000000",
            """"s"."t"."at" < CAST('2026-01-02T00:00:00.000000' AS TIMESTAMP WITHOUT TIME ZONE)""",
        ),
        (DAY, None, "2026-01-02", """"s"."t"."at" < CAST('2026-01-02' AS DATE)"""),
        (
            NUMBER,
            "-1",
            "9223372036854775808",
            '"s"."t"."at" >= -1 AND "s"."t"."at" < 9223372036854775808',
        ),
    ],
    ids=["timestamptz", "timestamp", "date", "integer"],
)
def test_a_window_is_written_in_the_columns_own_type(
    column: SourceColumn, low: str | None, high: str, condition: str
) -> None:
    table = table_of(column, SourceColumn("id", "int", pa.int32()))
    within = postgresql.build_within(table, Window("at", "timestamp", low, high))
    statement = query.build_read(query.Relation("s", "t"), table, {}, within, 5)
    assert one_line(postgresql.compile_statement(statement)) == (
        f'SELECT "s"."t"."at" AS c0, "s"."t"."id" AS c1 FROM "s"."t" WHERE {condition}'
        ' ORDER BY "s"."t"."at", "s"."t"."id" LIMIT 5'
    )


def test_names_cannot_become_code_or_placeholders() -> None:
    name = 'x"; DROP TABLE y -- %s %(a)s :b'
    column = SourceColumn(name, "int", pa.int32())
    statement = query.build_read(
        query.Relation(name, name), SourceTable("t", (column,)), {}, None, None
    )
    quoted = '"x""; DROP TABLE y -- %s %(a)s :b"'
    expected = f"SELECT {quoted}.{quoted}.{quoted} AS c0 FROM {quoted}.{quoted}"
    assert one_line(postgresql.compile_statement(statement)) == expected
    assert one_line(sqlite.compile_statement(statement)) == expected


def test_only_types_without_a_plain_text_are_asked_for_in_another_form() -> None:
    names = ["bytea", "time", "money", "text", "interval", "jsonb", "timestamptz", "numeric"]
    mapped = {name: map_type(name, -1, is_builtin=True) for name in names}
    columns = tuple(SourceColumn(name, name, m.arrow_type) for name, m in mapped.items())
    forms = {name: m.form for name, m in mapped.items() if m.form}
    statement = query.build_read(
        query.Relation("s", "t"), SourceTable("t", columns), forms, None, None
    )
    assert one_line(postgresql.compile_statement(statement)) == (
        """SELECT encode("s"."t"."bytea", 'hex') AS c0,"""
        """ to_char("s"."t"."time", 'HH24:MI:SS.US') AS c1,"""
        """ CAST(CAST("s"."t"."money" AS NUMERIC) AS TEXT) AS c2,"""
        """ "s"."t"."text" AS c3, "s"."t"."interval" AS c4, "s"."t"."jsonb" AS c5,"""
        """ "s"."t"."timestamptz" AS c6, "s"."t"."numeric" AS c7 FROM "s"."t\""""
    )


@pytest.mark.parametrize(
    ("name", "modifier", "arrow_type", "digits"),
    [
        ("numeric", (12 << 16) + 2 + 4, pa.decimal128(12, 2), 6),
        ("numeric", (38 << 16) + 38 + 4, pa.decimal128(38, 38), 6),
        ("numeric", (39 << 16) + 4, pa.string(), 6),
        ("numeric", (3 << 16) + (-2 & 0x7FF) + 4, pa.string(), 6),
        ("numeric", -1, pa.string(), 6),
        ("timestamptz", 0, pa.timestamp("us", "UTC"), 0),
        ("timestamp", 3, pa.timestamp("us"), 3),
        ("timestamp", -1, pa.timestamp("us"), 6),
        ("geometry", -1, pa.string(), 6),
    ],
)
def test_modifiers_decide_digits(
    name: str, modifier: int, arrow_type: pa.DataType, digits: int
) -> None:
    mapped = map_type(name, modifier, is_builtin=True)
    assert (mapped.arrow_type, mapped.second_digits) == (arrow_type, digits)


def test_a_type_of_the_users_own_with_a_builtin_name_is_read_as_text() -> None:
    assert map_type("date", -1, is_builtin=False).arrow_type == pa.string()


@pytest.mark.parametrize(
    ("column", "condition"),
    [
        (
            NAIVE,
            """replace(substr("s"."t"."at", 1, 19), 'T', ' ') < '2026-01-02 00:00:00' AND"""
            """ replace(substr("s"."t"."at", 1, 19), 'T', ' ') >= '2026-01-01 00:00:00' AND"""
            """ "s"."t"."at" >= '2026-01-01'""",
        ),
        (
            AT,
            """CAST(strftime('%s', "s"."t"."at") AS INTEGER) < 1767312000 AND"""
            """ CAST(strftime('%s', "s"."t"."at") AS INTEGER) >= 1767225600""",
        ),
    ],
    ids=["naive", "zoned"],
)
def test_a_window_on_texts_compares_whole_seconds(column: SourceColumn, condition: str) -> None:
    zone = "+00:00" if column is AT else ""
    window = Window("at", "timestamp", f"2026-01-01T00:00:00{zone}", f"2026-01-02T00:00:00{zone}")
    table = table_of(column, SourceColumn("id", "int", pa.int64()))
    statement = query.build_read(
        query.Relation("s", "t"), table, {}, sqlite.build_within(column, window), None
    )
    assert f"WHERE {condition} ORDER BY" in one_line(sqlite.compile_statement(statement))


def test_duplicates_are_looked_for_only_in_what_would_be_read() -> None:
    table = table_of(DAY, SourceColumn("id", "int", pa.int32()))
    within = postgresql.build_within(table, Window("at", "date", None, "2026-01-02"))
    statement = query.build_duplicates(query.Relation("s", "t"), table, within)
    assert one_line(postgresql.compile_statement(statement)) == (
        """SELECT "s"."t"."id" AS k0 FROM "s"."t" WHERE "s"."t"."at" < CAST('2026-01-02' AS DATE)"""
        """ AND "s"."t"."id" IS NOT NULL GROUP BY "s"."t"."id" HAVING count(*) > 1 ORDER BY "s"."t"."id" LIMIT 3"""
    )


def test_a_grant_names_the_table_as_it_is_whatever_its_name() -> None:
    grant = build_grant(Relation("sales", 'Price "%s" 100%'), "reader")

    assert grant == (
        'GRANT USAGE ON SCHEMA "sales" TO "reader"; '
        'GRANT SELECT ON TABLE "sales"."Price ""%s"" 100%" TO "reader";'
    )
