"""The dataset's entry in the catalog, and the documents the index keeps of a commit.

Called by `stages` after a commit, and by upkeep when it builds the index anew. Pure builders over what
a commit in the bucket says too: so an index that was lost comes back equal. What only the process
knew that made a commit (its warnings, whether it found the commit there already) is in the run's
record and not here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

import pyarrow as pa

from dpp_core.names import LIVE_LANE
from dpp_core.records import CatalogColumn, CatalogRecord, UnitRecord

_OF_THE_PROCESS: Final = frozenset(
    {"dataset", "outcome", "warnings", "code", "reason", "message", "fingerprint"}
)


@dataclass(frozen=True, slots=True)
class Described:
    """What a stream is, beside its commits; `table` is where readers find it."""

    namespace: str
    extraction: str
    dataset: str
    distributor: str
    table: str
    object: str
    write: str
    key: tuple[str, ...]
    cursor: str | None


def build_catalog(of: Described, record: UnitRecord, schema: pa.Schema) -> CatalogRecord:
    """Describe the dataset after its latest commit; `schema` is the table's, as its log has it."""
    assert record.seq is not None, "only a commit is in the catalog"
    assert record.version is not None
    assert record.read_at is not None
    return CatalogRecord(
        **stream_key(of),
        distributor=of.distributor,
        table=of.table,
        object=of.object,
        write=of.write,
        key=of.key,
        cursor=of.cursor,
        columns=tuple(_column(field) for field in schema),
        schema_fingerprint=record.schema_fingerprint,
        seq=record.seq,
        version=record.version,
        updated_at=record.read_at.astimezone(UTC),
    )


def build_catalog_document(of: Described, record: UnitRecord, schema: pa.Schema) -> dict[str, Any]:
    """The catalog as the index keeps it. The instant stays one: by it the index keeps a held-up run
    from hiding its successor.
    """
    catalog = build_catalog(of, record, schema)
    return {**catalog.model_dump(mode="json"), "updated_at": catalog.updated_at}


def _column(field: pa.Field) -> CatalogColumn:
    metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return CatalogColumn(
        name=field.name,
        type=str(field.type),
        source_name=metadata.get("dpp.source_name", ""),
        source_type=metadata.get("dpp.source_type", ""),
        fidelity=metadata.get("dpp.fidelity", ""),
        unfit=metadata.get("dpp.unfit", ""),
    )


def build_commit(
    of: Described, record: UnitRecord, run_id: str, lane: str = LIVE_LANE
) -> dict[str, Any]:
    """The commit as the index keeps it."""
    return {
        **stream_key(of),
        "distributor": of.distributor,
        "lane": lane,
        "run_id": run_id,
        **_in_utc(record).model_dump(mode="json", exclude=set(_OF_THE_PROCESS)),
    }


def build_watermark(of: Described, record: UnitRecord, run_id: str) -> dict[str, Any]:
    """The stream's position after its latest commit, as the index keeps it."""
    return {
        **stream_key(of),
        "lane": LIVE_LANE,
        "seq": record.seq,
        "version": record.version,
        "epoch": record.epoch,
        "watermark": record.window.high if record.window else None,
        "read_at": record.read_at,
        "updated_at": record.read_at,
        "run_id": run_id,
    }


def stream_key(of: Described) -> Mapping[str, str]:
    """The unique key of a stream's documents."""
    return {"namespace": of.namespace, "extraction": of.extraction, "dataset": of.dataset}


def _in_utc(record: UnitRecord) -> UnitRecord:
    """One instant has one spelling, whatever zone the source's clock was read in."""
    read_at = record.read_at.astimezone(UTC) if record.read_at else None
    return record.model_copy(update={"read_at": read_at})
