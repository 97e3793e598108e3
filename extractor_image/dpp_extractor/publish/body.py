"""The bytes of one commit: a Draft placed on the table as it is just before its version.

Called by `commit`, again for every version it is placed on: the remove set, metaData and base
belong to the table it lands on, never to the one the run started from. Pure: the same arguments
give the same bytes.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from dpp_extractor.publish.carry import build_carried
from dpp_extractor.publish.delta import (
    CONFIGURATION,
    ENGINE,
    PROTOCOL_NTZ,
    PROTOCOL_PLAIN,
    STATS_COLUMNS,
    build_add,
    build_lines,
    build_metadata,
    build_remove,
    has_our_properties,
    list_foreign_properties,
    milliseconds,
)
from dpp_extractor.publish.draft import REPLACING_KINDS, Draft, build_dpp
from dpp_extractor.publish.fold import Head
from dpp_extractor.publish.keys import app_id
from dpp_extractor.publish.schema import (
    build_schema,
    build_schema_string,
    has_timestamp_ntz,
    list_skipping_columns,
    merge_for_append,
)

Action = tuple[str, Mapping[str, Any]]


def build_commit_bytes(draft: Draft, head: Head, *, version: int, name: str, at: datetime) -> bytes:
    """Render the commit that makes `version` out of `head`, the table at `version` - 1; `name` is
    the dataset's.
    """
    return build_lines(_actions(draft, head, version, name, at))


def carries_metadata(draft: Draft, head: Head) -> bool:
    """Return whether the commit must write metaData: a new table, changed columns, or a property
    that went.
    """
    if head.metadata is None or head.protocol is None:
        return True
    table = head.schema
    has_properties = has_our_properties(head.metadata)
    is_same = table is not None and build_schema(_schema(draft, head)) == build_schema(table)
    return not is_same or not has_properties


def _actions(draft: Draft, head: Head, version: int, name: str, at: datetime) -> Iterator[Action]:
    previous = head.lanes.get(draft.lane)
    schema = _schema(draft, head)
    is_replacing = draft.kind in REPLACING_KINDS
    protocol = _new_protocol(head, schema)
    has_metadata = carries_metadata(draft, head)
    yield (
        "commitInfo",
        {
            "timestamp": milliseconds(at),
            "operation": "WRITE",
            "operationParameters": {"mode": "Overwrite" if is_replacing else "Append"},
            "engineInfo": ENGINE,
            "dpp": {
                **build_dpp(draft, previous=previous, version=version),
                "carried": build_carried(
                    draft, head, has_metadata=has_metadata, protocol=protocol or head.protocol or {}
                ),
            },
        },
    )
    if protocol is not None:
        yield "protocol", protocol
    if has_metadata:
        yield "metaData", _metadata(draft, head, schema, name, at)
    yield (
        "txn",
        {
            "appId": app_id(draft.lane),
            "version": (previous.seq if previous else 0) + 1,
            "lastUpdated": milliseconds(at),
        },
    )
    if is_replacing:
        for path in sorted(head.files):
            yield "remove", build_remove(head.files[path], at)
    for part in draft.parts:
        yield "add", build_add(part)


def _schema(draft: Draft, head: Head) -> pa.Schema:
    """Return the table's columns after the commit: never fewer than old files need to be read."""
    table = head.schema
    is_complete = table is None or set(table.names) <= set(draft.schema.names)
    if draft.kind in REPLACING_KINDS or is_complete:
        return draft.schema
    return merge_for_append(table, draft.schema)


def _new_protocol(head: Head, schema: pa.Schema) -> Mapping[str, Any] | None:
    """Return the protocol the commit must write, None when the table's will do."""
    wanted = PROTOCOL_NTZ if has_timestamp_ntz(schema) else PROTOCOL_PLAIN
    if head.protocol is None:
        return wanted
    return wanted if head.protocol["minReaderVersion"] < wanted["minReaderVersion"] else None


def _metadata(
    draft: Draft, head: Head, schema: pa.Schema, name: str, at: datetime
) -> Mapping[str, Any]:
    before = head.metadata or build_metadata(
        table_id=draft.attempt_id, name=name, schema_string="", created_at=at
    )
    skipping = list_skipping_columns(schema)
    configuration = {**(before.get("configuration") or {}), **CONFIGURATION}
    for name in (STATS_COLUMNS, *list_foreign_properties(configuration)):
        configuration.pop(name, None)
    if skipping:
        configuration[STATS_COLUMNS] = ",".join(skipping)
    return {
        **before,
        "schemaString": build_schema_string(schema),
        "configuration": configuration,
    }
