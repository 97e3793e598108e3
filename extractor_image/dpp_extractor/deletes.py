"""The keys that went at the source: read in the unit's own snapshot, held against the table at its head.

Called by `stages` before the window is read, for `deletes: KeyDiff`. Everything here is before the one conditional
write: a run that is killed leaves nothing, a second one finds the same. What is put aside lies in files without a name
in the process's temporary folder (`TMPDIR`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from dpp_core import logs
from dpp_core.errors import InternalError
from dpp_core.handover import RunRequest
from dpp_core.names import COLUMN_ORDER, COLUMN_READ_AT, RESERVED_COLUMNS
from dpp_extractor.batch import SourceTable, Window
from dpp_extractor.compare.difference import Difference, find_difference
from dpp_extractor.compare.keys import LIVE, SETTLED, drop_keyless
from dpp_extractor.compare.spill import Spill
from dpp_extractor.compare.table import read_table_keys
from dpp_extractor.extract.database.window import parse_cursor
from dpp_extractor.guard.deadline import COMMIT_RESERVE_SECONDS, Deadline
from dpp_extractor.intent import Intent
from dpp_extractor.ports import Snapshot, Tools
from dpp_extractor.publish.admit import Block, decide_deletes
from dpp_extractor.publish.fold import Head
from dpp_extractor.publish.keys import Stream, table_prefix
from dpp_extractor.publish.ranged import SMALL_BYTES, open_ranged
from dpp_extractor.standardise.columns import standardise_rows

_WHOLE_NUMBER: Final = pa.decimal128(38, 0)


@dataclass(frozen=True, slots=True)
class Gone:
    """What the comparison found; `keys` gives the key columns of the rows that went."""

    found: Difference | None = None
    approved: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def keys(self) -> Iterator[pa.RecordBatch]:
        return iter(()) if self.found is None else self.found.deleted.batches()


NOTHING_GONE: Final = Gone()


@contextmanager
def find_gone(
    intent: Intent,
    request: RunRequest,
    tools: Tools,
    snapshot: Snapshot,
    head: Head,
    blocks: tuple[Block, ...],
) -> Iterator[Gone]:
    """Compare the keys of the source's snapshot with those that live in the table.

    Raises BlockedError (24, TooManyDeletes) when more went than may go without approval. Leaving gives the disk back.
    """
    if not head.has_files:
        raise InternalError("The table's files were not asked for.")
    way = _Comparison(intent, request, tools, _key_names(intent))
    table = source = None
    try:
        table = _put_table_aside(way, head)
        tools.hook("table_keys_read")
        source = _put_source_aside(way, snapshot)
        tools.hook("source_keys_read")
        found = find_difference(table, source, way.names)
    finally:
        for side in (table, source):
            if side is not None:
                side.close()
    try:
        gone = found.deleted.rows
        logs.info(
            "keys_compared",
            table_keys=found.table_keys,
            source_keys=found.source_keys,
            deleted=gone,
            missing=found.missing_rows,
        )
        sides = (found.table_keys, found.source_keys, gone)
        approved = decide_deletes(head, intent.unit, sides, blocks)
        tools.hook("keys_compared")
        yield Gone(found, approved, _warn(found, intent))
    finally:
        found.deleted.close()


@dataclass(frozen=True, slots=True)
class _Comparison:
    intent: Intent
    request: RunRequest
    tools: Tools
    names: tuple[str, ...]

    @property
    def stream(self) -> Stream:
        return Stream(self.request.namespace, self.request.extraction, self.intent.unit.dataset)

    @property
    def schema(self) -> pa.Schema:
        """The table's key columns and the `_dpp_` ones."""
        wanted = (*self.names, *RESERVED_COLUMNS)
        return pa.schema([self.intent.schema.field(name) for name in wanted])

    def go_on(self) -> None:
        """Between two batches: a stop that was asked for, or the deadline, takes effect."""
        self.tools.stop.raise_if_stopped()
        Deadline(self.request.deadline_at, self.tools.store.now).raise_if_over(
            COMMIT_RESERVE_SECONDS
        )


def _key_names(intent: Intent) -> tuple[str, ...]:
    by_source = {column.source_name: column.name for column in intent.columns}
    return tuple(by_source[name] for name in intent.table.key)


