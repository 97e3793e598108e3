"""Parts hold every row, and their statistics are exact or absent: a shortened one makes readers drop rows."""

import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpp_core.errors import ResourcesError
from dpp_extractor.ports import Stored
from dpp_extractor.write import parquet
from dpp_extractor.write.parquet import exact_value, write_parts

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class MemorySink:
    """A sink that keeps its bytes, to look at what was written."""

    def __init__(self, number: int) -> None:
        self.path = f"data/a/part-{number:05d}.parquet"
        self.body = io.BytesIO()
        self.aborted = False

    def write(self, chunk: bytes) -> int:
        return self.body.write(chunk)

    def tell(self) -> int:
        return self.body.tell()

    def finish(self) -> Stored:
        return Stored(self.path, self.body.tell(), "none:")

    def abort(self) -> None:
        self.aborted = True


def _write(batches: list[pa.RecordBatch], schema: pa.Schema) -> tuple[list[Any], list[MemorySink]]:
    sinks: list[MemorySink] = []

    def open_part(number: int) -> MemorySink:
        sinks.append(MemorySink(number))
        return sinks[-1]

    return list(write_parts(batches, schema, open_part, lambda: NOW)), sinks


def _batch(**columns: pa.Array) -> pa.RecordBatch:
    return pa.record_batch(columns)


def test_every_row_is_in_the_part_and_counted() -> None:
    batches = [_batch(id=pa.array([1, 2])), _batch(id=pa.array([3], pa.int64()))]

    parts, sinks = _write(batches, batches[0].schema)

    assert [part.rows for part in parts] == [3]
    assert pq.read_table(io.BytesIO(sinks[0].body.getvalue()))["id"].to_pylist() == [1, 2, 3]


def test_no_row_makes_no_part() -> None:
    parts, sinks = _write([_batch(id=pa.array([], pa.int64()))], pa.schema([("id", pa.int64())]))

    assert parts == [] and sinks == []


def test_a_full_part_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 10)
    monkeypatch.setattr(parquet, "PART_BYTES", 1)
    batches = [_batch(id=pa.array(range(start, start + 10))) for start in range(0, 50, 10)]

    parts, sinks = _write(batches, batches[0].schema)

    assert [part.path for part in parts] == [sink.path for sink in sinks]
    assert sum(part.rows for part in parts) == 50 and len(parts) == 5


def test_an_error_while_reading_aborts_the_open_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 1)
    sinks: list[MemorySink] = []

    def open_part(number: int) -> MemorySink:
        sinks.append(MemorySink(number))
        return sinks[-1]

    def batches() -> Iterator[pa.RecordBatch]:
        yield _batch(id=pa.array([1]))
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(write_parts(batches(), pa.schema([("id", pa.int64())]), open_part, lambda: NOW))

    assert [sink.aborted for sink in sinks] == [True]


def test_statistics_are_exact_or_absent() -> None:
    batch = _batch(
        whole=pa.array([3, None, 1]),
        day=pa.array([date(2026, 1, 2), date(1, 1, 1), None]),
        moment=pa.array(
            [datetime(2026, 1, 1, 1, 2, 3, 456789, tzinfo=UTC)] * 3, pa.timestamp("us", "UTC")
        ),
        local=pa.array([datetime(2026, 1, 1, 1, 2, 3, 456789)] * 3, pa.timestamp("us")),
        short=pa.array(["b", "a", None]),
        long=pa.array(["a", "z" * 65, "b"]),
        price=pa.array([Decimal("1.10")] * 3, pa.decimal128(10, 2)),
        ratio=pa.array([0.5, float("nan"), 1.5]),
        empty=pa.array([None] * 3, pa.string()),
    )

    parts, _ = _write([batch], batch.schema)

    stats = parts[0].stats
    assert stats["numRecords"] == 3
    assert stats["minValues"] == {
        "whole": 1,
        "day": "0001-01-01",
        "moment": "2026-01-01T01:02:03.456789Z",
        "local": "2026-01-01T01:02:03.456789",
        "short": "a",
    }
    assert stats["maxValues"]["short"] == "b" and "long" not in stats["maxValues"]
    assert stats["nullCount"]["whole"] == 1 and stats["nullCount"]["empty"] == 3


def test_a_year_before_1000_keeps_four_digits() -> None:
    assert exact_value(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000000Z"


class FullSink(MemorySink):
    """A sink on a disk that is full."""

    def write(self, chunk: bytes) -> int:
        raise ResourcesError("the disk is full")


def test_a_sink_that_fails_is_told_as_it_failed_and_the_part_is_thrown_away() -> None:
    batch = _batch(id=pa.array([1, 2]))
    sink = FullSink(0)

    with pytest.raises(ResourcesError, match="the disk is full"):
        list(write_parts([batch], batch.schema, lambda number: sink, lambda: NOW))

    assert sink.aborted
