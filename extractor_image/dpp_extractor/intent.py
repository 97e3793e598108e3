"""What one unit is going to do, fixed before its first row is read: window, columns, schema, kind of commit.

Called by `unit`. It asks the snapshot for facts and leaves every decision to the pure parts of the stages.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa

from dpp_core.errors import SchemaChangedError, StreamError
from dpp_core.handover import RunRequest, Unit
from dpp_core.names import Reason
from dpp_extractor.batch import Column, Mark, SourceColumn, SourceTable, Window
from dpp_extractor.check.rules import check_key, check_null_cursor
from dpp_extractor.counters import find_greatest
from dpp_extractor.extract.database.window import cursor_kind, decide_window
from dpp_extractor.ports import Snapshot
from dpp_extractor.publish.admit import Admission, Block, admit, decide_read_at, find_approval
from dpp_extractor.publish.draft import Kind
from dpp_extractor.publish.fold import Head
from dpp_extractor.publish.identity import Identity, build_identity
from dpp_extractor.standardise.columns import build_schema, plan_columns
from dpp_extractor.standardise.deletes import plan_mark
from dpp_extractor.standardise.evolve import SchemaPlan, decide_schema, schema_fingerprint


@dataclass(frozen=True, slots=True)
class Intent:
    """The unit's plan in one value. `window` None = the whole object, or nothing when the unit has a cursor."""

    unit: Unit
    kind: Kind
    table: SourceTable
    window: Window | None
    is_unchanged: bool
    columns: tuple[Column, ...]
    schema: pa.Schema
    fingerprint: str
    identity: Identity
    read_at: datetime
    approved: tuple[str, ...]
    warnings: tuple[str, ...]
    always_commits: bool
    future_rows: int = 0
    mark: Mark | None = None

    @property
    def reads_nothing(self) -> bool:
        """True when no row can be new yet: an empty table, or `initial` in the future."""
        window = self.window
        if self.unit.incremental is None:
            return False
        return window is None or (window.low == window.high and not window.with_nulls)

    @property
    def compares_keys(self) -> bool:
        """True when rows that went are looked for: there is a table that goes on."""
        return self.unit.compares_keys and self.kind == "append" and not self.always_commits


def decide_intent(
    unit: Unit, head: Head, snapshot: Snapshot, request: RunRequest, blocks: tuple[Block, ...]
) -> Intent:
    """Fix what the unit does. Raises what forbids it: 20, 24, 25, 29 or 31."""
    table = snapshot.describe(unit)
    kind_of_cursor = cursor_kind(table.column(table.cursor)) if table.cursor else ""
    identity = build_identity(request.source, unit, kind_of_cursor)
    admission = admit(head, unit, identity, blocks)
    null_rows = _count_nulls(unit, table, snapshot)
    found = find_window(unit, table, admission, snapshot)
    window = _complete(unit, table, admission, found, null_rows)
    columns = plan_columns(table, unit)
    replaces_all = admission.kind in ("replace", "reset")
    schema = decide_schema(
        unit.dataset,
        None if admission.kind == "reset" else head.schema,
        build_schema(columns),
        replaces_all=replaces_all,
    )
    approved = admission.approved + approve_schema(unit, schema, head, blocks)
    reads_nothing = _reads_no_row(unit, found, window)
    future = snapshot.count_future(table, window.cursor) if window else (0, "")
    if not reads_nothing:
        check_key(unit.dataset, unit.key, snapshot.duplicate_keys(table, window))
    return Intent(
        unit=unit,
        kind=admission.kind,
        table=table,
        window=window,
        is_unchanged=reads_nothing and _is_settled(unit, head, admission),
        columns=columns,
        schema=schema.schema,
        fingerprint=schema_fingerprint(schema.schema),
        identity=identity,
        read_at=decide_read_at(head, snapshot.snapshot_at),
        approved=approved,
        warnings=_warnings(window, snapshot, schema, null_rows) + _warn_future(window, *future),
        always_commits=replaces_all or head.live is None,
        future_rows=future[0],
        mark=plan_mark(unit, columns),
    )


def _reads_no_row(unit: Unit, found: Window | None, window: Window | None) -> bool:
    with_nulls = window is not None and window.with_nulls
    return unit.incremental is not None and found is None and not with_nulls


