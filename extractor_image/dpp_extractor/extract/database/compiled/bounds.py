"""Write a window's bounds as literals in the cursor's own type, so that an index on it serves and no
setting of the session or the server changes what they mean.

Called by a reader of a compile-tested engine, and by the golden tests. Pure. A bound is an int, a
date or a datetime and nothing else: its literal is put together from its numbers alone, never from
a text that came in.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, literal_column

from dpp_core.errors import InternalError, SpecError
from dpp_extractor.batch import SourceColumn, Window
from dpp_extractor.extract.database.query import Where
from dpp_extractor.extract.database.window import CursorValue, parse_cursor

Write = Callable[[datetime, int], str]
"""Writes an instant for one type; the number is the fractional digits that the column keeps."""

_LENGTHS: Final = re.compile(r"\s*\([^)]*\)")
_ROWVERSIONS: Final = frozenset({"rowversion", "timestamp"})
_FIRST_DATETIME: Final = datetime(1753, 1, 1)  # noqa: DTZ001 - a naive type
_FIRST_SMALLDATETIME: Final = datetime(1900, 1, 1)  # noqa: DTZ001 - a naive type


def build_within(engine: str, column: SourceColumn, window: Window) -> Where:
    """Say `low <= cursor < high` in the column's own type.

    Raises SpecError for a type that has no literal, ValueError for a bound that is no value of it.
    """
    high = build_bound(engine, column, parse_cursor(column, window.high))
    low = None
    if window.low is not None:
        low = build_bound(engine, column, parse_cursor(column, window.low))
    if low is None:
        return lambda cursor: [cursor < high]
    return lambda cursor: [cursor >= low, cursor < high]


def build_bound(engine: str, column: SourceColumn, value: CursorValue) -> ColumnElement[Any]:
    """Make the literal of one bound."""
    return literal_column(write_bound(engine, column, value))


def write_bound(engine: str, column: SourceColumn, value: CursorValue) -> str:
    """Write the literal of one bound; what the column's type cannot hold is cut, never rounded up.

    Raises InternalError for anything but exactly an int, a date or a datetime (a subclass could
    write itself as it likes), SpecError for a type that has no literal here.
    """
    kind = normalise_type(column.source_type)
    if type(value) is int:
        return _write_number(engine, kind, value)
    if type(value) is date:
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - a day has no zone
    if type(value) is not datetime:
        raise InternalError(
            f"A bound must be a number, a date or a timestamp, not {type(value).__name__}."
        )
    is_zoned = value.tzinfo is not None
    write = _find_writer(engine, kind, is_date=_is_date(column), is_zoned=is_zoned)
    if write is None:
        raise SpecError(
            f"Column {column.name!r} of type {column.source_type} has no literal for "
            f"{'an instant with' if is_zoned else 'a time without'} zone on {engine}.",
            field="incremental.cursor",
            fix="Use a timestamp, date or integer column that changes with every write of the row.",
        )
    return write(value.astimezone(UTC) if is_zoned else value, column.second_digits)


def is_rowversion(source_type: str) -> bool:
    """Say whether a SQL Server type is the counter that its old name calls a timestamp."""
    return normalise_type(source_type) in _ROWVERSIONS


def normalise_type(source_type: str) -> str:
    """Reduce `TIMESTAMP(6) WITH TIME ZONE` to `timestamp with time zone`."""
    return " ".join(_LENGTHS.sub("", source_type).lower().split())


def _write_number(engine: str, kind: str, value: int) -> str:
    if engine == "mssql" and kind in _ROWVERSIONS:
        # Eight bytes without sign; the bound of an empty table lies below all of them.
        return f"0x{min(max(value, 0), 2**64 - 1):016X}"
    return f"{value:d}"


def _find_writer(engine: str, kind: str, *, is_date: bool, is_zoned: bool) -> Write | None:
    writers = _ZONED if is_zoned else _NAIVE
    if engine == "odbc":
        # Names of types differ from product to product; what the column was read as does not.
        kind = "date" if is_date else "timestamp"
    return writers.get(engine, {}).get(kind)


def _is_date(column: SourceColumn) -> bool:
    return str(column.arrow_type).startswith("date")


def _day(value: datetime) -> str:
    return f"{value.year:04d}-{value.month:02d}-{value.day:02d}"


def _time(value: datetime, digits: int, colon: str = ":") -> str:
    text = colon.join(f"{part:02d}" for part in (value.hour, value.minute, value.second))
    shown = min(max(digits, 0), 6)
    return f"{text}.{value.microsecond:06d}"[: len(text) + 1 + shown] if shown else text


def _mssql_datetime(value: datetime, _: int) -> str:
    """`datetime` keeps ticks of 1/300 s, shown as .000, .003, .007; .999 would become the next
    second.
    """
    value = max(value, _FIRST_DATETIME)
    tens, last = divmod(value.microsecond // 1000, 10)
    milliseconds = tens * 10 + (7 if last >= 7 else 3 if last >= 3 else 0)
    text = f"{_day(value)}T{_time(value, 0)}.{milliseconds:03d}"
    return f"CONVERT(DATETIME, '{text}', 126)"


def _mssql_smalldatetime(value: datetime, _: int) -> str:
    value = max(value, _FIRST_SMALLDATETIME).replace(second=0)
    return f"CONVERT(SMALLDATETIME, '{_day(value)}T{_time(value, 0)}', 126)"


def _mssql_datetime2(value: datetime, digits: int) -> str:
    return f"CAST('{_day(value)}T{_time(value, digits)}' AS DATETIME2({min(digits, 6)}))"


def _mssql_datetimeoffset(value: datetime, digits: int) -> str:
    text = f"{_day(value)}T{_time(value, digits)}+00:00"
    return f"CAST('{text}' AS DATETIMEOFFSET({min(digits, 6)}))"


def _mssql_date(value: datetime, _: int) -> str:
    return f"CAST('{_day(value)}' AS DATE)"


def _oracle_date(value: datetime, _: int) -> str:
    """Oracle's DATE has a time of day. The literal is a DATE too, else an index on it is not used."""
    return f"CAST(TIMESTAMP '{_day(value)} {_time(value, 0)}' AS DATE)"


