"""What other writers do to our tables, with the real delta-rs; and by hand where no tool would do it.

Called by the tests of foreign writers, on tables of any columns as long as one is `id`. Nothing of the product is used:
a stranger does not know it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import deltalake
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable

NEW_ID: Final = 900
MERGED_ID: Final = 901
CHANGED_ID: Final = 7
DELETED_BELOW: Final = 5
WEEK_HOURS: Final = 24 * 7


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody who knows where a table lies. `remove` and `put` work on keys relative to the table."""

    uri: str
    options: Mapping[str, str]
    remove: Callable[[str], None]
    put: Callable[[str, bytes], None]

    def table(self) -> DeltaTable:
        return DeltaTable(self.uri, storage_options=dict(self.options))


Act = Callable[[Stranger], None]


def append(stranger: Stranger) -> None:
    table = stranger.table()
    deltalake.write_deltalake(table, _row(table, NEW_ID), mode="append")


def compact(stranger: Stranger) -> None:
    stranger.table().optimize.compact()


def z_order(stranger: Stranger) -> None:
    stranger.table().optimize.z_order(["id"])


def delete(stranger: Stranger) -> None:
    stranger.table().delete(f"id < {DELETED_BELOW}")


def delete_and_compact(stranger: Stranger) -> None:
    delete(stranger)
    compact(stranger)


def update(stranger: Stranger) -> None:
    table = stranger.table()
    table.update({_text_column(table): "'changed by a stranger'"}, predicate=f"id = {CHANGED_ID}")


def merge(stranger: Stranger) -> None:
    table = stranger.table()
    source = pa.concat_tables([_row(table, CHANGED_ID), _row(table, MERGED_ID)])
    merger = table.merge(source, "t.id = s.id", source_alias="s", target_alias="t")
    changed = {_text_column(table): "'merged by a stranger'"}
    merger.when_matched_update(changed).when_not_matched_insert_all().execute()


def checkpoint(stranger: Stranger) -> None:
    stranger.table().create_checkpoint()


def vacuum(stranger: Stranger) -> None:
    stranger.table().vacuum(retention_hours=WEEK_HOURS, dry_run=False)


def clean_up(stranger: Stranger) -> None:
    """Ask delta-rs to drop old versions of the log; our retention leaves it nothing to drop."""
    table = stranger.table()
    table.create_checkpoint()
    table.cleanup_metadata()


def clean_log(stranger: Stranger) -> None:
    """Drop all versions below a checkpoint, as a lifecycle rule on the bucket would."""
    table = stranger.table()
    table.create_checkpoint()
    for version in range(table.version()):
        stranger.remove(f"_delta_log/{version:020d}.json")


def add_column(stranger: Stranger) -> None:
    table = stranger.table()
    wider = _row(table, MERGED_ID).append_column("extra", pa.array(["x"]))
    deltalake.write_deltalake(table, wider, mode="append", schema_mode="merge")


def add_property(stranger: Stranger) -> None:
    stranger.table().alter.set_table_properties({"delta.checkpointInterval": "25"})


def overwrite(stranger: Stranger) -> None:
    table = stranger.table()
    deltalake.write_deltalake(table, _row(table, NEW_ID), mode="overwrite")


def restore(stranger: Stranger) -> None:
    stranger.table().restore(0)


def add_constraint(stranger: Stranger) -> None:
    stranger.table().alter.add_constraint({"positive": "id >= 0"})


def add_feature(stranger: Stranger) -> None:
    features = [deltalake.TableFeatures.ChangeDataFeed]
    stranger.table().alter.add_feature(features, allow_protocol_versions_increase=True)


def strip_properties(stranger: Stranger) -> None:
    properties = {"delta.logRetentionDuration": "interval 1 days"}
    stranger.table().alter.set_table_properties(properties)


def make_append_only(stranger: Stranger) -> None:
    stranger.table().alter.set_table_properties({"delta.appendOnly": "true"})


def take_our_txn(stranger: Stranger) -> None:
    table = stranger.table()
    taken = CommitProperties(app_transactions=[deltalake.Transaction("dpp", 99)])
    deltalake.write_deltalake(table, _row(table, NEW_ID), mode="append", commit_properties=taken)


def change_table_id(stranger: Stranger) -> None:
    """Put a version that makes it another table, as restoring a folder over ours would."""
    table = stranger.table()
    metadata = {
        "id": "00000000-0000-4000-8000-000000000000",
        "format": {"provider": "parquet", "options": {}},
        "schemaString": table.schema().to_json(),
        "partitionColumns": [],
        "configuration": dict(table.metadata().configuration),
    }
    actions: list[dict[str, Any]] = [
        {"commitInfo": {"timestamp": 0, "operation": "CREATE TABLE"}},
        {"metaData": metadata},
    ]
    body = "\n".join(json.dumps(action) for action in actions).encode()
    stranger.put(f"_delta_log/{table.version() + 1:020d}.json", body)


def _row(table: DeltaTable, row_id: int) -> pa.Table:
    """Give a row that the table could hold, with another id."""
    first = table.to_pyarrow_table().slice(0, 1)
    place = first.schema.get_field_index("id")
    return first.set_column(place, first.schema.field(place), pa.array([row_id], pa.int64()))


def _text_column(table: DeltaTable) -> str:
    """Give a text column that is the source's."""
    fields = table.schema().fields
    texts = [field.name for field in fields if str(field.type) == 'PrimitiveType("string")']
    return next(name for name in reversed(texts) if not name.startswith("_dpp_"))
