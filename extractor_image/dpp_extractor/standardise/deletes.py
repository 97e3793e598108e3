"""Rows that say that a key is gone: made from keys that were found missing, or marked by a column of the source.

Called by the stages once a batch, by `intent` once a dataset. Pure: no I/O, no clock. Rule: data-log.md, "What a table
means": `_dpp_op` is `delete`, and the latest row of a key counts.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from dpp_core.errors import SpecError
from dpp_core.handover import Unit
from dpp_core.names import COLUMN_OP, COLUMN_ORDER, COLUMN_READ_AT
from dpp_extractor.batch import Column, Mark
from dpp_extractor.standardise.columns import build_orders

DELETE: Final = "delete"
_BATCH_ROWS: Final = 16_384


def plan_mark(unit: Unit, columns: Sequence[Column]) -> Mark | None:
    """Find the column that marks deleted rows and read its value under the column's type.

    Raises SpecError (20) when the dataset does not bring the column, or the value is none of its type.
    """
    deletes = unit.deletes
    if deletes is None or deletes.column is None:
        return None
    found = next((column for column in columns if column.source_name == deletes.column), None)
    if found is None:
        raise SpecError(
            f"softDelete.column {deletes.column!r} is not among the columns of {unit.object!r}.",
            field=f"datasets[{unit.dataset}].softDelete.column",
            fix=f"They are: {', '.join(column.source_name for column in columns[:40])}.",
        )
    if deletes.value is None:
        return Mark(found.name, None)
    try:
        return Mark(found.name, pa.scalar(deletes.value, pa.string()).cast(found.arrow_type))
    except (pa.ArrowException, ValueError) as error:
        raise SpecError(
            f"softDelete.value {deletes.value!r} is no value of column {deletes.column!r} "
            f"({found.source_type}).",
            field=f"datasets[{unit.dataset}].softDelete.value",
            fix="Write it as the table shows it, such as true, 1 or deleted; without a value any but NULL counts.",
        ) from error


def mark_deleted(rows: pa.RecordBatch, mark: Mark | None) -> pa.RecordBatch:
    """Turn the rows that the source marks as deleted into deletes; their values stay as they came."""
    if mark is None:
        return rows
    values = rows.column(mark.column)
    is_deleted = values.is_valid() if mark.value is None else _equals(values, mark.value)
    ops = pc.if_else(is_deleted, DELETE, rows.column(COLUMN_OP))
    return rows.set_column(
        rows.schema.get_field_index(COLUMN_OP), rows.schema.field(COLUMN_OP), ops
    )


def build_deletes(
    keys: Iterable[pa.RecordBatch], schema: pa.Schema, read_at: datetime, first_order: int
) -> Iterator[pa.RecordBatch]:
    """Build a delete row for each key: the key's columns, NULL in all others."""
    for batch in keys:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            piece = batch.slice(start, _BATCH_ROWS)
            yield _build(piece, schema, read_at, first_order)
            first_order += piece.num_rows


def count_deletes(rows: pa.RecordBatch) -> int:
    """Count the rows that say that a key is gone."""
    return int(pc.sum(pc.equal(rows.column(COLUMN_OP), DELETE)).as_py() or 0)


def _build(
    keys: pa.RecordBatch, schema: pa.Schema, read_at: datetime, first_order: int
) -> pa.RecordBatch:
    count = keys.num_rows
    given = {
        COLUMN_OP: pa.repeat(pa.scalar(DELETE), count),
        COLUMN_READ_AT: pa.repeat(pa.scalar(read_at, pa.timestamp("us", tz="UTC")), count),
        COLUMN_ORDER: build_orders(first_order, count),
    } | dict(zip(keys.schema.names, keys.columns, strict=True))
    arrays = [given.get(field.name, None) for field in schema]
    return pa.RecordBatch.from_arrays(
        [
            pa.nulls(count, field.type) if array is None else array
            for field, array in zip(schema, arrays, strict=True)
        ],
        schema=schema,
    )


def _equals(values: pa.Array, value: pa.Scalar) -> pa.Array:
    return pc.fill_null(pc.equal(values, value), False)