def _oracle_timestamp(value: datetime, digits: int) -> str:
    return f"TIMESTAMP '{_day(value)} {_time(value, digits)}'"


def _oracle_zoned(value: datetime, digits: int) -> str:
    return f"TIMESTAMP '{_day(value)} {_time(value, digits)} +00:00'"


def _db2_date(value: datetime, _: int) -> str:
    return f"CAST('{_day(value)}' AS DATE)"


def _db2_timestamp(value: datetime, digits: int) -> str:
    text = f"{_day(value)}-{_time(value, digits, '.')}"
    return f"CAST('{text}' AS TIMESTAMP({min(digits, 6)}))"


def _hana_date(value: datetime, _: int) -> str:
    return f"TO_DATE('{_day(value)}', 'YYYY-MM-DD')"


def _hana_seconddate(value: datetime, _: int) -> str:
    return f"TO_SECONDDATE('{_day(value)} {_time(value, 0)}', 'YYYY-MM-DD HH24:MI:SS')"


def _hana_timestamp(value: datetime, _: int) -> str:
    return f"TO_TIMESTAMP('{_day(value)} {_time(value, 6)}', 'YYYY-MM-DD HH24:MI:SS.FF6')"


def _odbc_date(value: datetime, _: int) -> str:
    return f"{{d '{_day(value)}'}}"


def _odbc_timestamp(value: datetime, digits: int) -> str:
    return f"{{ts '{_day(value)} {_time(value, digits)}'}}"


_NAIVE: Final[Mapping[str, Mapping[str, Write]]] = {
    "mssql": {
        "datetime": _mssql_datetime,
        "smalldatetime": _mssql_smalldatetime,
        "datetime2": _mssql_datetime2,
        "date": _mssql_date,
    },
    "oracle": {"date": _oracle_date, "timestamp": _oracle_timestamp},
    "db2": {"date": _db2_date, "timestamp": _db2_timestamp},
    "hana": {
        "date": _hana_date,
        "seconddate": _hana_seconddate,
        "timestamp": _hana_timestamp,
        "longdate": _hana_timestamp,
    },
    "odbc": {"date": _odbc_date, "timestamp": _odbc_timestamp},
}
_ZONED: Final[Mapping[str, Mapping[str, Write]]] = {
    "mssql": {"datetimeoffset": _mssql_datetimeoffset},
    "oracle": {
        "timestamp with time zone": _oracle_zoned,
        "timestamp with local time zone": _oracle_zoned,
    },
}
