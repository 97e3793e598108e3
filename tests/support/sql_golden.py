"""Every statement a compile-tested engine would be sent, written out; `python tests/support/sql_golden.py`
writes the golden files anew.

Used by the golden test and by the generator of the reference page.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

import pyarrow as pa

from dpp_extractor.batch import SourceColumn, SourceTable, Window
from dpp_extractor.extract.database import query
from dpp_extractor.extract.database.compiled.bounds import build_bound, build_within
from dpp_extractor.extract.database.compiled.dialects import (
    CompiledEngine,
    check_names,
    compile_statement,
    read_form,
)
from dpp_extractor.extract.database.compiled.sessions import SESSIONS
from dpp_extractor.extract.database.window import parse_cursor

FOLDER: Final = Path(__file__).parents[1] / "unit/extractor/extract/golden"
ENGINES: Final[tuple[CompiledEngine, ...]] = get_args(CompiledEngine)

NAIVE: Final = pa.timestamp("us")
ZONED: Final = pa.timestamp("us", "UTC")
LOW: Final = "2026-01-31T09:59:59.999999"
HIGH: Final = "2026-02-01T00:00:00.123456"
CURSORS: Final[dict[CompiledEngine, tuple[SourceColumn, ...]]] = {
    "mssql": (
        SourceColumn("changed", "datetime", NAIVE, second_digits=3),
        SourceColumn("changed", "smalldatetime", NAIVE, second_digits=0),
        SourceColumn("changed", "datetime2(7)", NAIVE),
        SourceColumn("changed", "datetime2(3)", NAIVE, second_digits=3),
        SourceColumn("changed", "datetimeoffset(7)", ZONED),
        SourceColumn("changed", "date", pa.date32()),
        SourceColumn("changed", "rowversion", pa.int64()),
        SourceColumn("changed", "bigint", pa.int64()),
    ),
    "oracle": (
        SourceColumn("CHANGED", "DATE", NAIVE, second_digits=0),
        SourceColumn("CHANGED", "TIMESTAMP(6)", NAIVE),
        SourceColumn("CHANGED", "TIMESTAMP(3) WITH TIME ZONE", ZONED, second_digits=3),
        SourceColumn("CHANGED", "TIMESTAMP(6) WITH LOCAL TIME ZONE", ZONED),
        SourceColumn("CHANGED", "NUMBER(12,0)", pa.int64()),
    ),
    "db2": (
        SourceColumn("CHANGED", "DATE", pa.date32()),
        SourceColumn("CHANGED", "TIMESTAMP(6)", NAIVE),
        SourceColumn("CHANGED", "TIMESTAMP(0)", NAIVE, second_digits=0),
        SourceColumn("CHANGED", "BIGINT", pa.int64()),
    ),
    "hana": (
        SourceColumn("CHANGED", "DATE", pa.date32()),
        SourceColumn("CHANGED", "SECONDDATE", NAIVE, second_digits=0),
        SourceColumn("CHANGED", "TIMESTAMP", NAIVE),
        SourceColumn("CHANGED", "BIGINT", pa.int64()),
    ),
    "odbc": (
        SourceColumn("changed", "DATE", pa.date32()),
        SourceColumn("changed", "TIMESTAMP", NAIVE, second_digits=3),
        SourceColumn("changed", "DATETIME YEAR TO SECOND", NAIVE, second_digits=0),
        SourceColumn("changed", "INTEGER", pa.int64()),
    ),
}


def render(engine: CompiledEngine) -> str:
    """Write all statements of one engine, each under a comment that says what it is for."""
    cursor = CURSORS[engine][0]
    parts = list_sessions(engine)
    parts += list_reads(engine, cursor)
    parts += [
        (f"window by {each.source_type}", build_window(engine, each)) for each in CURSORS[engine]
    ]
    parts += [("names that look like something else", build_hostile(engine))]
    head = f"-- What {engine} would be sent. Compile-tested: no server was ever asked.\n"
    text = head + "".join(f"\n-- {title}\n{text};\n" for title, text in parts if text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def list_sessions(engine: CompiledEngine) -> list[tuple[str, str]]:
    """List what is said and asked around a read."""
    session = SESSIONS[engine]
    return [
        ("after connecting", ";\n".join(session.settings)),
        ("clock", session.clock),
        ("horizon", session.horizon),
        ("horizon of a row counter", session.counter),
        ("open the view", ";\n".join(session.begin)),
        ("close the view", session.end),
    ]


def list_reads(engine: CompiledEngine, cursor: SourceColumn) -> list[tuple[str, str]]:
    """List the statements of `query` about one table, in its plainest form."""
    table = table_of(cursor)
    relation = query.Relation("erp", "orders")
    within = build_within(engine, cursor, window_of(cursor))
    later = build_bound(engine, cursor, parse_cursor(cursor, high_of(cursor)))
    keys = replace(table, columns=table.columns[:2], cursor=None)
    forms = {c.name: form for c in table.columns if (form := read_form(engine, c))}
    statements = {
        "read everything": query.build_read(relation, table, forms, None, None),
        "read a window": query.build_read(relation, table, forms, within, None),
        "read the first rows": query.build_read(relation, table, forms, within, 10),
        "count rows without a cursor": query.build_count(relation, cursor.name, query.is_null),
        "count rows of the future": query.build_count(relation, cursor.name, lambda c: [c > later]),
        "greatest cursor": query.build_max(relation, "id"),
        "first row of the future": query.build_first(
            relation, table, cursor.name, lambda c: [c > later]
        ),
        "keys that occur twice": query.build_duplicates(relation, table, within),
        "all keys, for deletes": query.build_read(relation, keys, forms, None, None),
    }
    return [(title, compile_statement(engine, each)) for title, each in statements.items()]


def build_window(engine: CompiledEngine, cursor: SourceColumn) -> str:
    """Write the read of a window by one type of cursor."""
    table = SourceTable("orders", (cursor,), key=(), cursor=cursor.name)
    forms = {cursor.name: form} if (form := read_form(engine, cursor)) else {}
    within = build_within(engine, cursor, window_of(cursor))
    statement = query.build_read(query.Relation("erp", "orders"), table, forms, within, None)
    return compile_statement(engine, statement)


def build_hostile(engine: CompiledEngine) -> str:
    """Write a read whose names hold dots, brackets, signs of placeholders and words of SQL."""
    quote = "" if engine == "oracle" else '"'
    names = [f"a.b]{quote}; --", "select", "100% :x ? {ts", "naïve 🧾"]
    check_names(engine, names)
    columns = tuple(SourceColumn(name, "int", pa.int32()) for name in names)
    relation = query.Relation(f"my.sch{quote}ema", "order by")
    statement = query.build_read(relation, SourceTable("o", columns), {}, None, 5)
    return compile_statement(engine, statement)


def table_of(cursor: SourceColumn) -> SourceTable:
    """Give the table of the samples: a cursor, a numeric and a text part of the key, a value."""
    columns = (
        SourceColumn("id", "bigint", pa.int64()),
        SourceColumn("line", "varchar(20)", pa.string()),
        cursor,
    )
    return SourceTable("orders", columns, key=("id", "line"), cursor=cursor.name)


def window_of(cursor: SourceColumn) -> Window:
    """Give a window whose bounds have all the digits they can."""
    low = {"date": "2026-01-31", "int64": "2001"}.get(str(cursor.arrow_type)[:5].rstrip("3"))
    return Window(cursor.name, "timestamp", low or LOW + zone_of(cursor), high_of(cursor))


def high_of(cursor: SourceColumn) -> str:
    """Give the upper bound of the samples."""
    high = {"date": "2026-02-01", "int64": str(2**63)}.get(str(cursor.arrow_type)[:5].rstrip("3"))
    return high or HIGH + zone_of(cursor)


def zone_of(cursor: SourceColumn) -> str:
    """Give the zone that the canonical text of a zoned cursor ends with."""
    return "+00:00" if cursor.arrow_type == ZONED else ""


def main() -> None:
    """Write the golden files anew; doing it twice changes nothing."""
    FOLDER.mkdir(exist_ok=True)
    for engine in ENGINES:
        (FOLDER / f"{engine}.sql").write_text(render(engine), encoding="utf-8")


if __name__ == "__main__":
    main()
