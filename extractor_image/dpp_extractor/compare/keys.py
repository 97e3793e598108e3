"""What makes two keys the same, and which row of a key is the latest. Pure, and column by column: no row is an object.

Called by `spill` and `difference`. Both sides come under the table's types, so a key is the bytes of its values: the
server's collation, which may hold `a` and `A` for one or order them otherwise, is never asked.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from dpp_core.names import COLUMN_OP, COLUMN_ORDER, COLUMN_READ_AT

KEY: Final = "_dpp_key"
LIVE: Final = "_dpp_live"
"""On a row of the table: it is no delete."""
SETTLED: Final = "_dpp_settled"
"""On a row of the source: its cursor lies below the window, so the table should have it."""
DELETE: Final = "delete"
_LONG_AGO: Final = pa.scalar(datetime(1, 1, 1, tzinfo=UTC), pa.timestamp("us", tz="UTC"))
_FIRST: Final = pa.scalar(-1, pa.int64())


def join_key(rows: pa.RecordBatch | pa.Table, names: Sequence[str]) -> pa.Array:
    """Write each row's key as bytes, such that two are equal if and only if all their parts are.

    The parts stand one behind the other, each with its length, so that no part can be taken for another's end.
    """
    parts = [_as_bytes(_whole(rows.column(name))) for name in names]
    if len(parts) == 1:
        return parts[0]
    lengths = [pc.binary_length(part).cast(pa.string()).cast(pa.binary()) for part in parts]
    pieces = [piece for pair in zip(lengths, parts, strict=True) for piece in pair]
    return pc.binary_join_element_wise(*pieces, pa.scalar(b":", pa.binary()))


def drop_keyless(rows: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    """Leave out rows with a NULL in their key: the source's are in quarantine, the table's are a stranger's."""
    if not any(rows.column(name).null_count for name in names):
        return rows
    return rows.filter(reduce(pc.and_, (rows.column(name).is_valid() for name in names)))


def mark_live(rows: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    """Keep of the table's rows what the latest one is found by; a stranger's row without `_dpp_` values is the oldest.

    A row whose `_dpp_op` is NULL does not live, as in the view that `dpp show --sql` prints.
    """
    is_live = pc.fill_null(pc.not_equal(rows.column(COLUMN_OP), DELETE), False)
    arrays = [rows.column(name) for name in names]
    arrays += [
        pc.fill_null(rows.column(COLUMN_READ_AT), _LONG_AGO),
        pc.fill_null(rows.column(COLUMN_ORDER), _FIRST),
        is_live,
    ]
    return pa.RecordBatch.from_arrays(arrays, names=[*names, COLUMN_READ_AT, COLUMN_ORDER, LIVE])


def keep_latest(rows: pa.Table, names: Sequence[str], order: Sequence[str]) -> pa.Table:
    """Keep one row a key, the last by `order`; they come ascending by key, which stands in the column `_dpp_key`."""
    if KEY not in rows.column_names:
        rows = rows.append_column(KEY, join_key(rows, names))
    if rows.num_rows == 0:
        return rows
    keys = [(name, "ascending") for name in (KEY, *order)]
    rows = rows.take(pc.sort_indices(rows, sort_keys=keys)).combine_chunks()
    key = _whole(rows.column(KEY))
    is_last = pc.not_equal(key.slice(1), key.slice(0, len(key) - 1))
    return rows.filter(pa.concat_arrays([_whole(is_last), pa.array([True])]))


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _as_bytes(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_floating(kind):
        values = _float_bits(values)
    elif pa.types.is_date(kind):
        values = values.cast(pa.int32())
    elif pa.types.is_timestamp(kind):
        values = values.cast(pa.int64())
    is_bytes = pa.types.is_binary(values.type) or pa.types.is_string(values.type)
    return (values if is_bytes else values.cast(pa.string())).cast(pa.binary())


def _float_bits(values: pa.Array) -> pa.Array:
    """Give a float's bits; 0.0 and -0.0 are one key, and so are all NaN."""
    doubles = pc.add(values.cast(pa.float64()), 0.0)
    nan = pa.scalar(float("nan"), pa.float64())
    doubles = pc.if_else(pc.is_nan(doubles), nan, doubles)
    return doubles.view(pa.int64())
