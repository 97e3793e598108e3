"""Turn rows of the server's own texts into Arrow, a column at a time; a value that does not fit is NULL
or its row comes back.

Called by `snapshot`. Pure. Arrow parses a whole column of texts to its exact type; only when it
refuses one is the column halved until each bad value stands alone. A column that shall be text is
the server's text as it came.
"""

from collections.abc import Callable, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from dpp_extractor.batch import RawBatch, Rejected, SourceColumn
from dpp_extractor.extract.database.unfit import choose_dropped, count_nulled

RULE: Final = "type"

Cells = Sequence[bytes | None]

_ALLOWED: Final = {
    "timestamp": "a timestamp of the years 1 to 9999",
    "date": "a date of the years 1 to 9999",
    "decimal": "a number within its digits",
    "text": "valid UTF-8 text",
}


def build_batch(rows: Sequence[Cells], columns: Sequence[SourceColumn]) -> RawBatch:
    """Build one block. `rows` hold cells in the order of the columns; bad ones come back as
    `Rejected`.
    """
    arrays: list[pa.Array] = []
    refused: dict[int, list[int]] = {}
    for place, (column, cells) in enumerate(zip(columns, zip(*rows, strict=True), strict=True)):
        array, bad = _read_column(pa.array(cells, pa.binary()), column.arrow_type)
        arrays.append(array)
        if bad:
            refused[place] = bad
    schema = pa.schema([pa.field(column.name, column.arrow_type) for column in columns])
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    if not refused:
        return RawBatch(batch)
    dropped = choose_dropped(refused, columns)
    good = pa.array([row not in dropped for row in range(len(rows))], pa.bool_())
    return RawBatch(
        batch.filter(good),
        tuple(_rejected(rows[row], dropped[row], columns) for row in sorted(dropped)),
        count_nulled(refused, dropped, columns),
    )


def _read_column(cells: pa.Array, arrow_type: pa.DataType) -> tuple[pa.Array, list[int]]:
    try:
        return _parse(cells, arrow_type), []
    except pa.ArrowInvalid:
        refused = _unlikely(cells, arrow_type)
        rest = [row for row in range(len(cells)) if row not in refused]
        refused |= _find_refused(cells, arrow_type, rest)
        keep = pa.array([row not in refused for row in range(len(cells))], pa.bool_())
        kept = pc.if_else(keep, cells, pa.scalar(None, pa.binary()))
        return _parse(kept, arrow_type), sorted(refused)


def _parse(cells: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    if pa.types.is_binary(arrow_type):
        return cells
    texts = cells.cast(pa.string())
    if pa.types.is_string(arrow_type):
        return texts
    if not _is_temporal(arrow_type):
        return texts.cast(arrow_type)
    # Arrow would take the year 0 for a year.
    if pc.any(pc.starts_with(texts, "0000")).as_py():
        raise pa.ArrowInvalid("a date of the year 0")
    if pa.types.is_timestamp(arrow_type) and arrow_type.tz is not None:
        return pc.assume_timezone(texts.cast(pa.timestamp(arrow_type.unit)), arrow_type.tz)
    return texts.cast(arrow_type)


def _unlikely(cells: pa.Array, arrow_type: pa.DataType) -> set[int]:
    """Find zero dates, all at once: a table may hold a million of them."""
    if not _is_temporal(arrow_type):
        return set()
    found: list[int] = pc.indices_nonzero(
        pc.fill_null(pc.starts_with(cells, b"0000"), False)
    ).to_pylist()
    return set(found)


def _find_refused(cells: pa.Array, arrow_type: pa.DataType, candidates: list[int]) -> set[int]:
    """Halve the candidates until each value that Arrow refuses stands alone."""
    if not candidates:
        return set()
    try:
        _parse(cells.take(pa.array(candidates, pa.int64())), arrow_type)
    except pa.ArrowInvalid:
        if len(candidates) == 1:
            return set(candidates)
        middle = len(candidates) // 2
        return _find_refused(cells, arrow_type, candidates[:middle]) | _find_refused(
            cells, arrow_type, candidates[middle:]
        )
    return set()


def _rejected(cells: Cells, place: int, columns: Sequence[SourceColumn]) -> Rejected:
    values = {
        column.name: _shown(cell, column.arrow_type)
        for column, cell in zip(columns, cells, strict=True)
    }
    column = columns[place]
    allowed = _ALLOWED.get(_kind(column.arrow_type), f"a value of {column.arrow_type}")
    return Rejected(values, RULE, column.name, f"{column.source_type}: allowed is {allowed}")


def _shown(cell: bytes | None, arrow_type: pa.DataType) -> str | None:
    if cell is None:
        return None
    is_bytes = pa.types.is_binary(arrow_type)
    return cell.hex() if is_bytes else cell.decode("utf-8", "backslashreplace")


def _is_temporal(arrow_type: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(arrow_type) or pa.types.is_date(arrow_type))


def _kind(arrow_type: pa.DataType) -> str:
    kinds: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
        (pa.types.is_timestamp, "timestamp"),
        (pa.types.is_date, "date"),
        (pa.types.is_string, "text"),
        (pa.types.is_decimal, "decimal"),
    )
    return next((kind for is_kind, kind in kinds if is_kind(arrow_type)), "")
