"""Delta's actions: one commit file's bytes to and from plain data.

Called by `body` (to write), `fold`, `head` and `commit` (to read). Pure. Only what the protocol and
the fold need is kept of a parsed commit, so that thousands of them fit in little memory: statistics
are dropped at once.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dpp_core.errors import StreamError
from dpp_core.names import COMMIT_FORMAT, Reason
from dpp_extractor.batch import Part
from dpp_extractor.publish.keys import is_our_app_id
from dpp_extractor.publish.schema import is_plain_name

CONFIGURATION: Final[Mapping[str, str]] = {
    "delta.logRetentionDuration": "interval 3650 days",
    "delta.enableExpiredLogCleanup": "false",
    "delta.deletedFileRetentionDuration": "interval 7 days",
}
"""Our properties; a commit that takes one away makes the table not ours. The spelling counts: "10
years" is ignored.
"""

STATS_COLUMNS: Final = "delta.dataSkippingStatsColumns"
"""The property that names the columns with exact statistics; see `schema.list_skipping_columns`."""

PROTOCOL_PLAIN: Final[Mapping[str, Any]] = {"minReaderVersion": 1, "minWriterVersion": 2}
PROTOCOL_NTZ: Final[Mapping[str, Any]] = {
    "minReaderVersion": 3,
    "minWriterVersion": 7,
    "readerFeatures": ["timestampNtz"],
    "writerFeatures": ["timestampNtz", "appendOnly", "invariants"],
}
_OFF: Final = ("false", "")
_FOREIGN: Final[Mapping[str, tuple[str, ...]]] = {
    "delta.appendOnly": _OFF,
    "delta.checkpointPolicy": ("classic", ""),
    "delta.columnMapping.mode": ("none", ""),
    "delta.enableDeletionVectors": _OFF,
    "delta.enableInCommitTimestamps": _OFF,
    "delta.enableRowTracking": _OFF,
    "delta.enableTypeWidening": _OFF,
    "delta.setTransactionRetentionDuration": (),
}
"""Properties that are never ours, each with the values that leave it off."""
_FOREIGN_PREFIXES: Final = ("delta.feature.", "delta.constraints.")

ENGINE: Final = f"dpp/{COMMIT_FORMAT}"


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A data file the table consists of; `path` as the log spells it, `rows` None when its writer
    did not say.
    """

    path: str
    size_bytes: int
    partition_values: Mapping[str, Any]
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """A parsed commit file. `adds_data` and `removes_data` tell whether such actions change data."""

    version: int
    sha256: str
    info: Mapping[str, Any]
    protocol: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None
    txns: Mapping[str, int]
    adds: tuple[LiveFile, ...]
    removes: tuple[str, ...]
    adds_data: bool
    removes_data: bool
    has_deletion_vectors: bool = False

    @property
    def operation(self) -> str:
        return str(self.info.get("operation", ""))


def parse_commit(version: int, body: bytes) -> Commit:
    """Read a commit file; unknown actions are left out. Raises StreamError (29) when it is not
    Delta JSON.
    """
    try:
        actions = [json.loads(line) for line in body.split(b"\n") if line.strip()]
        if not actions:
            raise ValueError("it is empty")
        return _collect(version, hashlib.sha256(body).hexdigest(), actions)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StreamError(
            f"Version {version} of the table's log cannot be read: {type(error).__name__} {error}.",
            reason=Reason.STREAM_CHAIN_BROKEN,
            fix="Restore the file from its copy under _dpp/datasets, or from the bucket's versions.",
        ) from error


def is_known_protocol(protocol: Mapping[str, Any]) -> bool:
    """Return whether a protocol action asks for nothing beyond the two forms we write."""
    reader, writer = protocol.get("minReaderVersion"), protocol.get("minWriterVersion")
    if (reader, writer) == (1, 2):
        return True
    return (
        (reader, writer) == (3, 7)
        and set(protocol.get("readerFeatures") or ()) <= set(PROTOCOL_NTZ["readerFeatures"])
        and set(protocol.get("writerFeatures") or ()) <= set(PROTOCOL_NTZ["writerFeatures"])
    )


