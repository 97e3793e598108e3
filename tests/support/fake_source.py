"""A source in memory that obeys `ports.Source`, with a clock that only tests move and transactions that commit late.

Called by unit tests of the run and by the source contract, which holds it against SQLite and PostgreSQL. A row that an
open transaction writes is stamped with the transaction's start, as real writers do, and is seen when it commits.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from dpp_core.errors import SourceObjectError
from dpp_core.handover import Unit
from dpp_extractor.batch import (
    FoundColumn,
    FoundObject,
    RawBatch,
    Rejected,
    SourceColumn,
    SourceTable,
    Window,
)
from dpp_extractor.extract.database.columns import select_table
from dpp_extractor.extract.database.unfit import choose_dropped, count_nulled
from dpp_extractor.extract.database.window import future_from, parse_cursor
from dpp_extractor.ports import Clocks, Counted, Load, Wanted

Row = dict[str, Any]

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")


class Broken(str):
    """A cell that the standard type cannot hold: its row is rejected while it is read."""

    __slots__ = ()


def column(name: str, arrow_type: pa.DataType, *, nullable: bool = True) -> SourceColumn:
    """Describe a column as a catalogue would."""
    return SourceColumn(name, str(arrow_type), arrow_type, nullable)


ORDERS = (
    column("id", pa.int64(), nullable=False),
    column("item", pa.string()),
    column("updated_at", INSTANT),
)


@dataclass(slots=True)
class FakeTable:
    """Committed rows. `unique` is the key the source enforces; without one a write only adds.

    `indexed` are the columns that an index begins with.
    """

    columns: tuple[SourceColumn, ...] = ORDERS
    rows: list[Row] = field(default_factory=list)
    unique: tuple[str, ...] = ("id",)
    indexed: tuple[str, ...] = ("updated_at",)

    def put(self, row: Row) -> None:
        """Write a row over the one of its key, or add it."""
        whole = {each.name: row.get(each.name) for each in self.columns}
        if self.unique:
            self.rows[:] = [old for old in self.rows if not self._is_same(old, whole)]
        self.rows.append(whole)

    def remove(self, *keys: Any) -> None:
        """Delete the rows whose first key column has one of these values."""
        self.rows[:] = [row for row in self.rows if row[self.unique[0]] not in keys]

    def add_column(self, added: SourceColumn) -> None:
        """Add a column, as ALTER TABLE does: NULL in every row there is."""
        self.columns = (*self.columns, added)
        for row in self.rows:
            row[added.name] = None

    def _is_same(self, left: Row, right: Row) -> bool:
        return all(left[name] == right[name] for name in self.unique)


@dataclass(slots=True)
class FakeSource:
    """A source whose clock stands still until `tick`.

    `calls` takes down what was asked, in order; `before` is called with the same words first, which is where a test
    lets the world change or a fault in.
    """

    tables: dict[str, FakeTable] = field(default_factory=lambda: {"orders": FakeTable()})
    clock: datetime = START
    has_horizon: bool = True
    batch_rows: int = 2
    calls: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda call: None
    open_transactions: list["FakeTransaction"] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def tick(self, seconds: float = 1.0) -> None:
        self.clock += timedelta(seconds=seconds)

    def put(self, table: str, *rows: Row) -> None:
        """Write rows in a transaction that commits at once."""
        for row in rows:
            self.tables[table].put(row)

    def begin(self) -> "FakeTransaction":
        """Begin a transaction; it holds the horizon until it commits."""
        opened = FakeTransaction(self, self.clock)
        self.open_transactions.append(opened)
        return opened

    def ping(self) -> str:
        self.note("ping")
        return "fake source"

    def discover(self, is_wanted: Wanted) -> tuple[FoundObject, ...]:
        self.note("discover")
        return tuple(
            _describe_found(name, table)
            for name, table in sorted(self.tables.items())
            if is_wanted(name, f"main.{name}")
        )

    def note(self, call: str) -> None:
        self.before(call)
        self.calls.append(call)

    @contextmanager
    def open(self) -> Iterator["FakeSource"]:
        """Connect, as `Tools.open_source` does."""
        self.note("connect")
        try:
            yield self
        finally:
            self.calls.append("disconnect")

    @contextmanager
    def snapshot(self) -> Iterator["FakeSnapshot"]:
        self.note("clocks")
        oldest = min((each.started_at for each in self.open_transactions), default=self.clock)
        clocks = (
            Clocks(self.clock, oldest, "a transaction" if self.open_transactions else "")
            if self.has_horizon
            else Clocks(self.clock, None, "nobody may look", "NoHorizon", fix="GRANT look TO me;")
        )
        self.note("snapshot")
        yield FakeSnapshot(self, copy.deepcopy(self.tables), clocks, self.clock)
        self.calls.append("close")


@dataclass(slots=True)
class FakeTransaction:
    """An open transaction: its rows carry its start and are seen when it commits."""

    source: FakeSource
    started_at: datetime
    written: list[tuple[str, Row]] = field(default_factory=list)

    def put(self, table: str, *rows: Row) -> None:
        self.written += [(table, {"updated_at": self.started_at, **row}) for row in rows]

    def commit(self) -> None:
        for table, row in self.written:
            self.source.tables[table].put(row)
        self.source.open_transactions.remove(self)


@dataclass(slots=True)
class FakeSnapshot:
    """The tables as they were; what happens to the source later is not seen."""

    source: FakeSource
    tables: dict[str, FakeTable]
    clocks: Clocks
    snapshot_at: datetime
    counted: dict[tuple[str, str], Counted] = field(default_factory=dict)

    @property
    def snapshot_id(self) -> str:
        return f"fake@{self.snapshot_at.isoformat()}"

    def describe(self, unit: Unit) -> SourceTable:
        self.source.note(f"describe {unit.object}")
        if unit.object not in self.tables:
            raise SourceObjectError(
                f"The fake source has no {unit.object!r}.",
                field=f"datasets[{unit.dataset}].object",
                fix=f"It has: {', '.join(self.tables)}.",
            )
        found = self.tables[unit.object]
        return select_table(unit, found.columns, [found.unique] if found.unique else [])

    def max_cursor(self, table: SourceTable, column: str) -> Any:
        values = [_compared(table, row, column) for row in self._rows(table)]
        values = [value for value in values if value is not None]
        return max(values, default=None)

    def count_null_cursor(self, table: SourceTable, column: str) -> int:
        return sum(_compared(table, row, column) is None for row in self._rows(table))

    def count_future(self, table: SourceTable, column: str) -> tuple[int, str]:
        limit: Any = future_from(table.column(column), self.clocks)
        if limit is None:
            return 0, ""
        stamped = [row for row in self._rows(table) if not isinstance(row[column], Broken | None)]
        late = [row for row in stamped if row[column] > limit]
        first = min(late, key=_order(table, column), default=None)
        return len(late), "" if first is None else _key_text(table, first, column)

    def estimate_rows(self, table: SourceTable, window: Window | None) -> int | None:
        return len(self._within(table, window))

    def duplicate_keys(self, table: SourceTable, window: Window | None) -> tuple[str, ...]:
        if table.key_is_unique or not table.key:
            return ()
        seen: dict[tuple[Any, ...], list[Row]] = {}
        for row in self._within(table, window):
            if any(row[name] is None for name in table.key):
                continue  # goes to quarantine
            seen.setdefault(tuple(row[name] for name in table.key), []).append(row)
        twice = sorted((key for key, rows in seen.items() if len(rows) > 1), key=str)
        return tuple(_key_text(table, seen[key][0]) for key in twice[:3])

    def read(
        self, table: SourceTable, window: Window | None, limit_rows: int | None
    ) -> Iterator[RawBatch]:
        rows = self._within(table, window)[:limit_rows]
        for start in range(0, len(rows), self.source.batch_rows):
            self.source.note(f"read {table.object}")
            yield _batch(rows[start : start + self.source.batch_rows], table.columns)

    def take_load(self) -> Load:
        """A statement of two seconds, in a snapshot as old as the clock says."""
        age_seconds = (self.source.clock - self.snapshot_at).total_seconds()
        return Load(1, 2.0, "Reading", age_seconds, self.source.notes)

    def _rows(self, table: SourceTable) -> list[Row]:
        return self.tables[table.object].rows

    def _within(self, table: SourceTable, window: Window | None) -> list[Row]:
        if window is None:
            return self._rows(table)
        compared = table.column(window.cursor)
        high: Any = parse_cursor(compared, window.high)
        low: Any = None if window.low is None else parse_cursor(compared, window.low)
        rows = [
            row
            for row in self._rows(table)
            if _lies_within(table, _compared(table, row, window.cursor), low, high)
        ]
        return sorted(rows, key=_order(table, window.cursor))


def _describe_found(name: str, table: FakeTable) -> FoundObject:
    columns = tuple(
        FoundColumn(
            each.name,
            each.source_type,
            each.arrow_type,
            each.nullable,
            (f"by_{each.name}",) if each.name in table.indexed else (),
        )
        for each in table.columns
    )
    return FoundObject(name, f"main.{name}", "table", columns, table.unique, len(table.rows))


def _compared(table: SourceTable, row: Row, cursor: str) -> Any:
    value = row[cursor]
    return row[table.coalesce] if value is None and table.coalesce is not None else value


def _lies_within(table: SourceTable, value: Any, low: Any, high: Any) -> bool:
    if value is None:
        return table.brings_nulls
    return not isinstance(value, Broken) and value < high and (low is None or value >= low)


def _order(table: SourceTable, cursor: str) -> Callable[[Row], list[tuple[bool, Any]]]:
    return lambda row: [(row[name] is None, row[name] or 0) for name in (cursor, *table.key)]


def _key_text(table: SourceTable, row: Row, other: str = "") -> str:
    return ", ".join(f"{name}={row[name]}" for name in table.key or (other,))


def _batch(rows: Sequence[Row], columns: Sequence[SourceColumn]) -> RawBatch:
    refused: dict[int, list[int]] = {}
    for place, each in enumerate(columns):
        found = [number for number, row in enumerate(rows) if isinstance(row[each.name], Broken)]
        refused |= {place: found} if found else {}
    dropped = choose_dropped(refused, columns)
    good = [row for number, row in enumerate(rows) if number not in dropped]
    arrays = [
        pa.array([_fitted(row[each.name]) for row in good], each.arrow_type) for each in columns
    ]
    batch = pa.RecordBatch.from_arrays(arrays, names=[each.name for each in columns])
    rejected = tuple(_reject(rows[row], columns, dropped[row]) for row in sorted(dropped))
    return RawBatch(batch, rejected, count_nulled(refused, dropped, columns))


def _fitted(cell: Any) -> Any:
    return None if isinstance(cell, Broken) else cell


def _reject(row: Row, columns: Sequence[SourceColumn], place: int) -> Rejected:
    values = {each.name: _as_text(row[each.name]) for each in columns}
    return Rejected(values, "type", columns[place].name, "not of the column's type")


def _as_text(cell: object) -> str | None:
    if cell is None:
        return None
    return cell.isoformat() if isinstance(cell, date) else str(cell)
