"""Say in SQLite's terms which rows lie in a window, and which have no usable cursor.

Called by `snapshot`. Timestamps are texts: with a space or a `T`, with or without a fraction.
Windows are whole seconds, so the first nineteen characters decide, exactly. Texts with an offset
are compared as instants. A value that is not of its column's form would be skipped without a word
by any comparison: `unusable` finds it.
"""

from datetime import UTC, date, datetime
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    cast,
    func,
    literal,
    literal_column,
    or_,
)
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from dpp_extractor.batch import SourceColumn, SourceTable, Window
from dpp_extractor.extract.database.query import Expression, Form, Where, or_missing
from dpp_extractor.extract.database.window import CursorValue, cursor_kind, parse_cursor

_DAY_FORM: Final = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_SECOND_FORM: Final = _DAY_FORM + "[ T][0-9][0-9]:[0-9][0-9]:[0-9][0-9]*"
_SECOND_CHARACTERS: Final = 19


def build_bounds(table: SourceTable, window: Window) -> Where:
    """Say which rows a window brings: those within, and where it wants them those without a usable
    cursor; what is no value of the column's type is rejected when it is read.
    """
    column = table.column(window.cursor)
    return or_missing(table, build_within(column, window), build_unusable(column))


def build_within(column: SourceColumn, window: Window) -> Where:
    """Say `low <= cursor < high`."""
    high = parse_cursor(column, window.high)
    low = None if window.low is None else parse_cursor(column, window.low)

    def within(cursor: Expression) -> list[ColumnElement[bool]]:
        value = _comparable(column, cursor)
        conditions = [value < _bound(high)]
        if low is not None:
            conditions.append(value >= _bound(low))
            if isinstance(low, datetime) and low.tzinfo is None:
                # The same once more on the bare column, roughly, so that an index on it serves.
                conditions.append(cursor >= _text(low.date().isoformat()))
        return conditions

    return within


def build_later(column: SourceColumn, limit: CursorValue) -> Where:
    """Say that the cursor is after a limit."""
    return lambda cursor: [_comparable(column, cursor) > _bound(limit)]


def build_unusable(column: SourceColumn) -> Where:
    """Say that the cursor is NULL, or not of the form that windows can compare."""
    kind = cursor_kind(column)
    if kind == "integer":
        return lambda cursor: [func.typeof(cursor) != "integer"]
    form = _SECOND_FORM if kind == "timestamp" else _DAY_FORM
    return lambda cursor: [
        or_(
            func.typeof(cursor) != "text",
            cursor.op("NOT GLOB")(form),
            func.strftime("%s", cursor).is_(None),
        )
    ]


def build_order(column: SourceColumn) -> Form | None:
    """Say what a read is ordered by before the bare cursor: texts of mixed forms sort wrongly."""
    if not pa.types.is_timestamp(column.arrow_type):
        return None
    return lambda cursor: _comparable(column, cursor)


def is_integer(cursor: Expression) -> list[ColumnElement[bool]]:
    """Say that a value is a number: text is greater than any number in SQLite, and no integer
    cursor.
    """
    return [func.typeof(cursor) == "integer"]


def compile_statement(statement: Select[Any]) -> str:
    """Write a statement with its bounds in it; the only literals are ours."""
    dialect = SQLiteDialect(paramstyle="named")
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _comparable(column: SourceColumn, cursor: Expression) -> Expression:
    if not pa.types.is_timestamp(column.arrow_type):
        return cursor
    if column.arrow_type.tz is not None:
        return cast(func.strftime("%s", cursor), Integer())
    return func.replace(func.substr(cursor, 1, _SECOND_CHARACTERS), "T", " ")


def _bound(value: CursorValue) -> ColumnElement[Any]:
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            return literal_column(str(int(value.astimezone(UTC).timestamp())))
        return _text(value.isoformat(sep=" ", timespec="seconds"))
    return _text(value.isoformat()) if isinstance(value, date) else literal_column(str(value))


def _text(text: str) -> ColumnElement[Any]:
    return literal(text, Text())
