"""The nouns that travel through the stages: columns, windows, batches, parts.

Every stage takes and returns these; none of them does I/O. Shapes: one RecordBatch is at most ~8 MiB; instants are
UTC-aware; a window is half-open `[low, high)` (data-log.md, Windows).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from dpp_core.names import Unfit

Fidelity = Literal["exact", "text", "floored", "widened"]
"""What the standard type keeps: all of the value, its text, its microseconds, or all in a wider type."""


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column as the source has it, with the Arrow type it is read as (data-log.md, Types).

    `name` is the source's own name, `source_type` its type's text, `nullable` as the catalogue says.
    `second_digits` are the fractional digits that a timestamp of this column surely keeps: windows floor to it.
    `may_be_unfit` is False when the Arrow type holds every value of the source's type; else `unfit` says what is done.
    """

    name: str
    source_type: str
    arrow_type: pa.DataType
    nullable: bool = True
    fidelity: Fidelity = "exact"
    second_digits: int = 6
    may_be_unfit: bool = True
    unfit: Unfit = "Quarantine"


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A dataset's object as found in the snapshot, restricted to the unit's include/exclude.

    `key`, `cursor` and `coalesce` are source names; where the cursor is NULL, `coalesce` is compared instead.
    With `brings_nulls` rows without a cursor are part of every window.
    `key_is_unique` is True when the source itself enforces the key.
    """

    object: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...] = ()
    cursor: str | None = None
    key_is_unique: bool = False
    coalesce: str | None = None
    brings_nulls: bool = False

    def column(self, name: str) -> SourceColumn:
        return next(column for column in self.columns if column.name == name)


CursorKind = Literal["timestamp", "date", "integer"]


@dataclass(frozen=True, slots=True)
class Window:
    """`[low, high)` on the cursor, as canonical text; `low` None = from the beginning.

    Timestamps are ISO 8601 with microseconds (and `+00:00` when zoned), dates YYYY-MM-DD, integers decimal.
    `holder` and `reason` tell what held `high` back. `with_nulls` says that rows without a cursor are read too, as
    there are some: then a window may be empty and its read is not.
    """

    cursor: str
    kind: CursorKind
    low: str | None
    high: str
    holder: str = ""
    reason: str = ""
    with_nulls: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot go on: its values as text by source column name, the rule and the column it broke."""

    values: dict[str, str | None]
    rule: str
    column: str
    detail: str


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Rows as read: Arrow under the source's names and SourceColumn types; `rejected` could not be represented.

    `nulled` counts, by source column, the values that became NULL because they could not be.
    """

    rows: pa.RecordBatch
    rejected: tuple[Rejected, ...] = ()
    nulled: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: standard name, Arrow type, and the source column it comes from."""

    name: str
    arrow_type: pa.DataType
    source_name: str
    source_type: str
    fidelity: Fidelity
    nullable: bool = True
    unfit: Unfit = "Quarantine"


@dataclass(frozen=True, slots=True)
class Mark:
    """The table's column that says that a row is deleted, and its value for that; None: any but NULL."""

    column: str
    value: pa.Scalar | None


@dataclass(frozen=True, slots=True)
class Part:
    """A finished data file: path relative to the table, for the `add` action. `stats` is Delta's, exact or absent."""

    path: str
    size_bytes: int
    rows: int
    checksum: str
    stats: dict[str, Any]
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by fate; `read = filtered + quarantined + written`, and those of `deleted` that were read.

    `deleted` rows say that a key is gone. Without a column that marks them they were not read: their keys were missed.
    `nulled` counts values, not rows, by column: those that became NULL because the type cannot hold them.
    """

    read: int = 0
    filtered: int = 0
    quarantined: int = 0
    written: int = 0
    future: int = 0
    nulled: Mapping[str, int] = field(default_factory=dict)
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """All that one unit wrote before its commit. `is_news` False = there is nothing to commit."""

    attempt_id: str
    parts: tuple[Part, ...]
    counts: Counts
    size_bytes: int
    approved: tuple[str, ...]
    is_news: bool
    quarantine_keys: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """A column in a source's catalogue; `indexes` are the names of those that begin with it."""

    name: str
    source_type: str
    arrow_type: pa.DataType
    nullable: bool
    indexes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundObject:
    """A table or view in a source's catalogue. `object` is its name as a resource writes it.

    `full_name` has the schema in it always. A `part` is a partition or child, which is read through its parent.
    `rows` and `size_bytes` are the source's own estimates, None when it has none. `grant` is the statement that makes
    it readable, "" when it is.
    """

    object: str
    full_name: str
    kind: Literal["table", "view", "part"]
    columns: tuple[FoundColumn, ...]
    key: tuple[str, ...] = ()
    rows: int | None = None
    size_bytes: int | None = None
    grant: str = ""
