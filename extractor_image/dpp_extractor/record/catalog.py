"""The dataset's entry in the catalog, and the documents the index keeps of a commit.

Called by `run` after a commit. Pure builders; the index may be rebuilt from the bucket at any time.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from dpp_core.handover import RunRequest, Unit
from dpp_core.records import CatalogColumn, CatalogRecord, UnitRecord


def build_catalog(
    request: RunRequest, unit: Unit, record: UnitRecord, schema: pa.Schema, table_uri: str
) -> CatalogRecord:
    """Describe the dataset after its latest commit."""
    assert record.seq is not None, "only a commit is in the catalog"
    assert record.version is not None
    assert record.read_at is not None
    return CatalogRecord(
        namespace=request.namespace,
        extraction=request.extraction,
        dataset=unit.dataset,
        distributor=request.distributor,
        table=table_uri,
        object=unit.object,
        write=unit.write,
        key=unit.key,
        cursor=unit.incremental.cursor if unit.incremental else None,
        columns=tuple(_column(field) for field in schema),
        schema_fingerprint=record.schema_fingerprint,
        seq=record.seq,
        version=record.version,
        updated_at=record.read_at,
    )


def _column(field: pa.Field) -> CatalogColumn:
    metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return CatalogColumn(
        name=field.name,
        type=str(field.type),
        source_name=metadata.get("dpp.source_name", ""),
        source_type=metadata.get("dpp.source_type", ""),
        fidelity=metadata.get("dpp.fidelity", ""),
    )


def build_commit(request: RunRequest, record: UnitRecord) -> dict[str, Any]:
    """The commit as the index keeps it."""
    return {
        **stream_key(request, record.dataset),
        "distributor": request.distributor,
        "lane": "live",
        "run_id": request.run_id,
        **record.model_dump(mode="json", exclude={"dataset"}),
    }


def build_watermark(request: RunRequest, record: UnitRecord) -> dict[str, Any]:
    """The stream's position after its latest commit, as the index keeps it."""
    return {
        "namespace": request.namespace,
        "extraction": request.extraction,
        "dataset": record.dataset,
        "lane": "live",
        "seq": record.seq,
        "version": record.version,
        "epoch": record.epoch,
        "watermark": record.window.high if record.window else None,
        "read_at": record.read_at,
        "updated_at": record.read_at,
        "run_id": request.run_id,
    }


def stream_key(request: RunRequest, dataset: str) -> Mapping[str, str]:
    """The unique key of a stream's documents."""
    return {
        "namespace": request.namespace,
        "extraction": request.extraction,
        "dataset": dataset,
    }