def _is_settled(unit: Unit, head: Head, admission: Admission) -> bool:
    """Say whether a unit that reads nothing has nothing to do at all."""
    return head.live is not None and admission.kind != "reset" and not unit.compares_keys


def _count_nulls(unit: Unit, table: SourceTable, snapshot: Snapshot) -> int:
    """Count the rows without a cursor; raise what forbids them."""
    if unit.incremental is None or table.cursor is None:
        return 0
    null_rows = snapshot.count_null_cursor(table, table.cursor)
    check_null_cursor(unit.dataset, table.cursor, null_rows, unit.incremental.nulls)
    return null_rows


def find_window(
    unit: Unit, table: SourceTable, admission: Admission, snapshot: Snapshot
) -> Window | None:
    """Find the window that a unit reads; None for a whole object, and when nothing can be new."""
    if unit.incremental is None or table.cursor is None:
        return None
    low = admission.low
    if low is not None and not isinstance(low, str):
        raise StreamError(
            f"The last commit of {unit.dataset} ends in the middle of a window, at {low.cursor}; this extractor does "
            "not go on from there.",
            reason=Reason.STREAM_FORMAT_NEWER,
            fix="Use the extractor image that wrote it, or a newer one.",
        )
    column = _compared_column(table, table.cursor)
    is_integer = cursor_kind(column) == "integer"
    max_cursor = find_greatest(snapshot, table, column.name) if is_integer else None
    return decide_window(unit.incremental, column, low, snapshot.clocks, max_cursor)


def _compared_column(table: SourceTable, cursor: str) -> SourceColumn:
    """Give the cursor with the coarser precision of the two columns that windows compare."""
    column = table.column(cursor)
    if table.coalesce is None:
        return column
    digits = min(column.second_digits, table.column(table.coalesce).second_digits)
    return replace(column, second_digits=digits)


def _complete(
    unit: Unit, table: SourceTable, admission: Admission, found: Window | None, null_rows: int
) -> Window | None:
    """Give the window that is read, also when no row is new by its cursor but others may be read or gone."""
    with_nulls = null_rows > 0 and table.brings_nulls
    if found is None and (with_nulls or unit.compares_keys):
        found = _stand_still(table, admission)
    return replace(found, with_nulls=True) if found and with_nulls else found


def _stand_still(table: SourceTable, admission: Admission) -> Window | None:
    """Give the empty window at the watermark: rows without a cursor, or deleted rows, may be committed though no
    row can be new by its cursor.
    """
    if table.cursor is None or not isinstance(admission.low, str):
        return None
    kind = cursor_kind(table.column(table.cursor))
    return Window(table.cursor, kind, admission.low, admission.low)


def approve_schema(
    unit: Unit, plan: SchemaPlan, head: Head, blocks: tuple[Block, ...]
) -> tuple[str, ...]:
    """Give the approval that lets a change of the columns through; raise what blocks it otherwise."""
    block: SchemaChangedError | None = plan.block
    if block is None:
        return ()
    wanted = (unit.dataset, block.reason, block.fingerprint)
    approval = find_approval(blocks, head.consumed, wanted) if block.fingerprint else None
    if approval is None:
        raise block
    return (approval,)


def _warnings(
    window: Window | None, snapshot: Snapshot, schema: SchemaPlan, null_rows: int
) -> tuple[str, ...]:
    found = [f"Column {name} is new." for name in schema.added]
    found += [f"Column {name} became wider." for name in schema.widened]
    if window is None:
        return tuple(found)
    if window.reason:
        found.append(f"{window.reason}: {snapshot.clocks.holder}".rstrip(": "))
    if window.with_nulls:
        found.append(
            f"{null_rows:,} rows without {window.cursor} are read in each run (nulls: Include)."
        )
    elif null_rows:
        found.append(f"{null_rows:,} rows without {window.cursor} were left out (nulls: Exclude).")
    return tuple(found)


def _warn_future(window: Window | None, rows: int, first: str) -> tuple[str, ...]:
    if window is None or not rows:
        return ()
    return (
        f"{rows:,} rows have a {window.cursor} more than a day ahead of the source's clock, the first is {first}; "
        "they come when their time does.",
    )
