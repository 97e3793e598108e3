"""Of a data file only the key and our own columns are read, whoever wrote it and in whatever form."""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpp_core.errors import StreamError, TemporaryFailure
from dpp_extractor.compare.table import read_table_keys
from dpp_extractor.publish.ranged import SMALL_BYTES, open_ranged
from dpp_extractor.standardise.columns import SYSTEM_FIELDS
from fake_store import FakeStore

SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("no", pa.string()), *SYSTEM_FIELDS])
AT = datetime(2026, 1, 2, tzinfo=UTC)
OURS = [
    pa.array([1, 2], pa.int64()),
    pa.array(["a", "b"]),
    pa.array(["read", "delete"]),
    pa.array([AT, AT], pa.timestamp("us", "UTC")),
    pa.array([0, 1], pa.int64()),
]
ROWS = [
    {"id": 1, "no": "a", "_dpp_read_at": AT, "_dpp_order": 0, "_dpp_live": True},
    {"id": 2, "no": "b", "_dpp_read_at": AT, "_dpp_order": 1, "_dpp_live": False},
]


@dataclass(slots=True)
class CountingStore(FakeStore):
    """A store that counts what is read of it."""

    read_bytes: int = 0

    def get_range(self, key: str, start_bytes: int, length_bytes: int) -> bytes | None:
        body = FakeStore.get_range(self, key, start_bytes, length_bytes)
        self.read_bytes += len(body or b"")
        return body


def store_of(table: pa.Table, **options: Any) -> CountingStore:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    store = CountingStore()
    store.objects["part"] = sink.getvalue()
    return store


def read(store: CountingStore, size_bytes: int | None = None) -> list[dict[str, Any]]:
    size = len(store.objects.get("part", b"")) if size_bytes is None else size_bytes
    opened = partial(open_ranged, store, "part", size, SMALL_BYTES)
    batches = read_table_keys(opened, "part", SCHEMA, ("id", "no"))
    return [row for batch in batches for row in batch.to_pylist()]


def test_the_columns_between_are_not_fetched() -> None:
    noise = random.Random(1)
    payload = pa.array([noise.randbytes(200_000) for _ in range(20)])
    columns = [column.take(pa.array([0] * 20)) for column in OURS]
    table = pa.table(
        [*columns[:2], payload, *columns[2:]], names=["id", "no", "x", *SCHEMA.names[2:]]
    )
    store = store_of(table)

    assert len(read(store)) == 20
    assert store.read_bytes < len(store.objects["part"]) / 10


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table,
        lambda table: table.set_column(0, "id", table.column("id").cast(pa.int32())),
        lambda table: table.set_column(1, "no", table.column("no").dictionary_encode()),
        lambda table: table.set_column(1, "no", table.column("no").cast(pa.string_view())),
        lambda table: table.set_column(1, "no", table.column("no").cast(pa.large_string())),
        lambda table: table.select(table.column_names[::-1]),
    ],
    ids=["ours", "narrower", "dictionary", "views", "large", "another order"],
)
def test_a_strangers_file_of_the_same_rows_reads_like_ours(
    change: Callable[[pa.Table], pa.Table],
) -> None:
    assert read(store_of(change(pa.table(OURS, schema=SCHEMA)))) == ROWS


def test_instants_of_96_bits_are_read() -> None:
    table = pa.table(OURS, schema=SCHEMA)

    assert read(store_of(table, use_deprecated_int96_timestamps=True)) == ROWS


def test_a_file_without_our_columns_has_rows_that_do_not_live_and_are_the_oldest() -> None:
    (first, _) = read(store_of(pa.table(OURS[:2], names=["id", "no"])))

    assert (first["_dpp_live"], first["_dpp_order"]) == (False, -1)
    assert first["_dpp_read_at"].year == 1


def test_a_file_that_went_away_is_a_matter_of_time_and_one_that_is_torn_of_a_person() -> None:
    store = store_of(pa.table(OURS, schema=SCHEMA))
    body = store.objects["part"]

    store.objects["part"] = body[: len(body) // 2]
    with pytest.raises(StreamError, match="part cannot be read"):
        read(store)
    del store.objects["part"]
    with pytest.raises(TemporaryFailure, match="went away"):
        read(store, len(body))
