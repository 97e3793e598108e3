"""Read SQLite's values as their column's declared type means them, a column or a cell at a time.

Called by `rows`. Pure. SQLite keeps any value in any column, so each is judged by its storage class and
its form; whatever would be changed by becoming the Arrow type is refused.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from dpp_extractor.extract.database.sqlite.types import Kind

T = TypeVar("T")

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TIMESTAMP: Final = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,6})?)")
_ZONE: Final = re.compile(r"(.+?)(Z|[+-]\d\d:\d\d)")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


class RefusedError(ValueError):
    """A cell does not fit; `rows` turns it into a rejected row."""


@dataclass(frozen=True, slots=True)
class Reader:
    """How a kind is read: a whole column of only these storage classes at once, or cell by cell.

    `column` raises for a column with any cell that it cannot read exactly as `cell` would.
    """

    classes: frozenset[type]
    column: Callable[[Sequence[Any], pa.DataType], pa.Array]
    cell: Callable[[Any, pa.DataType], Any]


def text_of(value: Any) -> str | None:
    """Write any stored value as text: shortest exact number, hexadecimal bytes, text with `\\xff`
    for each byte that is none.
    """
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.hex()
    text = repr(value) if isinstance(value, float) else str(value)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


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
READERS: Final = {
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
