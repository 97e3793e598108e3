"""Batches put aside on disk, and split there by ranges of keys.

Called by `difference`. The files have no name: the kernel takes them back when they are closed or the process ends,
however it ends. They are compressed; what they hold is keys, so they belong where the run's other temporary files do.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from dpp_extractor.compare.keys import join_key

SAMPLE_ROWS: Final = 8_192
_FORM: Final = pa.ipc.IpcWriteOptions(compression="lz4")


class Spill:
    """Batches of one schema, first written, then read as often as wanted. `size_bytes` is their size in memory."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.rows = 0
        self.size_bytes = 0
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="dpp-keys-")  # noqa: SIM115 - closed by `close`
        self._writer: Any = pa.ipc.new_stream(self._file, schema, options=_FORM)

    def write(self, rows: pa.RecordBatch) -> None:
        if rows.num_rows:
            self._writer.write_batch(rows)
            self.rows += rows.num_rows
            self.size_bytes += rows.nbytes

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read all that was written, from the beginning; nothing can be written after the first call."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as reader:
            yield from reader

    def close(self) -> None:
        """Give the disk back; closing twice does nothing."""
        self._file.close()


def choose_bounds(spills: Sequence[Spill], names: Sequence[str], ranges: int) -> pa.Array:
    """Choose up to `ranges` - 1 keys that cut the rows of all spills into about equal ranges.

    By a sample that is evenly spread over the rows, so it is the same each time.
    """
    step = max(1, sum(spill.rows for spill in spills) // SAMPLE_ROWS)
    samples, ahead = [], 0
    for spill in spills:
        for rows in spill.batches():
            wanted = range(ahead, rows.num_rows, step)
            ahead = (ahead if not wanted else wanted[-1] + step) - rows.num_rows
            if wanted:
                samples.append(join_key(rows.take(pa.array(wanted, pa.int32())), names))
    if not samples:
        return pa.array([], pa.binary())
    sample = pa.concat_arrays(samples)
    sample = sample.take(pc.sort_indices(sample))
    places = [len(sample) * number // ranges for number in range(1, ranges)]
    return pc.unique(sample.take(pa.array(places, pa.int32())))


def split(
    spill: Spill, names: Sequence[str], bounds: pa.Array, stack: ExitStack
) -> tuple[Spill, ...]:
    """Split a spill into the ranges between bounds; a bound belongs to the range it begins. They close with `stack`."""
    ranges = tuple(Spill(spill.schema) for _ in range(len(bounds) + 1))
    for each in ranges:
        stack.callback(each.close)
    for rows in spill.batches():
        places = pc.search_sorted(bounds, join_key(rows, names), side="right")
        ordered = rows.take(pc.sort_indices(places))
        start = 0
        for number, count in sorted(_count(places)):
            ranges[number].write(ordered.slice(start, count))
            start += count
    return ranges


def _count(places: pa.Array) -> list[tuple[int, int]]:
    counted = pc.value_counts(places)
    values, counts = counted.field(0).to_pylist(), counted.field(1).to_pylist()
    return list(zip(values, counts, strict=True))
