"""Classic checkpoints of a Delta log, read: one file or many parts, and the hint that names the last.

Called by `span` (which checkpoints are there), `files` and `anchor` (what they hold), and by upkeep.
Nothing is written here, and no checkpoint is trusted further than its own bytes: one that cannot be
read is passed over for an earlier one. Rows come in batches, and only the columns that are needed,
by ranged reads: memory does not grow with the table. Checkpoints hold no commitInfo.
Source: the protocol's chapters "Checkpoints" and "Last Checkpoint File".
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from dpp_extractor.ports import Store
from dpp_extractor.publish.delta import LiveFile
from dpp_extractor.publish.keys import Stream, log_prefix
from dpp_extractor.publish.ranged import open_ranged

BATCH_ROWS: Final = 2_000
WINDOW_BYTES: Final = 4 * 1024 * 1024
_NAME: Final = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet")
_FILE_COLUMNS: Final = (
    "add.path",
    "add.size",
    "add.partitionValues",
    "add.stats",
    "add.deletionVector",
    "sidecar.path",
)
_STATE_COLUMNS: Final = ("txn", "metaData", "protocol", "sidecar.path")


class CheckpointUnreadableError(Exception):
    """This checkpoint cannot be read; an earlier one may do. Never leaves the stage."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint of which every part is there; `keys` in the order of its parts."""

    version: int
    keys: tuple[str, ...]
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CheckpointState:
    """What a checkpoint holds but its files: the last seq of each `txn.appId`, metaData, protocol."""

    txns: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, Any] | None = None
    protocol: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of a checkpoint by its name: part `number` of `parts`."""

    version: int
    number: int
    parts: int
    key: str
    size_bytes: int


def parse_piece(key: str, size_bytes: int) -> Piece | None:
    """Read a key of the log as a piece of a classic checkpoint; None for anything else."""
    match = _NAME.fullmatch(key.rsplit("/", 1)[-1])
    if match is None:
        return None
    version, number, parts = match.groups()
    return Piece(int(version), int(number or 1), int(parts or 1), key, size_bytes)


def collect_checkpoints(pieces: Iterable[Piece]) -> tuple[Checkpoint, ...]:
    """Return the complete checkpoints, ascending; of two of one version the one in fewer files."""
    grouped: dict[tuple[int, int], dict[int, Piece]] = {}
    for piece in pieces:
        grouped.setdefault((piece.version, piece.parts), {})[piece.number] = piece
    complete: dict[int, Checkpoint] = {}
    for (version, parts), found in sorted(grouped.items()):
        if set(found) == set(range(1, parts + 1)) and version not in complete:
            ordered = [found[number] for number in range(1, parts + 1)]
            size_bytes = sum(piece.size_bytes for piece in ordered)
            complete[version] = Checkpoint(version, tuple(p.key for p in ordered), size_bytes)
    return tuple(complete[version] for version in sorted(complete))


def read_last_checkpoint(store: Store, stream: Stream) -> int | None:
    """Return the version that `_last_checkpoint` names; None when it is missing or torn: it is a hint."""
    body = store.get(f"{log_prefix(stream)}_last_checkpoint")
    try:
        version = json.loads(body or b"{}")["version"]
    except (ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, int) and version >= 0 else None


def read_state(store: Store, checkpoint: Checkpoint) -> CheckpointState:
    """Read what a checkpoint holds but its files. Raises CheckpointUnreadableError."""
    txns: dict[str, int] = {}
    metadata = protocol = None
    for row in _read_rows(store, checkpoint, _STATE_COLUMNS):
        if row.get("txn"):
            txns[str(row["txn"]["appId"])] = int(row["txn"]["version"])
        if row.get("metaData"):
            metadata = _plain_metadata(row["metaData"])
        if row.get("protocol"):
            protocol = {name: value for name, value in row["protocol"].items() if value is not None}
    if metadata is None or protocol is None:
        raise CheckpointUnreadableError(f"{checkpoint.keys[0]} holds no metaData or no protocol")
    return CheckpointState(txns, metadata, protocol)


def read_live_files(store: Store, checkpoint: Checkpoint) -> Iterator[LiveFile]:
    """Yield the files the table consisted of at the checkpoint. Raises CheckpointUnreadableError."""
    for row in _read_rows(store, checkpoint, _FILE_COLUMNS):
        add = row.get("add")
        if not add or add.get("path") is None:
            continue
        if add.get("deletionVector"):
            raise CheckpointUnreadableError(f"{checkpoint.keys[0]} holds deletion vectors")
        yield LiveFile(
            path=add["path"],
            size_bytes=int(add["size"]),
            partition_values=dict(add.get("partitionValues") or ()),
            rows=json.loads(add["stats"]).get("numRecords") if add.get("stats") else None,
        )


def _read_rows(
    store: Store, checkpoint: Checkpoint, columns: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    try:
        for key in checkpoint.keys:
            with pq.ParquetFile(_open(store, key), pre_buffer=False) as file:
                roots = {column.partition(".")[0] for column in columns}
                there = [c for c in columns if c.partition(".")[0] in file.schema_arrow.names]
                if not roots - {"sidecar", "txn"} <= set(file.schema_arrow.names):
                    raise CheckpointUnreadableError(f"{key} has no columns of a classic checkpoint")
                for batch in file.iter_batches(BATCH_ROWS, columns=there):
                    yield from _whole_rows(key, batch)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointUnreadableError(f"{checkpoint.keys[0]}: {error}") from error


def _whole_rows(key: str, batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    for row in batch.to_pylist():
        if row.get("sidecar"):
            raise CheckpointUnreadableError(f"{key} refers to sidecars")
        yield row


def _plain_metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give metaData in the form of the JSON action: maps come out of Parquet as pairs."""
    form = row.get("format") or {}
    plain = {name: value for name, value in row.items() if value is not None}
    plain["configuration"] = dict(row.get("configuration") or ())
    plain["format"] = {
        "provider": form.get("provider", "parquet"),
        "options": dict(form.get("options") or ()),
    }
    return plain


def _open(store: Store, key: str) -> BinaryIO:
    entry = store.head(key)
    if entry is None:
        raise CheckpointUnreadableError(f"{key} is gone")
    return open_ranged(store, key, entry.size_bytes, WINDOW_BYTES)
