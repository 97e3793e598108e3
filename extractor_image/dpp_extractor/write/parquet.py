"""Batches become Parquet parts: zstd, row groups of bounded size, statistics exact or absent.

Called by `unit`. The sink is handed in (`open_part`), so nothing here knows a store. Memory: one row group plus the
sink's buffer. Rule for statistics: data-log.md, "Stats": a shortened string or a decimal through a float makes readers
drop rows.
"""

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from dpp_extractor.batch import Part
from dpp_extractor.ports import Stored

ROW_GROUP_ROWS: Final = 65_536
"""Measured on 1M rows of 12 columns: 254 MB resident to S3; with 131,072 rows a group 322 MB."""
ROW_GROUP_BYTES: Final = 16 * 1024 * 1024
"""Measured on 150,000 rows, most of 3 kB: 275 MB resident to S3; with 64 MB a group 420 MB."""
PART_BYTES: Final = 256 * 1024 * 1024
STATS_STRING_CHARACTERS: Final = 64


class PartSink(Protocol):
    """A file-like upload that knows its path relative to the table."""

    path: str

    def write(self, chunk: bytes) -> int: ...

    def tell(self) -> int: ...

    def finish(self) -> Stored: ...

    def abort(self) -> None: ...


class _SinkFile(io.RawIOBase):
    """What pyarrow asks of a file, over a sink; closing it finishes nothing."""

    def __init__(self, sink: PartSink) -> None:
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, chunk: Any) -> int:
        return self._sink.write(bytes(chunk))

    def tell(self) -> int:
        return self._sink.tell()


def write_parts(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    open_part: Callable[[int], PartSink],
    now: Callable[[], datetime],
) -> Iterator[Part]:
    """Write batches into as few parts as PART_BYTES allows; yields each part when it is stored.

    No batch, no part. On an error the open part is aborted, so nothing half written is visible.
    """
    groups = _row_groups(batches, schema)
    number = 0
    group = next(groups, None)
    while group is not None:
        sink = open_part(number)
        try:
            metadata, group = _write_part(sink, schema, group, groups)
            stored = sink.finish()
        except BaseException:
            sink.abort()
            raise
        yield Part(
            path=sink.path,
            size_bytes=stored.size_bytes,
            rows=metadata.num_rows,
            checksum=stored.checksum,
            stats=build_stats(metadata, schema),
            modified_at=now(),
        )
        number += 1


def _write_part(
    sink: PartSink, schema: pa.Schema, group: pa.Table, groups: Iterator[pa.Table]
) -> tuple[pq.FileMetaData, pa.Table | None]:
    collected: list[pq.FileMetaData] = []
    writer = pq.ParquetWriter(
        _SinkFile(sink),
        schema,
        compression="zstd",
        compression_level=3,
        coerce_timestamps="us",
        metadata_collector=collected,
    )
    try:
        writer.write_table(group, row_group_size=group.num_rows)
        following = next(groups, None)
        while following is not None and sink.tell() < PART_BYTES:
            writer.write_table(following, row_group_size=following.num_rows)
            following = next(groups, None)
    except BaseException:
        # Closing a writer whose sink failed fails too, and would hide what happened first.
        with contextlib.suppress(Exception):
            writer.close()
        raise
    writer.close()
    return collected[0], following


def _row_groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if batch.num_rows == 0:
            continue
        held.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(held, schema)
            held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held, schema)


def build_stats(metadata: pq.FileMetaData, schema: pa.Schema) -> dict[str, Any]:
    """Fold row-group statistics into Delta's `stats`: numRecords, and per column nullCount, min and max if exact."""
    null_count: dict[str, int] = {}
    lows: dict[str, Any] = {}
    highs: dict[str, Any] = {}
    groups = range(metadata.num_row_groups)
    for index, field in enumerate(schema):
        chunks = [metadata.row_group(group).column(index).statistics for group in groups]
        if any(chunk is None or not chunk.has_null_count for chunk in chunks):
            continue
        null_count[field.name] = sum(chunk.null_count for chunk in chunks)
        filled = [chunk for chunk in chunks if chunk.num_values]
        if (
            not filled
            or not all(chunk.has_min_max for chunk in filled)
            or not _has_exact(field.type)
        ):
            continue
        low = exact_value(min(chunk.min for chunk in filled))
        high = exact_value(max(chunk.max for chunk in filled))
        if low is not None and high is not None:
            lows[field.name], highs[field.name] = low, high
    return {
        "numRecords": metadata.num_rows,
        "minValues": lows,
        "maxValues": highs,
        "nullCount": null_count,
    }


def _has_exact(arrow_type: pa.DataType) -> bool:
    """Floats (NaN, -0.0), decimals (readers go through a float), booleans and bytes carry no min and max."""
    return bool(
        pa.types.is_integer(arrow_type)
        or pa.types.is_date(arrow_type)
        or pa.types.is_timestamp(arrow_type)
        or pa.types.is_string(arrow_type)
    )


def exact_value(value: Any) -> Any:
    """Render a statistic so that every reader gets the very value, or None for absent."""
    match value:
        case datetime():
            moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            text = moment.strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0")
            return text + "Z" if value.tzinfo else text
        case date():
            return value.isoformat()
        case int():
            return value
        case str():
            return value if len(value) <= STATS_STRING_CHARACTERS else None
    return None
