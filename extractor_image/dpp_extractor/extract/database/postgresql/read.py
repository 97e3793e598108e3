"""Turn COPY's CSV rows into Arrow, block by block, with no Python object per cell.

Called by `snapshot`. The server writes every value as its exact text; Arrow's CSV reader parses a
whole block to the exact type. A block with a value that the type cannot hold is sifted: the value
becomes NULL or its row comes back as `Rejected`, as its column says; the others go on. NULL is an
empty field, the empty string a quoted one.
"""

import itertools
from binascii import unhexlify
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from dpp_core.errors import InternalError
from dpp_core.names import Reason
from dpp_extractor.batch import RawBatch, Rejected, SourceColumn
from dpp_extractor.extract.database.unfit import choose_dropped, count_nulled

RULE: Final = "type"

_TIMESTAMP: Final = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?"
_LIKELY: Final = {
    "timestamp": _TIMESTAMP + "$",
    "timestamptz": _TIMESTAMP + r"\+00$",
    "date": r"^\d{4}-\d\d-\d\d$",
    "decimal": r"^-?\d+(\.\d+)?$",
    # UTF-8 as RFC 3629 draws it: nothing overlong, no surrogate, nothing above U+10FFFF.
    "text": r"^([\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]"
    r"|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}"
    r"|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})*$",
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


def measure_row(row: bytes, columns: Sequence[SourceColumn]) -> tuple[list[bytes], list[int]]:
    """Cut a CSV row into its fields, and say how many bytes each value has; bytes come as hex."""
    fields: list[bytes] = []
    place = 0
    for _ in columns:
        end = _find_end(row, place)
        fields.append(_unquote(row[place:end]))
        place = end + 1
    sizes = [
        len(field) // 2 if pa.types.is_binary(column.arrow_type) else len(field)
        for column, field in zip(columns, fields, strict=True)
    ]
    return fields, sizes


def _unquote(field: bytes) -> bytes:
    return field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field


def _find_end(row: bytes, start: int) -> int:
    """Find where a field ends: at a comma or the line's end, outside of quotes."""
    place = start
    while row[place : place + 1] == b'"':
        place = row.index(b'"', place + 1) + 1
    found = row.find(b",", place)
    return found if found >= 0 else len(row.rstrip(b"\n"))


def parse_block(rows: Sequence[bytes], columns: Sequence[SourceColumn]) -> RawBatch:
    """Parse a block of CSV rows; sift it when Arrow refuses a value."""
    try:
        return RawBatch(_parse(rows, columns, {}))
    except pa.ArrowInvalid:
        return _sift(rows, columns)


def _parse(
    rows: Sequence[bytes], columns: Sequence[SourceColumn], nulls: Mapping[int, Collection[int]]
) -> pa.RecordBatch:
    """Parse rows; `nulls` are the rows, by a column's place, whose value becomes NULL unread."""
    wire = [pa.string() if pa.types.is_binary(c.arrow_type) else c.arrow_type for c in columns]
    plain = [place for place in range(len(columns)) if place not in nulls]
    # Without any place, all columns would be read.
    read = dict(zip(plain, _read(rows, wire, plain).columns, strict=True)) if plain else {}
    read |= {place: _read_around(rows, wire, place, gone) for place, gone in nulls.items()}
    arrays = [
        _from_hex(read[place]) if pa.types.is_binary(column.arrow_type) else read[place]
        for place, column in enumerate(columns)
    ]
    schema = pa.schema([pa.field(column.name, column.arrow_type) for column in columns])
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _read_around(
    rows: Sequence[bytes], types: Sequence[pa.DataType], place: int, gone: Collection[int]
) -> pa.Array:
    """Read one column of the rows that are not gone, and put a NULL where one is."""
    good = [row for number, row in enumerate(rows) if number not in gone]
    if not good:
        return pa.nulls(len(rows), types[place])
    among = itertools.count()
    origins = [None if number in gone else next(among) for number in range(len(rows))]
    return _read(good, types, [place]).column(0).take(pa.array(origins, pa.int64()))


def _read(
    rows: Sequence[bytes], types: Sequence[pa.DataType], places: Sequence[int]
) -> pa.RecordBatch:
    """Read the columns at these places; without any, all of them."""
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
            include_columns=[names[place] for place in places],
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
    texts = _read(rows, [pa.binary()] * len(columns), [])
    refused = {
        place: found
        for place, column in enumerate(columns)
        if (found := _unlikely_rows(texts.column(place), column))
    }
    try:
        return _split(rows, texts, columns, refused)
    except pa.ArrowInvalid:
        _hunt(rows, columns, refused)
    return _split(rows, texts, columns, refused)


def _split(
    rows: Sequence[bytes],
    texts: pa.RecordBatch,
    columns: Sequence[SourceColumn],
    refused: Mapping[int, Collection[int]],
) -> RawBatch:
    """Build what goes on and what does not. Raises ArrowInvalid when more is refused than is named."""
    dropped = choose_dropped(refused, columns)
    kept = [number for number in range(len(rows)) if number not in dropped]
    nulls = {}
    for place, bad in refused.items():
        gone = {number for number, row in enumerate(kept) if row in bad}
        if gone:
            nulls[place] = gone
    batch = _parse([rows[row] for row in kept], columns, nulls) if kept else _empty(columns)
    rejected = tuple(_rejected(texts, row, dropped[row], columns) for row in sorted(dropped))
    return RawBatch(batch, rejected, count_nulled(refused, dropped, columns))


def _unlikely_rows(texts: pa.Array, column: SourceColumn) -> set[int]:
    """Find the rows that surely fail, all at once: a temporal table may hold a million
    `infinity`.
    """
    pattern = _LIKELY.get(_kind(column.arrow_type))
    if pattern is None or not column.may_be_unfit:
        return set()
    fits = pc.fill_null(pc.match_substring_regex(texts, pattern), True)
    return set(pc.indices_nonzero(pc.invert(fits)).to_pylist())


def _hunt(
    rows: Sequence[bytes], columns: Sequence[SourceColumn], refused: dict[int, set[int]]
) -> None:
    """Find, column by column, what no pattern foresaw, and add it to `refused`."""
    types = [column.arrow_type for column in columns]
    types = [pa.binary() if pa.types.is_binary(each) else each for each in types]
    before = sum(map(len, refused.values()))
    for place in range(len(columns)):
        known = refused.get(place, set())
        candidates = [row for row in range(len(rows)) if row not in known]
        found = set(_refused_rows(rows, types, place, candidates))
        if found:
            refused[place] = known | found
    if sum(map(len, refused.values())) == before:
        raise InternalError(
            "A block was refused, but each of its columns is accepted.",
            reason=Reason.SOURCE_READ_FAILED,
        )


def _refused_rows(
    rows: Sequence[bytes], types: Sequence[pa.DataType], place: int, candidates: Sequence[int]
) -> Iterator[int]:
    """Halve the candidates until each row whose value Arrow refuses stands alone."""
    if not candidates:
        return
    try:
        _read([rows[row] for row in candidates], types, [place])
    except pa.ArrowInvalid:
        if len(candidates) == 1:
            yield candidates[0]
            return
        middle = len(candidates) // 2
        yield from _refused_rows(rows, types, place, candidates[:middle])
        yield from _refused_rows(rows, types, place, candidates[middle:])


def _rejected(
    texts: pa.RecordBatch, row: int, place: int, columns: Sequence[SourceColumn]
) -> Rejected:
    values: dict[str, str | None] = {}
    for column, array in zip(columns, texts.columns, strict=True):
        value = array[row].as_py()
        values[column.name] = None if value is None else value.decode("utf-8", "backslashreplace")
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
