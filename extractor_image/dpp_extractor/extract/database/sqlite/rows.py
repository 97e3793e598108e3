"""Turn a block of SQLite's rows into Arrow; a value that does not fit is NULL or its row comes back.

Called by `snapshot`. Pure. A whole column goes to Arrow at once when all its values are of the storage
class that it should have; only else is it looked at cell by cell.
"""

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from dpp_extractor.batch import RawBatch, Rejected, SourceColumn
from dpp_extractor.extract.database.sqlite.cells import READERS, RefusedError, text_of
from dpp_extractor.extract.database.sqlite.types import Kind
from dpp_extractor.extract.database.unfit import choose_dropped, count_nulled

RULE: Final = "type"

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


def build_batch(
    rows: Sequence[Sequence[Any]], columns: Sequence[SourceColumn], kinds: Sequence[Kind]
) -> RawBatch:
    """Build one block. `rows` are tuples in the order of the columns; bad ones come back as
    `Rejected`.
    """
    cells = list(zip(*rows, strict=True))
    arrays: list[pa.Array] = []
    refused: dict[int, list[int]] = {}
    for place, (column, kind) in enumerate(zip(columns, kinds, strict=True)):
        array, bad = _read_column(cells[place], column.arrow_type, kind)
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
        tuple(_rejected(rows[row], dropped[row], columns, kinds) for row in sorted(dropped)),
        count_nulled(refused, dropped, columns),
    )


def _read_column(
    cells: Sequence[Any], arrow_type: pa.DataType, kind: Kind
) -> tuple[pa.Array, list[int]]:
    reader = READERS[kind]
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


def _rejected(
    cells: Sequence[Any], place: int, columns: Sequence[SourceColumn], kinds: Sequence[Kind]
) -> Rejected:
    values = {column.name: text_of(cell) for column, cell in zip(columns, cells, strict=True)}
    column, kind = columns[place], kinds[place]
    stored = type(cells[place]).__name__
    declared = column.source_type or "no declared type"
    detail = f"{declared}: stored as {stored}, allowed is {_ALLOWED[kind]}"
    return Rejected(values, RULE, column.name, detail)