def has_our_properties(metadata: Mapping[str, Any]) -> bool:
    """Return whether all our properties are there and none that makes the table another's."""
    configuration = metadata.get("configuration") or {}
    has_ours = all(configuration.get(name) == value for name, value in CONFIGURATION.items())
    return has_ours and not list_foreign_properties(configuration)


def list_foreign_properties(configuration: Mapping[str, str]) -> tuple[str, ...]:
    """Return the properties that switch on what our commits or a reader of ours cannot live with."""
    return tuple(
        name
        for name, value in configuration.items()
        if name.startswith(_FOREIGN_PREFIXES)
        or (name in _FOREIGN and str(value).lower() not in _FOREIGN[name])
    )


def build_metadata(
    *, table_id: str, name: str, schema_string: str, created_at: datetime
) -> dict[str, Any]:
    """Build the metaData action of version 0; `body` adds the property that depends on the columns."""
    return {
        "id": table_id,
        "name": name,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": schema_string,
        "partitionColumns": [],
        "configuration": dict(CONFIGURATION),
        "createdTime": milliseconds(created_at),
    }


def build_add(part: Part) -> dict[str, Any]:
    """Build an add action; the checksum of the upload travels as a tag, stats as the text Delta
    wants.
    """
    return {
        "path": part.path,
        "partitionValues": {},
        "size": part.size_bytes,
        "modificationTime": milliseconds(part.modified_at),
        "dataChange": True,
        "stats": json.dumps(_plain_stats(part.stats), separators=(",", ":"), ensure_ascii=False),
        "tags": {"dpp.checksum": part.checksum},
    }


def _plain_stats(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out columns whose names need quoting: DuckDB loses rows by their statistics."""
    return {
        name: {column: held for column, held in value.items() if is_plain_name(column)}
        if isinstance(value, Mapping)
        else value
        for name, value in stats.items()
    }


def build_remove(file: LiveFile, at: datetime) -> dict[str, Any]:
    return {
        "path": file.path,
        "deletionTimestamp": milliseconds(at),
        "dataChange": True,
        "extendedFileMetadata": True,
        "partitionValues": dict(file.partition_values),
        "size": file.size_bytes,
    }


def build_lines(actions: Iterable[tuple[str, Mapping[str, Any]]]) -> bytes:
    """Render actions as Delta's JSON lines; equal actions give equal bytes."""
    lines = (
        json.dumps({name: action}, separators=(",", ":"), ensure_ascii=False)
        for name, action in actions
    )
    return ("\n".join(lines) + "\n").encode()


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _collect(version: int, sha256: str, actions: list[dict[str, Any]]) -> Commit:
    def all_of(name: str) -> list[dict[str, Any]]:
        return [action[name] for action in actions if action.get(name) is not None]

    adds, removes = all_of("add"), all_of("remove")
    infos, protocols, metadatas = all_of("commitInfo"), all_of("protocol"), all_of("metaData")
    app_ids = [str(txn["appId"]) for txn in all_of("txn")]
    is_doubled = len(app_ids) != len(set(app_ids)) or sum(map(is_our_app_id, app_ids)) > 1
    if is_doubled or max(len(infos), len(protocols), len(metadatas)) > 1:
        raise ValueError("an action that a commit may have once is there twice")
    return Commit(
        version=version,
        sha256=sha256,
        info=infos[0] if infos else {},
        protocol=protocols[0] if protocols else None,
        metadata=metadatas[0] if metadatas else None,
        txns={str(txn["appId"]): int(txn["version"]) for txn in all_of("txn")},
        adds=tuple(_live_file(add) for add in adds),
        removes=tuple(str(remove["path"]) for remove in removes),
        adds_data=any(add.get("dataChange", True) for add in adds),
        removes_data=any(remove.get("dataChange", True) for remove in removes),
        has_deletion_vectors=any(add.get("deletionVector") for add in adds),
    )


def _live_file(add: Mapping[str, Any]) -> LiveFile:
    stats = json.loads(add["stats"]) if add.get("stats") else {}
    return LiveFile(
        path=str(add["path"]),
        size_bytes=int(add["size"]),
        partition_values=add.get("partitionValues") or {},
        rows=stats.get("numRecords"),
    )
