"""What strangers do to a table, as the bytes they write, and what the protocol gets to see of them.

Called by the model (which takes the facts from production's own reader of these bytes, once) and by the simulation
(which writes the bytes). The shapes are those that delta-rs and Spark write.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from types import ModuleType
from typing import Any, Final

from dpp_core.errors import StreamError
from dpp_extractor.publish import protocol
from dpp_extractor.publish.delta import parse_commit
from dpp_extractor.publish.fold import Head, observe
from fake_store import FakeStore
from table import TableWriter, number_rows


class Action(StrEnum):
    """A stranger's commit by what it does."""

    OPTIMIZE = "optimize"
    APPEND = "append"
    DELETE = "delete"
    VACUUM = "vacuum"
    SAME_METADATA = "metadata same"
    MOVED_METADATA = "metadata moved"
    OTHER_TABLE = "other table"
    OVERWRITE = "overwrite"
    RESTORE = "restore"
    PROTOCOL = "protocol"
    STOLEN_TXN = "our txn"
    UNREADABLE = "unreadable"


ENDING: Final = frozenset(
    {
        Action.OTHER_TABLE,
        Action.OVERWRITE,
        Action.RESTORE,
        Action.PROTOCOL,
        Action.STOLEN_TXN,
        Action.UNREADABLE,
    }
)
"""After these the table is not ours any more (rule 2 b): exit 29."""
HEALED_BY_RESET: Final = frozenset({Action.OVERWRITE, Action.RESTORE, Action.STOLEN_TXN})


def build_foreign(
    action: Action,
    *,
    live: Sequence[str],
    added: str,
    metadata: Mapping[str, Any] | None,
    size_bytes: int = 1,
    rewritten: str | None = None,
) -> bytes:
    """Build the bytes of a stranger's commit on a table of the files `live` with that metadata.

    `added` is the file it brings where it brings one. A DELETE takes the first file, and puts `rewritten` in its place.
    """
    if action is Action.UNREADABLE:
        return b'{"commitInfo": {"operation": "WR'
    lines: list[tuple[str, Mapping[str, Any]]] = [
        ("commitInfo", {"operation": _OPERATIONS[action]})
    ]
    add = _add(added, size_bytes, action is not Action.OPTIMIZE)
    if action is Action.OPTIMIZE and live:
        lines += [("remove", _remove(path, False)) for path in live] + [("add", add)]
    elif action is Action.APPEND:
        lines.append(("add", add))
    elif action is Action.DELETE and live:
        lines.append(("remove", _remove(live[0], True)))
        if rewritten is not None:
            lines.append(("add", _add(rewritten, size_bytes, True)))
    elif action is Action.OVERWRITE:
        lines += [("remove", _remove(path, True)) for path in live] + [("add", add)]
    elif action is Action.RESTORE:
        lines.append(
            ("add", add)
        )  # brings back what was deleted: its name alone tells it from an append
    elif action is Action.PROTOCOL:
        lines.append(("protocol", _COLUMN_MAPPING))
    elif action is Action.STOLEN_TXN:
        lines.append(("txn", {"appId": "dpp", "version": 99}))
    elif action in _METADATA and metadata is not None:
        lines.append(("metaData", _METADATA[action](metadata)))
    return b"".join(json.dumps({name: body}).encode() + b"\n" for name, body in lines)


def observe_all(module: ModuleType = protocol) -> dict[Action, Any]:
    """Let production read every action on a table of ours; None = cannot be read. Facts are of `module`'s class."""
    writer = TableWriter(FakeStore())
    for number in (1, 2, 3):
        writer.add(number_rows([number]))
    head = writer.head()
    return {action: _observe(head, action, module) for action in Action}


def _observe(head: Head, action: Action, module: ModuleType) -> Any:
    body = build_foreign(
        action, live=sorted(head.files), added="new.parquet", metadata=head.metadata
    )
    try:
        seen = observe(head, parse_commit(head.version + 1, body))
    except StreamError:
        return None
    return module.Seen(**asdict(seen))


_OPERATIONS: Final = {
    Action.OPTIMIZE: "OPTIMIZE",
    Action.APPEND: "WRITE",
    Action.DELETE: "DELETE",
    Action.VACUUM: "VACUUM END",
    Action.SAME_METADATA: "SET TBLPROPERTIES",
    Action.MOVED_METADATA: "ADD COLUMNS",
    Action.OTHER_TABLE: "CREATE OR REPLACE TABLE",
    Action.OVERWRITE: "WRITE",
    Action.RESTORE: "RESTORE",
    Action.PROTOCOL: "UPGRADE PROTOCOL",
    Action.STOLEN_TXN: "WRITE",
}
_COLUMN_MAPPING: Final = {
    "minReaderVersion": 3,
    "minWriterVersion": 7,
    "readerFeatures": ["columnMapping"],
    "writerFeatures": ["columnMapping"],
}


def _with_property(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**metadata, "configuration": {**metadata["configuration"], "owner": "somebody"}}


def _with_column(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = json.loads(metadata["schemaString"])
    field = {"name": "added_by_others", "type": "string", "nullable": True, "metadata": {}}
    return {
        **metadata,
        "schemaString": json.dumps({**schema, "fields": [*schema["fields"], field]}),
    }


def _with_other_id(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**metadata, "id": "another-table"}


_METADATA: Final = {
    Action.SAME_METADATA: _with_property,
    Action.MOVED_METADATA: _with_column,
    Action.OTHER_TABLE: _with_other_id,
}


def _add(path: str, size_bytes: int, is_change: bool) -> dict[str, Any]:
    return {
        "path": path,
        "partitionValues": {},
        "size": size_bytes,
        "modificationTime": 0,
        "dataChange": is_change,
    }


def _remove(path: str, is_change: bool) -> dict[str, Any]:
    return {"path": path, "deletionTimestamp": 0, "dataChange": is_change}
