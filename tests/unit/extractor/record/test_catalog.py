"""What the index keeps of a commit: commit, watermark and catalog, all to be rebuilt from the bucket."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from dpp_core.names import UnitOutcome
from dpp_core.records import CountsRecord, UnitRecord, WindowRecord
from dpp_extractor.record.catalog import (
    build_catalog,
    build_commit,
    build_watermark,
    stream_key,
)
from run_bench import APPEND, REPLACE, Bench

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DONE = UnitRecord(
    dataset="orders",
    outcome=UnitOutcome.COMMITTED,
    attempt_id="attempt-1",
    seq=3,
    version=4,
    epoch=2,
    read_at=AT,
    window=WindowRecord(cursor="updated_at", kind="timestamp", low=None, high="2026-01-02"),
    counts=CountsRecord(read=9, written=9),
    schema_fingerprint="sha256:f",
)
SCHEMA = pa.schema(
    [
        pa.field(
            "size", pa.string(), metadata={"dpp.source_name": "Größe", "dpp.fidelity": "text"}
        ),
        pa.field("_dpp_op", pa.string()),
    ]
)
KEY = {"namespace": "acme", "extraction": "shop", "dataset": "orders"}


def test_a_streams_documents_have_its_three_names_as_key() -> None:
    assert stream_key(Bench().request(), "orders") == KEY


def test_the_catalog_tells_where_a_dataset_lies_and_where_its_columns_come_from() -> None:
    catalog = build_catalog(Bench().request(), APPEND, DONE, SCHEMA, "s3://lake/acme/shop/orders")

    assert (catalog.table, catalog.object, catalog.write) == (
        "s3://lake/acme/shop/orders",
        "orders",
        "Append",
    )
    assert (catalog.key, catalog.cursor, catalog.seq, catalog.updated_at) == (
        ("id",),
        "updated_at",
        3,
        AT,
    )
    size, op = catalog.columns
    assert (size.name, size.type, size.source_name, size.fidelity) == (
        "size",
        "string",
        "Größe",
        "text",
    )
    assert (op.name, op.source_name) == ("_dpp_op", "")


def test_a_dataset_that_is_read_as_a_whole_has_no_cursor() -> None:
    assert build_catalog(Bench().request(), REPLACE, DONE, SCHEMA, "t").cursor is None


def test_only_a_commit_is_in_the_catalog() -> None:
    with pytest.raises(AssertionError, match="only a commit"):
        build_catalog(Bench().request(), APPEND, DONE.model_copy(update={"seq": None}), SCHEMA, "t")


def test_a_commit_is_kept_with_its_stream_and_its_run() -> None:
    commit = build_commit(Bench().request(), DONE)

    assert {name: commit[name] for name in (*KEY, "lane", "run_id", "seq", "distributor")} == {
        **KEY,
        "lane": "live",
        "run_id": "run-1",
        "seq": 3,
        "distributor": "acme",
    }
    assert commit["counts"]["written"] == 9


def test_a_watermark_is_the_high_of_the_last_window() -> None:
    watermark = build_watermark(Bench().request(), DONE)

    assert (watermark["watermark"], watermark["seq"], watermark["epoch"]) == ("2026-01-02", 3, 2)


def test_a_table_without_a_cursor_has_no_watermark() -> None:
    whole = DONE.model_copy(update={"window": None})

    assert build_watermark(Bench().request(), whole)["watermark"] is None
