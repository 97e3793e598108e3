"""Say in MySQL's terms which rows lie in a window and which keys occur twice.

Called by `snapshot`. Bounds are plain literals of the cursor's own type, so that an index on it
serves. Keys are told apart by their bytes: a collation that takes `a` and `A` for one is the
server's business, the table has two.
"""

from datetime import date, datetime
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import ColumnElement, LargeBinary, Select, cast, func, literal_column, select
from sqlalchemy.dialects.mysql.base import MySQLDialect

from dpp_extractor.batch import SourceColumn, SourceTable, Window
from dpp_extractor.extract.database.query import (
    Expression,
    Relation,
    Where,
    list_compared,
    or_missing,
    say,
)
from dpp_extractor.extract.database.window import CursorValue, parse_cursor

_SHOWN_KEYS: Final = 3


def build_bounds(table: SourceTable, window: Window) -> Where:
    """Say which rows a window brings: those within, and those without a cursor where it wants them."""
    return or_missing(table, build_within(table.column(window.cursor), window))


def build_within(column: SourceColumn, window: Window) -> Where:
    """Say `low <= cursor < high`."""
    high = _bound(parse_cursor(column, window.high))
    low = None if window.low is None else _bound(parse_cursor(column, window.low))
    if low is None:
        return lambda cursor: [cursor < high]
    return lambda cursor: [cursor >= low, cursor < high]


def build_later(limit: CursorValue) -> Where:
    """Say that the cursor is after a limit."""
    bound = _bound(limit)
    return lambda cursor: [cursor > bound]


def build_duplicates(relation: Relation, source: SourceTable, within: Where | None) -> Select[Any]:
    """Select up to three keys that occur more than once in what would be read.

    A row with a NULL in its key has none: it goes to quarantine and hides nothing.
    """
    origin = relation.clause(list_compared(source))
    groups = [_told_apart(source.column(name), origin.c[name]) for name in source.key]
    shown = [func.min(origin.c[name]).label(f"k{at}") for at, name in enumerate(source.key)]
    statement = select(*shown).select_from(origin)
    if within is not None and source.cursor is not None:
        statement = statement.where(say(source, origin, within))
    return (
        statement.where(*(origin.c[name].is_not(None) for name in source.key))
        .group_by(*groups)
        .having(func.count() > 1)
        .order_by(*groups)
        .limit(_SHOWN_KEYS)
    )


def compile_statement(statement: Select[Any], mark: str = "") -> str:
    """Write a statement with its bounds in it; the only literals are ours.

    `mark` goes into a comment, by which the server's administrator sees who is reading.
    """
    dialect = MySQLDialect(paramstyle="named")
    written = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    return written.replace("SELECT", f"SELECT /* {mark} */", 1) if mark else written


def _told_apart(column: SourceColumn, key: Expression) -> Expression:
    return cast(key, LargeBinary()) if pa.types.is_string(column.arrow_type) else key


def _bound(value: CursorValue) -> ColumnElement[Any]:
    if isinstance(value, datetime):
        text = value.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
        return literal_column(f"TIMESTAMP'{text}'")
    if isinstance(value, date):
        return literal_column(f"DATE'{value.isoformat()}'")
    return literal_column(str(value))
