"""One view of a SQLite file: a read transaction that begins while no writer is open.

Called by `engine`. In the file's rollback-journal mode a reader makes writers wait at their commit,
in WAL mode it does not; that is SQLite's own rule, and a reason to keep reads of busy files short.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Select

from dpp_core.errors import DppError, InternalError
from dpp_core.handover import Unit
from dpp_core.names import Reason
from dpp_extractor.batch import FoundObject, RawBatch, SourceTable, Window
from dpp_extractor.extract.database import query
from dpp_extractor.extract.database.fields import refuse_large
from dpp_extractor.extract.database.gauge import Gauge
from dpp_extractor.extract.database.limits import Limits, Retrying
from dpp_extractor.extract.database.sqlite import bounds
from dpp_extractor.extract.database.sqlite.catalogue import Found, find_object
from dpp_extractor.extract.database.sqlite.connect import no_writer, open_file, translated
from dpp_extractor.extract.database.sqlite.discover import list_objects
from dpp_extractor.extract.database.sqlite.rows import build_batch
from dpp_extractor.extract.database.window import future_from
from dpp_extractor.ports import Clocks, Counted, Load, Wanted

_NOW: Final = "SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')"
_FETCH_ROWS: Final = 512
_FIRST_FETCH_ROWS: Final = 16
_NUMBER_BYTES: Final = 8
_WIDE: Final = frozenset({str, bytes})


class SqliteSource:
    """An open SQLite file; `snapshot` can be taken again after the one before was closed."""

    def __init__(self, path: str, connection: sqlite3.Connection, limits: Limits) -> None:
        self._path = path
        self._connection = connection
        self._limits = limits

    def ping(self) -> str:
        with self.snapshot() as view:
            clocks = view.clocks
            lag = "horizon exact" if clocks.is_exclusive else f"no horizon ({clocks.holder})"
        return f"SQLite {sqlite3.sqlite_version}, {lag}"

    def discover(self, is_wanted: Wanted) -> tuple[FoundObject, ...]:
        with translated("Listing the file's tables"):
            return list_objects(self._connection, is_wanted)

    @contextmanager
    def snapshot(self) -> Iterator["SqliteSnapshot"]:
        """Read the clock while no writer is open, then begin the read transaction; leaving ends
        it.
        """
        with no_writer(self._path, self._limits) as refusal, translated("Reading the SQLite file"):
            clock_at = _read_now(self._connection)
            self._connection.execute("BEGIN")
            # The transaction begins with its first read.
            self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            snapshot_at = _read_now(self._connection)
        try:
            clocks = (
                Clocks(clock_at, None, refusal, Reason.NO_HORIZON.value)
                if refusal
                else Clocks(clock_at, clock_at, is_exclusive=True)
            )
            identity = f"sqlite@{snapshot_at.isoformat(timespec='milliseconds')}"
            yield SqliteSnapshot(self._connection, self._limits, clocks, snapshot_at, identity)
        finally:
            self._connection.rollback()


@contextmanager
def open_sqlite(path: str, limits: Limits, retrying: Retrying) -> Iterator[SqliteSource]:
    """Open the file for reading only and close it in the end."""
    with closing(retrying(lambda: _open_reader(path, limits))) as connection:
        yield SqliteSource(path, connection, limits)


@dataclass(slots=True)
class SqliteSnapshot:
    """The open view; see `ports.Snapshot` for what each method promises."""

    _connection: sqlite3.Connection
    _limits: Limits
    clocks: Clocks
    snapshot_at: datetime
    snapshot_id: str
    counted: dict[tuple[str, str], Counted] = field(default_factory=dict)
    _found: dict[str, Found] = field(default_factory=dict)
    _gauge: Gauge = field(init=False)

    def __post_init__(self) -> None:
        self._gauge = Gauge(self._limits.clock, self._limits.notes)

    def describe(self, unit: Unit) -> SourceTable:
        with translated(f"Describing {unit.object!r}"):
            found = find_object(self._connection, unit)
        self._found[unit.object] = found
        return found.table

    def max_cursor(self, table: SourceTable, column: str) -> int | None:
        statement = query.build_max(
            self._described(table).relation, column, bounds.is_integer, table
        )
        value = self._rows(statement, f"Reading the greatest {column!r}")[0][0]
        return None if value is None else int(value)

    def count_null_cursor(self, table: SourceTable, column: str) -> int:
        unusable = bounds.build_unusable(table.column(column))
        statement = query.build_count_without(
            self._described(table).relation, table, column, unusable
        )
        return int(self._rows(statement, f"Counting rows without {column!r}")[0][0])

    def count_future(self, table: SourceTable, column: str) -> tuple[int, str]:
        source = table.column(column)
        limit = future_from(source, self.clocks)
        if limit is None:
            return 0, ""
        relation = self._described(table).relation
        later = bounds.build_later(source, limit)
        count_rows = query.build_count(relation, column, later, table)
        first = query.build_first(relation, table, column, later)
        what = f"Counting rows of the future by {column!r}"
        count = int(self._rows(count_rows, what)[0][0])
        return count, query.key_text(table, column, self._rows(first, what)[0]) if count else ""

    def estimate_rows(self, table: SourceTable, window: Window | None) -> int | None:
        """Count them: SQLite guesses nothing, and a file is small."""
        within = bounds.build_bounds(table, window) if window else None
        relation = self._described(table).relation
        first = window.cursor if window else table.columns[0].name
        of = table if window else None
        statement = query.build_count(relation, first, within or (lambda cursor: []), of)
        return int(self._rows(statement, f"Counting rows of {table.object!r}")[0][0])

    def duplicate_keys(self, table: SourceTable, window: Window | None) -> tuple[str, ...]:
        if table.key_is_unique or not table.key:
            return ()
        within = bounds.build_bounds(table, window) if window else None
        statement = query.build_duplicates(self._described(table).relation, table, within)
        rows = self._rows(statement, f"Looking for keys that occur twice in {table.object!r}")
        return tuple(query.key_text(table, "", row) for row in rows)

    def read(
        self, table: SourceTable, window: Window | None, limit_rows: int | None
    ) -> Iterator[RawBatch]:
        found = self._described(table)
        within = bounds.build_bounds(table, window) if window else None
        order = bounds.build_order(table.column(window.cursor)) if window else None
        statement = query.build_read(found.relation, table, {}, within, limit_rows, order)
        kind_of = {c.name: kind for c, kind in zip(found.table.columns, found.kinds, strict=True)}
        kinds = [kind_of[column.name] for column in table.columns]
        what = f"Reading {table.object!r}"
        with translated(what), self._gauge.statement(what):
            cursor = self._connection.execute(bounds.compile_statement(statement))
            for rows in _read_blocks(cursor, self._limits.most_block_bytes):
                if _size_bytes(rows) > self._limits.field_bytes:
                    for row in rows:
                        sizes = [_measure(cell) for cell in row]
                        refuse_large(table, row, sizes, self._limits.field_bytes)
                yield build_batch(rows, table.columns, kinds)
                self._limits.pace(len(rows))

    def take_load(self) -> Load:
        return self._gauge.take()

    def _described(self, table: SourceTable) -> Found:
        found = self._found.get(table.object)
        if found is None:
            raise InternalError(f"{table.object!r} was not described in this snapshot.")
        return found

    def _rows(self, statement: Select[Any], what: str) -> list[tuple[Any, ...]]:
        with translated(what), self._gauge.statement(what):
            return self._connection.execute(bounds.compile_statement(statement)).fetchall()


def _open_reader(path: str, limits: Limits) -> sqlite3.Connection:
    connection = open_file(path, "ro", limits)
    try:
        with translated(f"Opening the SQLite file {path!r}"):
            connection.execute("PRAGMA query_only = on")
            # Only now is the file looked at: a file of another kind is found here.
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except DppError:
        connection.close()
        raise
    return connection


def _read_now(connection: sqlite3.Connection) -> datetime:
    return datetime.fromisoformat(connection.execute(_NOW).fetchone()[0]).replace(tzinfo=UTC)


def _read_blocks(cursor: sqlite3.Cursor, block_bytes: int) -> Iterator[list[tuple[Any, ...]]]:
    """Fetch rows into lists of about `block_bytes`, by the size of the rows seen so far."""
    block: list[tuple[Any, ...]] = []
    size, count = 0, _FIRST_FETCH_ROWS
    while rows := cursor.fetchmany(count):
        block += rows
        fetched = _size_bytes(rows)
        size += fetched
        count = max(1, min(_FETCH_ROWS, block_bytes * len(rows) // max(1, fetched)))
        if size >= block_bytes:
            yield block
            block, size = [], 0
    if block:
        yield block


def _measure(cell: Any) -> int:
    return len(cell) if isinstance(cell, str | bytes) else 0


def _size_bytes(rows: Sequence[tuple[Any, ...]]) -> int:
    size = 0
    for cells in zip(*rows, strict=True):
        size += _NUMBER_BYTES * len(cells)
        if not _WIDE.isdisjoint(map(type, cells)):
            size += sum(len(cell) for cell in cells if isinstance(cell, str | bytes))
    return size