def _put_table_aside(way: _Comparison, head: Head) -> Spill:
    fields = [way.schema.field(name) for name in (*way.names, COLUMN_READ_AT, COLUMN_ORDER)]
    spill = Spill(pa.schema([*fields, pa.field(LIVE, pa.bool_())]).remove_metadata())
    store = way.tools.store
    try:
        for path, file in sorted(head.files.items()):
            key = f"{table_prefix(way.stream)}/{path}"
            opened = partial(open_ranged, store, key, file.size_bytes, SMALL_BYTES)
            for rows in read_table_keys(opened, path, way.schema, way.names):
                way.go_on()
                spill.write(rows.cast(spill.schema))
    except BaseException:
        spill.close()
        raise
    return spill


def _put_source_aside(way: _Comparison, snapshot: Snapshot) -> Spill:
    """Put the source's keys aside. A row is there though its cursor cannot be represented, so where there is such a
    row the keys are read again without it; then no row counts as settled.
    """
    cursor = way.intent.table.cursor
    spill, rejected = _read_source(way, snapshot, cursor)
    if cursor is not None and cursor in rejected - set(way.intent.table.key):
        spill.close()
        spill, _ = _read_source(way, snapshot, None)
    return spill


def _read_source(
    way: _Comparison, snapshot: Snapshot, cursor: str | None
) -> tuple[Spill, frozenset[str]]:
    """Read the whole object's keys; also give the columns for which rows were rejected."""
    intent = way.intent
    table = _only_keys(intent.table, cursor)
    columns = tuple(column for column in intent.columns if column.name in way.names)
    rejected: set[str] = set()
    fields = [way.schema.field(name) for name in way.names]
    spill = Spill(pa.schema([*fields, pa.field(SETTLED, pa.bool_())]).remove_metadata())
    try:
        for raw in snapshot.read(table, None, None):
            way.go_on()
            rejected.update(row.column for row in raw.rejected)
            rows = standardise_rows(raw.rows, columns, way.schema, intent.read_at, 0)
            is_settled = _is_settled(raw.rows, intent, cursor)
            keys = rows.select(list(way.names)).append_column(SETTLED, is_settled)
            spill.write(drop_keyless(keys, way.names).cast(spill.schema))
    except BaseException:
        spill.close()
        raise
    return spill, frozenset(rejected)


def _only_keys(table: SourceTable, cursor: str | None) -> SourceTable:
    """The whole object, of each row its key and perhaps its cursor; it is read in no window, so in no order."""
    wanted = {*table.key, cursor}
    columns = tuple(column for column in table.columns if column.name in wanted)
    return replace(table, columns=columns, cursor=None)


def _is_settled(rows: pa.RecordBatch, intent: Intent, cursor: str | None) -> pa.Array:
    """Say which rows earlier windows must have brought: `initial <= cursor < low`."""
    window, incremental = intent.window, intent.unit.incremental
    if cursor is None or window is None or window.low is None or incremental is None:
        return pa.repeat(pa.scalar(False), rows.num_rows)
    stamps = rows.column(cursor)
    if pa.types.is_integer(stamps.type):  # a bound may lie one above the column's greatest value
        stamps = stamps.cast(_WHOLE_NUMBER)
    is_settled = pc.less(stamps, _bound(intent.table, window, window.low, stamps.type))
    if incremental.initial is not None:
        first = _bound(intent.table, window, incremental.initial, stamps.type)
        is_settled = pc.and_(is_settled, pc.greater_equal(stamps, first))
    return pc.fill_null(is_settled, False)


def _bound(table: SourceTable, window: Window, text: str, kind: pa.DataType) -> pa.Scalar:
    value: Any = parse_cursor(table.column(window.cursor), text)
    return pa.scalar(value, kind)


def _warn(found: Difference, intent: Intent) -> tuple[str, ...]:
    if not found.missing_rows:
        return ()
    first = ", ".join(f"{name}={value}" for name, value in found.first_missing.items())
    return (
        f"{found.missing_rows:,} rows of {intent.unit.object} lie below the watermark and are not in the table, such "
        f"as {first}: no window brings them. They are in quarantine, or their cursor was set into the past; a change "
        "of their cursor or a higher epoch brings them.",
    )
