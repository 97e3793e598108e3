"""One view of a MySQL or MariaDB server: opened after the clocks were taken, read by all units of a run.

Called by `engine`. One connection, one REPEATABLE READ, READ ONLY transaction with a consistent
snapshot, one unit after the other. Each question stands behind a savepoint, which is given back at
its end: that ends the lock on the table's definition, so that an ALTER TABLE of a table that was read
does not wait for the whole run, and all its users behind it. A MariaDB with a binary log keeps it.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pymysql
from sqlalchemy import Select

from dpp_core.errors import InternalError
from dpp_core.handover import Unit
from dpp_extractor.batch import FoundObject, RawBatch, SourceTable, Window
from dpp_extractor.extract.database import query
from dpp_extractor.extract.database.fields import refuse_large
from dpp_extractor.extract.database.gauge import Gauge
from dpp_extractor.extract.database.limits import Limits, Retrying
from dpp_extractor.extract.database.mysql import bounds, paging
from dpp_extractor.extract.database.mysql.catalogue import Found, find_object
from dpp_extractor.extract.database.mysql.clocks import explain_horizon, read_clocks
from dpp_extractor.extract.database.mysql.connect import (
    Cells,
    Session,
    fetch,
    fetch_pairs,
    run,
    translated,
)
from dpp_extractor.extract.database.mysql.discover import list_objects
from dpp_extractor.extract.database.mysql.estimate import read_estimate
from dpp_extractor.extract.database.mysql.read import build_batch
from dpp_extractor.extract.database.mysql.stream import read_blocks
from dpp_extractor.extract.database.pages import (
    Cut,
    Place,
    build_page,
    choose_columns,
    find_high,
    read_in_pages,
)
from dpp_extractor.extract.database.window import future_from
from dpp_extractor.ports import Clocks, Counted, Load, Wanted


class MysqlSource:
    """A connected server; `snapshot` can be taken again after the one before was closed."""

    def __init__(self, session: Session, limits: Limits) -> None:
        self._session = session
        self._limits = limits

    def ping(self) -> str:
        told = explain_horizon(self._session)
        version = self._session.version.partition("-")[0]
        return f"{self._session.product} {version}, {told}"

    def discover(self, is_wanted: Wanted) -> tuple[FoundObject, ...]:
        with translated("Listing the source's tables"):
            return list_objects(self._session.connection, is_wanted)

    @contextmanager
    def snapshot(self) -> Iterator["MysqlSnapshot"]:
        """Take clock and horizon, then open the view. Leaving it ends the transaction."""
        clocks = read_clocks(self._session)
        connection = self._session.connection
        try:
            with translated("Opening a snapshot of the source"):
                run(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                at, identity = _identify(connection)
            at = max(at, clocks.clock_at)
            view = MysqlSnapshot(self._session, self._limits, clocks, at, identity)
            try:
                yield view
            finally:
                view.leave_read()
        finally:
            with suppress(pymysql.err.Error):
                run(connection, "ROLLBACK")


@contextmanager
def open_mysql(
    open_session: Callable[[], Session], limits: Limits, retrying: Retrying
) -> Iterator[MysqlSource]:
    """Connect, by the caller's patience, and close in the end."""
    session = retrying(open_session)
    try:
        yield MysqlSource(session, limits)
    finally:
        with suppress(pymysql.err.Error):
            session.connection.close()


