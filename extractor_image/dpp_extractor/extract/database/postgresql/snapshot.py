"""One view of a PostgreSQL database: opened after the clocks were taken, read by all units of a
run.

Called by `engine`. One connection, one REPEATABLE READ READ ONLY transaction, one unit after the
other; each read and each question stands in a savepoint, so that a unit that fails leaves the view
to the others.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg
from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Select,
    Text,
    cast,
    literal,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql.base import PGDialect

from dpp_core.errors import InternalError, TemporaryFailure
from dpp_core.handover import Unit
from dpp_core.names import Reason
from dpp_extractor.batch import FoundObject, RawBatch, SourceTable, Window
from dpp_extractor.extract.database import query
from dpp_extractor.extract.database.fields import refuse_large
from dpp_extractor.extract.database.gauge import Gauge
from dpp_extractor.extract.database.limits import Limits
from dpp_extractor.extract.database.pages import (
    Cut,
    Place,
    build_page,
    choose_columns,
    find_high,
    read_in_pages,
)
from dpp_extractor.extract.database.postgresql import paging
from dpp_extractor.extract.database.postgresql.catalogue import Found, find_object
from dpp_extractor.extract.database.postgresql.clocks import explain_horizon, read_clocks
from dpp_extractor.extract.database.postgresql.connect import translated
from dpp_extractor.extract.database.postgresql.discover import list_objects
from dpp_extractor.extract.database.postgresql.read import measure_row, parse_block, read_blocks
from dpp_extractor.extract.database.window import (
    CursorValue,
    format_cursor,
    future_from,
    parse_cursor,
)
from dpp_extractor.ports import Clocks, Counted, Load, Wanted

_PRIMARY_VIEW: Final = text(
    "SELECT pg_catalog.clock_timestamp() AS at, pg_catalog.pg_export_snapshot() AS id"
)
_REPLICA_VIEW: Final = text(
    "SELECT pg_catalog.clock_timestamp() AS at, pg_catalog.txid_current_snapshot()::text AS id"
)

# What the snapshot sees as a table's file, against the file it has now: a TRUNCATE or rewrite that
# was committed after the snapshot makes the old rows vanish from it, without any error.
_REWRITTEN: Final = text("""
WITH RECURSIVE family AS (
    SELECT CAST(:oid AS oid) AS oid
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN family f ON i.inhparent = f.oid
)
SELECT count(*)
FROM family f JOIN pg_catalog.pg_class c ON c.oid = f.oid
WHERE c.relkind IN ('r', 'm')
    AND c.relfilenode <> coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)
