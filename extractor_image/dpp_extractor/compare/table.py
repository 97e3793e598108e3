"""The keys that a table holds: of every live file only the key and the `_dpp_` columns, by ranged reads.

Called by `deletes`. The files are those of the log's head; a file of somebody's compaction reads like ours. Nothing is
written. Memory: one batch, and one chunk of each column that is read.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from dpp_core.errors import StreamError, TemporaryFailure
from dpp_core.names import Reason
from dpp_extractor.compare.keys import drop_keyless, mark_live

BATCH_ROWS: Final = 65_536


def read_table_keys(
    open_file: Callable[[], BinaryIO], path: str, schema: pa.Schema, names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Read one data file: key columns, `_dpp_read_at`, `_dpp_order` and `_dpp_live`, under the table's types.

    `schema` has the key columns and the `_dpp_` ones; a column that an old or a stranger's file does not have is NULL.
    Raises TemporaryFailure (75) for a file that went away, StreamError (29) for one that cannot be read as what the
    log says it is.
    """
    try:
        with pq.ParquetFile(
            open_file(), pre_buffer=False, coerce_int96_timestamp_unit="us"
        ) as file:
            there = [name for name in schema.names if name in file.schema_arrow.names]
            for batch in file.iter_batches(BATCH_ROWS, columns=there, use_threads=False):
                yield mark_live(drop_keyless(_under(batch, schema), names), names)
    except FileNotFoundError as error:
        raise TemporaryFailure(
            f"{error}; the table needed it when this run looked.",
            reason=Reason.OVERTAKEN,
            fix="The next try reads the table as it is then.",
        ) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StreamError(
            f"The table's file {path} cannot be read: {error}"[:300] + ".",
            reason=Reason.STREAM_FOREIGN_CHANGE,
            fix="Run dpp verify --deep; restore the file from the bucket's versions.",
        ) from error


def _under(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for field in schema:
        if field.name not in batch.schema.names:
            arrays.append(pa.nulls(batch.num_rows, field.type))
            continue
        array = batch.column(field.name)
        arrays.append(array if array.type == field.type else array.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