@dataclass(slots=True)
class MysqlSnapshot:
    """The open view; see `ports.Snapshot` for what each method promises."""

    _session: Session
    _limits: Limits
    clocks: Clocks
    snapshot_at: datetime
    snapshot_id: str
    counted: dict[tuple[str, str], Counted] = field(default_factory=dict)
    _found: dict[str, Found] = field(default_factory=dict)
    _reading: Generator[RawBatch, None, None] | None = None
    _gauge: Gauge = field(init=False)

    def __post_init__(self) -> None:
        self._gauge = Gauge(self._limits.clock, self._limits.notes)

    def describe(self, unit: Unit) -> SourceTable:
        with self._question(f"Describing {unit.object!r}"):
            found = find_object(self._session.connection, unit)
        self._found[unit.object] = found
        return found.table

    def max_cursor(self, table: SourceTable, column: str) -> int | None:
        statement = query.build_max(self._described(table).relation, column, source=table)
        value = self._rows(table, statement, f"Reading the greatest {column!r}")[0][0]
        return None if value is None else int(value)

    def count_null_cursor(self, table: SourceTable, column: str) -> int:
        if not table.column(column).nullable:
            return 0
        statement = query.build_count_without(
            self._described(table).relation, table, column, query.is_null
        )
        return int(self._rows(table, statement, f"Counting rows without {column!r}")[0][0] or 0)

    def count_future(self, table: SourceTable, column: str) -> tuple[int, str]:
        limit = future_from(table.column(column), self.clocks)
        if limit is None:
            return 0, ""
        relation = self._described(table).relation
        later = bounds.build_later(limit)
        what = f"Counting rows of the future by {column!r}"
        count_rows = query.build_count(relation, column, later, table)
        count = int(self._rows(table, count_rows, what)[0][0] or 0)
        if not count:
            return 0, ""
        first = query.build_first(relation, table, column, later)
        return count, query.key_text(table, column, self._rows(table, first, what)[0])

    def estimate_rows(self, table: SourceTable, window: Window | None) -> int | None:
        """Ask the optimiser; no row of the result is read."""
        within = bounds.build_bounds(table, window) if window else None
        statement = query.build_read(self._described(table).relation, table, {}, within, None)
        with self._question(f"Estimating the rows of {table.object!r}", table):
            return read_estimate(self._session, bounds.compile_statement(statement))

    def duplicate_keys(self, table: SourceTable, window: Window | None) -> tuple[str, ...]:
        if table.key_is_unique or not table.key:
            return ()
        within = bounds.build_bounds(table, window) if window else None
        statement = bounds.build_duplicates(self._described(table).relation, table, within)
        what = f"Looking for keys that occur twice in {table.object!r}"
        rows = self._rows(table, statement, what)
        return tuple(query.key_text(table, "", row) for row in rows)

    def read(
        self, table: SourceTable, window: Window | None, limit_rows: int | None
    ) -> Iterator[RawBatch]:
        self.leave_read()
        self._reading = self._read(table, window, limit_rows)
        return self._reading

    def take_load(self) -> Load:
        return self._gauge.take()

    def leave_read(self) -> None:
        """End a read that was given up: its rows would stand before any other answer."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _read(
        self, table: SourceTable, window: Window | None, limit_rows: int | None
    ) -> Generator[RawBatch, None, None]:
        found = self._described(table)
        within = bounds.build_bounds(table, window) if window else None
        statement = query.build_read(found.relation, table, found.forms, within, limit_rows)
        most = self._limits.read_seconds
        columns = choose_columns(table, window, paging.TONGUE) if most and not limit_rows else ()
        with self._behind_savepoint(f"Reading {table.object!r}", table):
            if most and columns:
                cursor = window.cursor if window else None
                cut = Cut(found.relation, columns, within, cursor, paging.TONGUE)
                yield from read_in_pages(
                    lambda low, rows: self._find_high(cut, low, rows),
                    lambda low, high: self._read_one(
                        table, statement.where(*build_page(cut, low, high))
                    ),
                    most,
                    self._limits.clock,
                )
            else:
                yield from self._gauge.watch_whole(
                    self._read_one(table, statement), table, window, most
                )

    def _read_one(self, table: SourceTable, statement: Select[Any]) -> Iterator[RawBatch]:
        written = bounds.compile_statement(statement, self._session.mark)
        limits = self._limits
        with self._gauge.statement(f"Reading {table.object!r}"), ExitStack() as stack:
            # Closed at once also when a block is refused: what follows needs the connection.
            blocks = stack.enter_context(
                closing(
                    read_blocks(
                        self._session.connection,
                        written,
                        limits.most_block_bytes,
                        self._end_statement,
                    )
                )
            )
            for block in blocks:
                sizes = [len(cell or b"") for cell in block[-1]]
                refuse_large(table, block[-1], sizes, limits.field_bytes)
                yield build_batch(block, table.columns)
                limits.pace(len(block))

    def _find_high(self, cut: Cut, low: Place | None, rows: int) -> Place | None:
        with self._gauge.statement("Finding the end of a page"):
            return find_high(cut, low, rows, self._ask_place)

    def _ask_place(self, statement: Select[Any]) -> Place | None:
        written = bounds.compile_statement(statement, self._session.mark)
        rows = fetch(self._session.connection, written)
        return tuple(cell or "" for cell in rows[0]) if rows else None

    def _end_statement(self) -> None:
        """End the running statement from a second connection: the first one is busy with it."""
        other = self._session.reopen()
        try:
            run(other, f"KILL QUERY {self._session.connection.thread_id()}")
        finally:
            other.close()

    def _described(self, table: SourceTable) -> Found:
        found = self._found.get(table.object)
        if found is None:
            raise InternalError(f"{table.object!r} was not described in this snapshot.")
        return found

    def _rows(self, table: SourceTable, statement: Select[Any], what: str) -> list[Cells]:
        with self._question(what, table):
            written = bounds.compile_statement(statement, self._session.mark)
            return fetch(self._session.connection, written)

    @contextmanager
    def _question(self, what: str, table: SourceTable | None = None) -> Iterator[None]:
        self.leave_read()
        with self._behind_savepoint(what, table), self._gauge.statement(what):
            yield

    @contextmanager
    def _behind_savepoint(self, what: str, table: SourceTable | None) -> Iterator[None]:
        grant = self._found[table.object].grant if table and table.object in self._found else ""
        connection = self._session.connection
        with translated(what, grant):
            run(connection, "SAVEPOINT dpp")
            try:
                yield
            finally:
                with suppress(pymysql.err.Error):
                    run(connection, "ROLLBACK TO SAVEPOINT dpp")


def _identify(connection: Any) -> tuple[datetime, str]:
    """Read the view's instant, and its place in the binary log where the server tells it."""
    now = fetch(connection, "SELECT UTC_TIMESTAMP(6)")[0][0] or ""
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    place = fetch_pairs(connection, "SHOW SESSION STATUS LIKE 'binlog_snapshot_%'")
    file = place.get("Binlog_snapshot_file")
    if file:
        return at, f"{file}:{place.get('Binlog_snapshot_position')}"
    return at, f"innodb@{at.isoformat(timespec='microseconds')}"