""")


class PostgresSource:
    """A connected PostgreSQL; `snapshot` can be taken again after the one before was closed."""

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self._connection = connection
        self._limits = limits

    def ping(self) -> str:
        with translated("Asking the source for its version"):
            version = self._connection.execute(text("SHOW server_version")).scalar_one()
            self._connection.commit()
        return f"PostgreSQL {version}, {explain_horizon(self._connection)}"

    def discover(self, is_wanted: Wanted) -> tuple[FoundObject, ...]:
        with translated("Listing the source's tables"):
            found = list_objects(self._connection, is_wanted)
            self._connection.commit()
        return found

    @contextmanager
    def snapshot(self) -> Iterator["PostgresSnapshot"]:
        """Take clock and horizon, then open the view. Leaving it ends the transaction."""
        clocks = read_clocks(self._connection)
        # The mode belongs to the connection and lasts until it is changed back.
        connection = self._connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        try:
            with translated("Opening a snapshot of the source"):
                is_blind_replica = clocks.reason != "" and _is_replica(connection)
                view = connection.execute(
                    _REPLICA_VIEW if is_blind_replica else _PRIMARY_VIEW
                ).one()
            at = clocks.clock_at if is_blind_replica else max(view.at, clocks.clock_at)
            yield PostgresSnapshot(connection, self._limits, clocks, at, view.id)
        finally:
            _close_view(connection)


@dataclass(slots=True)
class PostgresSnapshot:
    """The open view; see `ports.Snapshot` for what each method promises."""

    _connection: Connection
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
        with self._question(f"Describing {unit.object!r}"):
            found = find_object(self._connection, unit)
        self._found[unit.object] = found
        return found.table

    def max_cursor(self, table: SourceTable, column: str) -> int | None:
        statement = query.build_max(self._relation(table), column, source=table)
        value = self._scalar(table, statement, f"Reading the greatest {column!r}")
        return None if value is None else int(value)

    def count_null_cursor(self, table: SourceTable, column: str) -> int:
        if not table.column(column).nullable:
            return 0
        statement = query.build_count_without(self._relation(table), table, column, query.is_null)
        return int(self._scalar(table, statement, f"Counting rows without {column!r}"))

    def count_future(self, table: SourceTable, column: str) -> tuple[int, str]:
        limit = future_from(table.column(column), self.clocks)
        if limit is None:
            return 0, ""
        bound = _bound(limit)
        relation = self._relation(table)

        def later(cursor: query.Expression) -> list[ColumnElement[bool]]:
            return [cursor > bound]

        count_rows = query.build_count(relation, column, later, table)
        first = query.build_first(relation, table, column, later)
        what = f"Counting rows of the future by {column!r}"
        with self._question(what, table):
            count = int(self._connection.execute(count_rows).scalar_one())
            key = self._connection.execute(first).first() if count else None
        return count, query.key_text(table, column, key) if key is not None else ""

    def estimate_rows(self, table: SourceTable, window: Window | None) -> int | None:
        """Ask the planner; nothing is read."""
        found = self._described(table)
        within = build_within(table, window) if window is not None else None
        statement = query.build_read(found.relation, table, {}, within, None)
        explain = f"EXPLAIN (FORMAT JSON) {compile_statement(statement)}"
        what = f"Estimating the rows of {table.object!r}"
        with self._question(what, table), self._driver().cursor() as cursor:
            answer = cursor.execute(explain.encode()).fetchone()
        return int(answer[0][0]["Plan"]["Plan Rows"]) if answer else None

    def duplicate_keys(self, table: SourceTable, window: Window | None) -> tuple[str, ...]:
        if table.key_is_unique or not table.key:
            return ()
        within = build_within(table, window) if window is not None else None
        statement = query.build_duplicates(self._relation(table), table, within)
        with self._question(f"Looking for keys that occur twice in {table.object!r}", table):
            rows = self._connection.execute(statement).all()
        return tuple(query.key_text(table, "", row) for row in rows)

    def read(
        self, table: SourceTable, window: Window | None, limit_rows: int | None
    ) -> Iterator[RawBatch]:
        found = self._described(table)
        within = build_within(table, window) if window is not None else None
        statement = query.build_read(found.relation, table, found.forms, within, limit_rows)
        what, most = f"Reading {table.object!r}", self._limits.read_seconds
        columns = choose_columns(table, window, paging.TONGUE) if most and not limit_rows else ()
        with self._behind_savepoint(what, table):
            if most and columns and found.has_encoding:
                cursor = window.cursor if window else None
                cut = Cut(found.relation, columns, within, cursor, paging.TONGUE)
                yield from read_in_pages(
                    lambda low, rows: self._find_high(cut, low, rows),
                    lambda low, high: self._read_one(
                        found, table, statement.where(*build_page(cut, low, high))
                    ),
                    most,
                    self._limits.clock,
                )
            else:
                yield from self._gauge.watch_whole(
                    self._read_one(found, table, statement), table, window, most
                )
            self._refuse_rewritten(found)

    def _read_one(
        self, found: Found, table: SourceTable, statement: Select[Any]
    ) -> Iterator[RawBatch]:
        copy = f"COPY ({compile_statement(statement)}) TO STDOUT (FORMAT csv)"
        limits = self._limits
        with self._gauge.statement(f"Reading {table.object!r}"), ExitStack() as stack:
            # Closed at once also when a block is refused: what follows needs the connection.
            messages = stack.enter_context(
                closing(self._copy(copy, has_encoding=found.has_encoding))
            )
            for block in read_blocks(messages, limits.most_block_bytes):
                if len(block[-1]) > limits.field_bytes:
                    refuse_large(table, *measure_row(block[-1], table.columns), limits.field_bytes)
                yield parse_block(block, table.columns)
                limits.pace(len(block))

    def _find_high(self, cut: Cut, low: Place | None, rows: int) -> Place | None:
        with self._gauge.statement("Finding the end of a page"):
            return find_high(cut, low, rows, self._ask_place)

    def _ask_place(self, statement: Select[Any]) -> Place | None:
        with self._driver().cursor() as cursor:
            found = cursor.execute(compile_statement(statement).encode()).fetchone()
        return None if found is None else tuple(found)

    def take_load(self) -> Load:
        return self._gauge.take()

    def _copy(
        self, statement: str, *, has_encoding: bool
    ) -> Generator[bytes | bytearray | memoryview, None, None]:
        """Send the statement and hand its rows on. Without an encoding the server would end the
        whole read at the first text that is no UTF-8, so it is asked for its bytes as they are.
        """
        with self._driver().cursor() as cursor:
            if not has_encoding:
                cursor.execute("SET LOCAL client_encoding = 'SQL_ASCII'")
            with cursor.copy(statement.encode()) as copy:
                yield from copy
            if not has_encoding:
                cursor.execute("SET LOCAL client_encoding = 'UTF8'")

    def _driver(self) -> "psycopg.Connection[Any]":
        driver = self._connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise InternalError("The driver connection is not psycopg's.")
        return driver

    def _refuse_rewritten(self, found: Found) -> None:
        if self._connection.execute(_REWRITTEN, {"oid": found.oid}).scalar_one():
            raise TemporaryFailure(
                f"Source object {found.table.object!r} was truncated or rewritten after the "
                "snapshot was taken, "
                "so its rows cannot be seen in it.",
                reason=Reason.SOURCE_READ_FAILED,
                fix="The next run reads it as it is then.",
            )

    def _described(self, table: SourceTable) -> Found:
        found = self._found.get(table.object)
        if found is None:
            raise InternalError(f"{table.object!r} was not described in this snapshot.")
        return found

    def _relation(self, table: SourceTable) -> query.Relation:
        return self._described(table).relation

    def _scalar(self, table: SourceTable, statement: Select[Any], what: str) -> Any:
        with self._question(what, table):
            return self._connection.execute(statement).scalar_one()

    @contextmanager
    def _question(self, what: str, table: SourceTable | None = None) -> Iterator[None]:
        with self._behind_savepoint(what, table), self._gauge.statement(what):
            yield

    @contextmanager
    def _behind_savepoint(self, what: str, table: SourceTable | None = None) -> Iterator[None]:
        grant = self._found[table.object].grant if table and table.object in self._found else ""
        with translated(what, grant), self._connection.begin_nested():
            yield


def compile_statement(statement: Select[Any]) -> str:
    """Write a statement with its bounds in it, as COPY takes no parameters.

    The named style keeps `%` single; the only literals are numbers and the canonical text of dates
    and timestamps.
    """
    dialect = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def build_within(table: SourceTable, window: Window) -> query.Where:
    """Say `low <= cursor < high` in the column's own type, so that an index on it serves."""
    column = table.column(window.cursor)
    high = _bound(parse_cursor(column, window.high))
    low = None if window.low is None else _bound(parse_cursor(column, window.low))
    if low is None:
        return query.or_missing(table, lambda cursor: [cursor < high])
    return query.or_missing(table, lambda cursor: [cursor >= low, cursor < high])


def _bound(value: CursorValue) -> ColumnElement[Any]:
    if isinstance(value, int):
        # Plain digits: max + 1 of a bigint column does not fit a bigint.
        return literal_column(str(value))
    kind = DateTime(timezone=value.tzinfo is not None) if isinstance(value, datetime) else Date()
    return cast(literal(format_cursor(value), Text()), kind)


def _is_replica(connection: Connection) -> bool:
    return bool(connection.execute(text("SELECT pg_catalog.pg_is_in_recovery()")).scalar_one())


def _close_view(connection: Connection) -> None:
    """Give the view up, also on a connection that is gone already."""
    try:
        connection.rollback()
        connection.execution_options(isolation_level="AUTOCOMMIT", postgresql_readonly=False)
    except Exception:  # noqa: BLE001 - clean-up: the reason for leaving is more useful than this
        connection.invalidate()
