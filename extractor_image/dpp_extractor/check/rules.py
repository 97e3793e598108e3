"""Row rules of this slice: key columns are never NULL. Broken rows go to quarantine with rule and column.

Called by `unit` once a batch. Pure: (rows, key) -> good rows and rejected ones. Uniqueness of a key is a rule of the
whole read and is asked of the source in the same snapshot, see `check_key`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dpp_core.errors import BlockedError
from dpp_core.names import Reason
from dpp_extractor.batch import Rejected, SourceTable

QUARANTINE_LIMIT_ROWS = 1_000
QUARANTINE_LIMIT_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Checked:
    """One batch, split: rows that go on and rows that do not."""

    good: pa.RecordBatch
    rejected: tuple[Rejected, ...]


def check_rows(rows: pa.RecordBatch, key: Sequence[str]) -> Checked:
    """Split off the rows with a NULL in a key column (rule `not_null`). Names are the source's."""
    with_nulls = [name for name in key if rows.column(name).null_count]
    if not with_nulls:
        return Checked(rows, ())
    rejected: list[Rejected] = []
    for name in with_nulls:
        is_null = pc.is_null(rows.column(name))
        rejected += [
            Rejected(values, "not_null", name, "a key column is NULL")
            for values in rows_as_text(rows.filter(is_null))
        ]
        rows = rows.filter(pc.invert(is_null))
    return Checked(rows, tuple(rejected))


def rows_as_text(rows: pa.RecordBatch) -> list[dict[str, str | None]]:
    """Show rows as text by column, for quarantine; bytes as hex."""
    return [{name: _as_text(value) for name, value in row.items()} for row in rows.to_pylist()]


def _as_text(value: object) -> str | None:
    if value is None:
        return None
    return value.hex() if isinstance(value, bytes) else str(value)


def check_key(dataset: str, key: Sequence[str], duplicates: Sequence[str]) -> None:
    """Block a dataset whose key is not unique in this read: its current state would hide rows."""
    if duplicates:
        raise BlockedError(
            f"Key [{', '.join(key)}] of {dataset} is not unique: {'; '.join(duplicates)}. Nothing was committed.",
            reason=Reason.KEY_NOT_UNIQUE,
            field="key",
            fix="Name the columns that make a row unique, or mend the rows at the source.",
        )


def check_unfit(dataset: str, table: SourceTable, rejected: Sequence[Rejected]) -> None:
    """Block a dataset in which a column of the word Fail has a value that its type cannot hold."""
    failing = {column.name for column in table.columns if column.unfit == "Fail"}
    row = next((row for row in rejected if row.column in failing), None)
    if row is None:
        return
    key = ", ".join(f"{name}={row.values.get(name)}" for name in table.key)
    raise BlockedError(
        f"A value of {row.column} in {dataset} cannot be held{f' (row {key})' if key else ''}: {row.detail}. "
        "Nothing was committed.",
        reason=Reason.VALUE_UNREPRESENTABLE,
        field="values",
        fix="Mend the row at the source, or choose Quarantine, SetNull or Text for the column in values.",
    )


def check_quarantine(dataset: str, rejected: Sequence[Rejected], rejected_bytes: int) -> None:
    """Block a dataset whose rejected rows no longer fit into quarantine: none may be lost."""
    if len(rejected) <= QUARANTINE_LIMIT_ROWS and rejected_bytes <= QUARANTINE_LIMIT_BYTES:
        return
    columns = Counter(row.column for row in rejected)
    told = "; ".join(f"{rows:,} by {column}" for column, rows in columns.most_common(3))
    first = rejected[0]
    raise BlockedError(
        f"More than {QUARANTINE_LIMIT_ROWS:,} rows or {QUARANTINE_LIMIT_BYTES // 1_000_000} MB of {dataset} break a "
        f"rule, more than quarantine holds: {told}. The first breaks {first.rule} in {first.column}: {first.detail}. "
        "Nothing was committed.",
        reason=Reason.QUARANTINE_FULL,
        field="datasets",
        fix="Mend the rows at the source, choose SetNull or Text for the column in values, or leave it out with "
        "columns.exclude.",
    )


def check_null_cursor(dataset: str, cursor: str, null_rows: int, nulls: str | None) -> None:
    """Block a dataset with NULL cursors, which no window would ever bring, unless the author chose what becomes of
    them.
    """
    if null_rows and nulls in (None, "Coalesce"):
        instead = ", and nothing in its stead" if nulls else ""
        raise BlockedError(
            f"{null_rows:,} rows of {dataset} have no {cursor}{instead}; no window would ever bring them. Nothing was "
            "committed.",
            reason=Reason.CURSOR_HAS_NULLS,
            field="incremental.nulls",
            fix="Set incremental.nulls: Exclude to leave them out knowingly (they are counted), Include to read them "
            "in each run, Coalesce to compare another column, or use write: Replace.",
        )
