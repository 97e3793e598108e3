"""Turn COPY's CSV rows into Arrow, block by block, with no Python object per cell.

Called by `snapshot`. The server writes every value as its exact text; Arrow's CSV reader parses a
whole block to the exact type. A block with a value that the type cannot hold is sifted: its bad
rows come back as `Rejected` with their text, the others as rows. NULL is an empty field, the empty
string a quoted one.
"""

from binascii import unhexlify
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from dpp_core.errors import InternalError
from dpp_core.names import Reason
from dpp_extractor.batch import RawBatch, Rejected, SourceColumn

RULE: Final = "type"

_TIMESTAMP: Final = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?"
_LIKELY: Final = {
    "timestamp": _TIMESTAMP + "$",
    "timestamptz": _TIMESTAMP + r"\+00$",
    "date": r"^\d{4}-\d\d-\d\d$",
    "decimal": r"^-?\d+(\.\d+)?$",
}
_ALLOWED: Final = {
    "timestamp": "a timestamp of the years 1 to 9999",
    "timestamptz": "a timestamp of the years 1 to 9999",
    "date": "a date of the years 1 to 9999",
    "decimal": "a finite number within its digits",
    "text": "valid UTF-8 text",
}


def read_blocks(
    messages: Iterable[bytes | bytearray | memoryview], block_bytes: int
) -> Iterator[list[bytes]]:
    """Collect COPY's messages, one a row, into lists of about `block_bytes`; a greater row is
    alone.
    """
    block: list[bytes] = []
    size = 0
    for message in messages:
        block.append(bytes(message))
        size += len(message)
        if size >= block_bytes:
            yield block
            block, size = [], 0
    if block:
        yield block


def parse_block(rows: Sequence[bytes], columns: Sequence[SourceColumn]) -> RawBatch:
    """Parse a block of CSV rows; sift it when Arrow refuses a value."""
    try:
        return RawBatch(_parse(rows, columns))
    except pa.ArrowInvalid:
        return _sift(rows, columns)


def _parse(rows: Sequence[bytes], columns: Sequence[SourceColumn]) -> pa.RecordBatch:
    wire = [pa.string() if pa.types.is_binary(c.arrow_type) else c.arrow_type for c in columns]
    batch = _read(rows, wire)
    arrays = [
        _from_hex(array) if pa.types.is_binary(column.arrow_type) else array
        for array, column in zip(batch.columns, columns, strict=True)
    ]
    schema = pa.schema([pa.field(column.name, column.arrow_type) for column in columns])
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _read(rows: Sequence[bytes], types: Sequence[pa.DataType]) -> pa.RecordBatch:
    body = b"".join(rows)
    names = [f"c{place}" for place in range(len(types))]
    table = csv.read_csv(
        pa.BufferReader(body),
        read_options=csv.ReadOptions(
            use_threads=False, block_size=len(body) + 1, column_names=names
        ),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=dict(zip(names, types, strict=True)),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    if table.num_rows != len(rows):
        raise InternalError(
            f"The source sent {len(rows)} rows, {table.num_rows} were understood.",
            reason=Reason.SOURCE_READ_FAILED,
        )
    return table.combine_chunks().to_batches()[0]


def _from_hex(texts: pa.Array) -> pa.Array:
    """Decode a column of hexadecimal text with one call for the whole block."""
    validity, offsets, body = texts.buffers()
    count = len(texts)
    ends = pa.Array.from_buffers(pa.int32(), count + 1, [None, offsets], offset=texts.offset)
    halves = pc.divide(ends, pa.scalar(2, pa.int32()))
    decoded = unhexlify(memoryview(body)[: ends[count].as_py()]) if body is not None else b""
    mask = validity if texts.offset == 0 else texts.is_valid().buffers()[1]
    return pa.Array.from_buffers(
        pa.binary(), count, [mask, halves.buffers()[1], pa.py_buffer(decoded)]
    )


def _sift(rows: Sequence[bytes], columns: Sequence[SourceColumn]) -> RawBatch:
    texts = _read(rows, [pa.binary()] * len(columns))
    bad: dict[int, int] = {}
    for place, column in enumerate(columns):
        for row in _unlikely_rows(texts.column(place), column):
            bad.setdefault(row, place)
    _find_refused(rows, columns, [row for row in range(len(rows)) if row not in bad], bad)
    good = [row for number, row in enumerate(rows) if number not in bad]
    batch = _parse(good, columns) if good else _empty(columns)
    return RawBatch(batch, tuple(_rejected(texts, row, bad[row], columns) for row in sorted(bad)))


def _unlikely_rows(texts: pa.Array, column: SourceColumn) -> list[int]:
    """Find the rows that surely fail, all at once: a temporal table may hold a million
    `infinity`.
    """
    pattern = _LIKELY.get(_kind(column.arrow_type))
    if pattern is None:
        return []
    fits = pc.fill_null(pc.match_substring_regex(texts, pattern), True)
    found: list[int] = pc.indices_nonzero(pc.invert(fits)).to_pylist()
    return found


def _find_refused(
    rows: Sequence[bytes],
    columns: Sequence[SourceColumn],
    candidates: list[int],
    bad: dict[int, int],
) -> None:
    """Halve the candidates until each row that Arrow refuses stands alone; note it with its
    column.
    """
    if not candidates:
        return
    try:
        _parse([rows[row] for row in candidates], columns)
    except pa.ArrowInvalid:
        if len(candidates) == 1:
            bad[candidates[0]] = _refused_column(rows[candidates[0]], columns)
            return
        middle = len(candidates) // 2
        _find_refused(rows, columns, candidates[:middle], bad)
        _find_refused(rows, columns, candidates[middle:], bad)


def _refused_column(row: bytes, columns: Sequence[SourceColumn]) -> int:
    for place, column in enumerate(columns):
        types = [pa.binary()] * len(columns)
        if not pa.types.is_binary(column.arrow_type):
            types[place] = column.arrow_type
        try:
            _read([row], types)
        except pa.ArrowInvalid:
            return place
    raise InternalError(
        "A row was refused, but each of its columns is accepted.", reason=Reason.SOURCE_READ_FAILED
    )


def _rejected(
    texts: pa.RecordBatch, row: int, place: int, columns: Sequence[SourceColumn]
) -> Rejected:
    values: dict[str, str | None] = {}
    for column, array in zip(columns, texts.columns, strict=True):
        value = array[row].as_py()
        values[column.name] = None if value is None else value.decode("utf-8", "replace")
    column = columns[place]
    allowed = _ALLOWED.get(_kind(column.arrow_type), f"a value of {column.arrow_type}")
    return Rejected(values, RULE, column.name, f"{column.source_type}: allowed is {allowed}")


def _kind(arrow_type: pa.DataType) -> str:
    if pa.types.is_timestamp(arrow_type):
        return "timestamp" if arrow_type.tz is None else "timestamptz"
    if pa.types.is_date(arrow_type):
        return "date"
    if pa.types.is_string(arrow_type):
        return "text"
    return "decimal" if pa.types.is_decimal(arrow_type) else ""


def _empty(columns: Sequence[SourceColumn]) -> pa.RecordBatch:
    schema = pa.schema([pa.field(column.name, column.arrow_type) for column in columns])
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
