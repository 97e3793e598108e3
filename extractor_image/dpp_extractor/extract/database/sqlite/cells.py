"""Turn a block of SQLite's values into Arrow, and find those that their column's declared type
cannot mean.

Called by `snapshot`. Pure. A whole column goes to Arrow at once when all its values are of the
storage class that it should have; only else is it looked at cell by cell.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from dpp_extractor.batch import RawBatch, Rejected, SourceColumn
from dpp_extractor.extract.database.sqlite.types import Kind

RULE: Final = "type"

T = TypeVar("T")

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TIMESTAMP: Final = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,6})?)")
_ZONE: Final = re.compile(r"(.+?)(Z|[+-]\d\d:\d\d)")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")

_ALLOWED: Final = {
    Kind.INTEGER: "a whole number of 64 bits",
    Kind.BOOLEAN: "0 or 1",
    Kind.REAL: "a number",
    Kind.DECIMAL: "a number that fits its digits exactly",
    Kind.DATE: "text YYYY-MM-DD",
    Kind.TIMESTAMP: "text YYYY-MM-DD HH:MM:SS[.ffffff] without a zone",
    Kind.TIMESTAMPTZ: "text YYYY-MM-DD HH:MM:SS[.ffffff] with Z, an offset, or nothing for UTC",
    Kind.BLOB: "bytes",
    Kind.TEXT: "valid UTF-8 text",
    Kind.ANY: "a number or valid UTF-8 text",
}


class RefusedError(ValueError):
    """A cell does not fit; stays inside this module."""


@dataclass(frozen=True, slots=True)
class Reader:
    """How a kind is read: a whole column of only these storage classes at once, or cell by cell.

    `column` raises for a column with any cell that it cannot read exactly as `cell` would.
    """

    classes: frozenset[type]
    column: Callable[[Sequence[Any], pa.DataType], pa.Array]
    cell: Callable[[Any, pa.DataType], Any]


def build_batch(
    rows: Sequence[Sequence[Any]], columns: Sequence[SourceColumn], kinds: Sequence[Kind]
) -> RawBatch:
    """Build one block. `rows` are tuples in the order of the columns; bad ones come back as
    `Rejected`.
    """
    cells = list(zip(*rows, strict=True))
    arrays: list[pa.Array] = []
    bad: dict[int, int] = {}
    for place, (column, kind) in enumerate(zip(columns, kinds, strict=True)):
        array, refused = _read_column(cells[place], column.arrow_type, kind)
        arrays.append(array)
        for row in refused:
            bad.setdefault(row, place)
    schema = pa.schema([pa.field(column.name, column.arrow_type) for column in columns])
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    if not bad:
        return RawBatch(batch)
    good = pa.array([row not in bad for row in range(len(rows))], pa.bool_())
    return RawBatch(
        batch.filter(good),
        tuple(_rejected(rows[row], bad[row], columns, kinds) for row in sorted(bad)),
    )


def text_of(value: Any) -> str | None:
    """Write any stored value as text: shortest exact number, hexadecimal bytes, text as far as it
    is text.
    """
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.hex()
    text = repr(value) if isinstance(value, float) else str(value)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _read_column(
    cells: Sequence[Any], arrow_type: pa.DataType, kind: Kind
) -> tuple[pa.Array, list[int]]:
    reader = _READERS[kind]
    if set(map(type, cells)) - {type(None)} <= reader.classes:
        try:
            return reader.column(cells, arrow_type), []
        except (RefusedError, pa.ArrowException, UnicodeError, OverflowError):
            # Some cell does not fit; which one is found below.
            pass
    values: list[Any] = []
    refused: list[int] = []
    for row, cell in enumerate(cells):
        try:
            values.append(None if cell is None else reader.cell(cell, arrow_type))
        except (RefusedError, UnicodeError):
            values.append(None)
            refused.append(row)
    return pa.array(values, arrow_type), refused


def _integer(cell: Any, _: pa.DataType) -> int:
    if isinstance(cell, int):
        return cell
    raise RefusedError


def _boolean(cell: Any, _: pa.DataType) -> bool:
    if isinstance(cell, int) and cell in (0, 1):
        return cell == 1
    raise RefusedError


def _real(cell: Any, _: pa.DataType) -> float:
    # An integer beyond 2^53 would be changed by becoming a float.
    if isinstance(cell, float) or (isinstance(cell, int) and int(float(cell)) == cell):
        return float(cell)
    raise RefusedError


def _decimal(cell: Any, arrow_type: pa.DataType) -> Decimal:
    text = repr(cell) if isinstance(cell, float) else str(cell)
    if isinstance(cell, bytes) or not _NUMBER.fullmatch(text):
        raise RefusedError
    with localcontext(prec=_DECIMAL_DIGITS) as context:
        context.traps[InvalidOperation] = False
        value = Decimal(text)
        fitted = value.quantize(Decimal(1).scaleb(-arrow_type.scale))
        if not fitted.is_finite() or fitted != value:
            raise RefusedError
    if fitted.adjusted() >= arrow_type.precision - arrow_type.scale and fitted != 0:
        raise RefusedError
    return fitted


_DECIMAL_DIGITS: Final = 400
"""Enough for every finite float; quantize never has to round a value away unseen."""


def _date(cell: Any, _: pa.DataType) -> date:
    if isinstance(cell, str) and _DATE.fullmatch(cell):
        return _parsed(date.fromisoformat, cell)
    raise RefusedError


def _timestamp(cell: Any, _: pa.DataType) -> datetime:
    matched = _TIMESTAMP.fullmatch(cell) if isinstance(cell, str) else None
    if matched is None:
        raise RefusedError
    return _parsed(datetime.fromisoformat, f"{matched[1]}T{_padded(matched[2])}")


def _timestamptz(cell: Any, arrow_type: pa.DataType) -> datetime:
    zoned = _ZONE.fullmatch(cell) if isinstance(cell, str) else None
    local = _timestamp(zoned[1] if zoned else cell, arrow_type)
    zone = "+00:00" if zoned is None or zoned[2] == "Z" else zoned[2]
    aware = _parsed(datetime.fromisoformat, f"{local.isoformat()}{zone}")
    try:
        return aware.astimezone(UTC)
    except OverflowError as error:
        raise RefusedError from error


def _blob(cell: Any, _: pa.DataType) -> bytes:
    if isinstance(cell, bytes):
        return cell
    raise RefusedError


def _text(cell: Any, _: pa.DataType) -> str:
    if isinstance(cell, str):
        cell.encode()
        return cell
    raise RefusedError


def _any(cell: Any, arrow_type: pa.DataType) -> str:
    if isinstance(cell, str):
        return _text(cell, arrow_type)
    if isinstance(cell, bytes):
        raise RefusedError
    return text_of(cell) or ""


def _padded(clock: str) -> str:
    head, dot, fraction = clock.partition(".")
    return f"{head}.{fraction:0<6}" if dot else head


def _parsed(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise RefusedError from error


def _plain_column(cells: Sequence[Any], arrow_type: pa.DataType) -> pa.Array:
    return pa.array(cells, arrow_type)


def _boolean_column(cells: Sequence[Any], _: pa.DataType) -> pa.Array:
    numbers = pa.array(cells, pa.int64())
    if not pc.all(pc.is_in(numbers, pa.array([0, 1, None], pa.int64()))).as_py():
        raise RefusedError
    return numbers.cast(pa.bool_())


def _number_column(cells: Sequence[Any], arrow_type: pa.DataType) -> pa.Array:
    texts = [None if cell is None else repr(cell) for cell in cells]
    return pa.array(texts, pa.string()).cast(arrow_type)


def _time_column(cells: Sequence[Any], arrow_type: pa.DataType) -> pa.Array:
    texts = pa.array(cells, pa.string())
    pattern = _DATE if pa.types.is_date(arrow_type) else _TIMESTAMP
    fits = pc.match_substring_regex(texts, f"^{pattern.pattern}$")
    is_year_zero = pc.starts_with(texts, "0000")
    if not pc.all(fits).as_py() or pc.any(is_year_zero).as_py():
        raise RefusedError
    return texts.cast(arrow_type)


def _no_column(_: Sequence[Any], arrow_type: pa.DataType) -> pa.Array:
    raise RefusedError


_NUMBERS: Final = frozenset({int, float})
_READERS: Final = {
    Kind.INTEGER: Reader(frozenset({int}), _plain_column, _integer),
    Kind.BOOLEAN: Reader(frozenset({int}), _boolean_column, _boolean),
    Kind.REAL: Reader(frozenset({float}), _plain_column, _real),
    Kind.DECIMAL: Reader(_NUMBERS, _number_column, _decimal),
    Kind.DATE: Reader(frozenset({str}), _time_column, _date),
    Kind.TIMESTAMP: Reader(frozenset({str}), _time_column, _timestamp),
    Kind.TIMESTAMPTZ: Reader(frozenset(), _no_column, _timestamptz),
    Kind.BLOB: Reader(frozenset({bytes}), _plain_column, _blob),
    Kind.TEXT: Reader(frozenset({str}), _plain_column, _text),
    Kind.ANY: Reader(frozenset({str}), _plain_column, _any),
}


def _rejected(
    cells: Sequence[Any], place: int, columns: Sequence[SourceColumn], kinds: Sequence[Kind]
) -> Rejected:
    values = {column.name: text_of(cell) for column, cell in zip(columns, cells, strict=True)}
    column, kind = columns[place], kinds[place]
    stored = type(cells[place]).__name__
    declared = column.source_type or "no declared type"
    detail = f"{declared}: stored as {stored}, allowed is {_ALLOWED[kind]}"
    return Rejected(values, RULE, column.name, detail)
