"""What the index keeps of a commit: commit, watermark and catalog, all to be rebuilt from the bucket."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from dpp_core.names import UnitOutcome
from dpp_core.records import CountsRecord, UnitRecord, WindowRecord
from dpp_extractor.record.catalog import (
    Described,
    build_catalog,
    build_commit,
    build_watermark,
    stream_key,
)

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
OF = Described(
    namespace="acme",
    extraction="shop",
    dataset="orders",
    distributor="acme",
    table="s3://lake/acme/shop/orders",
    object="orders",
    write="Append",
    key=("id",),
    cursor="updated_at",
)
KEY = {"namespace": "acme", "extraction": "shop", "dataset": "orders"}


def test_a_streams_documents_have_its_three_names_as_key() -> None:
    assert stream_key(OF) == KEY


def test_the_catalog_tells_where_a_dataset_lies_and_where_its_columns_come_from() -> None:
    catalog = build_catalog(OF, DONE, SCHEMA)

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
    assert build_catalog(replace(OF, cursor=None), DONE, SCHEMA).cursor is None


def test_only_a_commit_is_in_the_catalog() -> None:
    with pytest.raises(AssertionError, match="only a commit"):
        build_catalog(OF, DONE.model_copy(update={"seq": None}), SCHEMA)


def test_a_commit_is_kept_with_its_stream_and_its_run() -> None:
    commit = build_commit(OF, DONE, "run-1")

    assert {name: commit[name] for name in (*KEY, "lane", "run_id", "seq", "distributor")} == {
        **KEY,
        "lane": "live",
        "run_id": "run-1",
        "seq": 3,
        "distributor": "acme",
    }
    assert commit["counts"]["written"] == 9


def test_one_instant_is_kept_in_one_spelling_whatever_the_zone_of_the_source() -> None:
    berlin = timezone(timedelta(hours=1))
    elsewhere = DONE.model_copy(update={"read_at": AT.astimezone(berlin)})

    assert build_commit(OF, elsewhere, "run-1") == build_commit(OF, DONE, "run-1")


def test_what_only_the_process_knew_is_not_in_the_commit() -> None:
    found = DONE.model_copy(
        update={"outcome": UnitOutcome.ALREADY_COMMITTED, "warnings": ("a column is new",)}
    )

    assert build_commit(OF, found, "run-1") == build_commit(OF, DONE, "run-1")


def test_a_watermark_is_the_high_of_the_last_window() -> None:
    watermark = build_watermark(OF, DONE, "run-1")

    assert (watermark["watermark"], watermark["seq"], watermark["epoch"]) == ("2026-01-02", 3, 2)


def test_a_table_without_a_cursor_has_no_watermark() -> None:
    whole = DONE.model_copy(update={"window": None})

    assert build_watermark(OF, whole, "run-1")["watermark"] is None
