"""Windows on a real MariaDB: late commits are neither lost nor doubled, whoever holds what."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pymysql
import pytest

from dpp_core.handover import Incremental, Unit
from dpp_core.names import Reason
from dpp_extractor.batch import Window
from dpp_extractor.extract.database.window import decide_window
from dpp_extractor.ports import Clocks, Snapshot
from mariadb_views import source_of
from servers.mariadb import MariaDb, Schema

STAMPED = "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP(6) NOT NULL DEFAULT NOW(6))"
UNIT = Unit(
    dataset="t", object="t", key=("id",), incremental=Incremental(cursor="at"), write="Append"
)
LONG_AGO = "2020-01-01T00:00:00.000000+00:00"


@pytest.fixture
def reader(mariadb: MariaDb, schema: Schema) -> Schema:
    """Give an account that reads all and sees other sessions."""
    schema.execute(STAMPED)
    return mariadb.create_reader(schema, can_monitor=True)


@contextmanager
def writer(schema: Schema) -> Iterator[Any]:
    with schema.connect(autocommit=False) as connection:
        yield connection.cursor()


def ids_of(view: Snapshot, window: Window | None) -> list[int]:
    table = view.describe(UNIT)
    return [row["id"] for b in view.read(table, window, None) for row in b.rows.to_pylist()]


def window_of(view: Snapshot, low: str | None, later_seconds: float = 0) -> Window | None:
    """Decide the window, as if some time had passed since the snapshot."""
    clocks: Clocks = view.clocks
    if later_seconds:
        later = clocks.clock_at + timedelta(seconds=later_seconds)
        clocks = replace(clocks, clock_at=later, horizon_at=later)
    column = view.describe(UNIT).column("at")
    return decide_window(Incremental(cursor="at"), column, low, clocks)


def wait_for(schema: Schema, statement: str) -> None:
    """Wait until the server says yes."""
    for _ in range(200):
        if schema.execute(statement)[0][0]:
            return
        schema.execute("DO SLEEP(0.02)")
    pytest.fail(f"never true: {statement}")


def test_a_transaction_open_at_the_clock_is_waited_for_and_then_read_once(
    schema: Schema, reader: Schema
) -> None:
    schema.execute("INSERT INTO t VALUES (1, NOW() - INTERVAL 1 HOUR)")
    with writer(schema) as late, source_of(reader) as source:
        late.execute("INSERT INTO t VALUES (3, NOW(6))")
        schema.execute("INSERT INTO t VALUES (2, NOW(6) + INTERVAL 10 SECOND)")
        with source.snapshot() as view:
            first = window_of(view, None)
            seen = ids_of(view, first)
            late.connection.commit()
        with source.snapshot() as view:
            second = window_of(view, first.high if first else None, later_seconds=60)
            seen_later = ids_of(view, second)
    assert seen == [1]
    assert first is not None
    assert first.holder.startswith("thread ")
    assert seen_later == [3, 2]


def test_a_transaction_that_has_only_read_holds_the_window_too(
    schema: Schema, reader: Schema
) -> None:
    with writer(schema) as late, source_of(reader) as source:
        late.execute("SELECT * FROM t")
        schema.execute("DO SLEEP(1.1)")
        with source.snapshot() as view:
            assert view.clocks.horizon_at is not None
            assert view.clocks.clock_at - view.clocks.horizon_at >= timedelta(seconds=1)


def test_a_statement_that_waits_before_it_touches_a_table_holds_the_window(
    schema: Schema, reader: Schema
) -> None:
    with schema.connect() as locker, source_of(reader) as source:
        locker.cursor().execute("LOCK TABLES t WRITE")
        waiting = threading.Thread(
            target=schema.execute, args=("INSERT INTO t VALUES (9, NOW(6))",), daemon=True
        )
        waiting.start()
        wait_for(
            schema,
            "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO t %'",
        )
        schema.execute("DO SLEEP(0.5)")
        with source.snapshot() as view:
            clocks = view.clocks
        locker.cursor().execute("UNLOCK TABLES")
        waiting.join(5)
    ((stamped,),) = schema.execute("SELECT UNIX_TIMESTAMP(at) FROM t WHERE id = 9")
    assert clocks.horizon_at is not None
    assert clocks.horizon_at <= datetime.fromtimestamp(float(stamped) + 0.05, UTC)
    assert schema.user in clocks.holder


def test_a_commit_between_horizon_and_snapshot_is_not_read_before_its_window(
    schema: Schema, reader: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpp_extractor.extract.database.mysql import snapshot as module

    taken = module.read_clocks
    with writer(schema) as late, source_of(reader) as source:
        late.execute("INSERT INTO t VALUES (7, NOW(6))")

        def then_commit(session: Any) -> Clocks:
            clocks = taken(session)
            late.connection.commit()
            return clocks

        monkeypatch.setattr(module, "read_clocks", then_commit)
        with source.snapshot() as view:
            first = window_of(view, LONG_AGO)
            seen = ids_of(view, first)
        monkeypatch.setattr(module, "read_clocks", taken)
        with source.snapshot() as view:
            second = window_of(view, first.high if first else None, later_seconds=60)
            seen_later = ids_of(view, second)
    assert seen == []
    assert seen_later == [7]


def test_our_own_reading_sessions_do_not_hold_the_window(schema: Schema, reader: Schema) -> None:
    schema.execute("INSERT INTO t SELECT seq, NOW(6) FROM seq_1_to_200000")
    with source_of(reader, run_id="backfill") as other, other.snapshot() as long:
        next(long.read(long.describe(UNIT), None, None))
        schema.execute("DO SLEEP(1.1)")
        with source_of(reader) as source, source.snapshot() as view:
            assert view.clocks.horizon_at == view.clocks.clock_at


def test_without_the_right_to_see_sessions_there_is_no_horizon(
    mariadb: MariaDb, schema: Schema
) -> None:
    schema.execute(STAMPED)
    plain = mariadb.create_reader(schema)
    with source_of(plain) as source:
        with source.snapshot() as view:
            clocks, window = view.clocks, window_of(view, None)
        told = source.ping()
    assert clocks.horizon_at is None
    assert clocks.reason == Reason.NO_HORIZON
    assert window is not None
    assert window.reason == Reason.NO_HORIZON
    assert clocks.clock_at - datetime.fromisoformat(window.high) == timedelta(seconds=300)
    assert "no horizon" in told
    assert "PROCESS" in told


def test_a_list_of_transactions_that_others_keep_old_is_not_believed(
    mariadb: MariaDb, schema: Schema, reader: Schema
) -> None:
    stop = threading.Event()

    def ask() -> None:
        with mariadb.admin().connect() as connection, connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("SELECT COUNT(*) FROM information_schema.innodb_trx")

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        schema.execute("DO SLEEP(0.3)")
        with writer(schema) as late, source_of(reader) as source:
            late.execute("INSERT INTO t VALUES (1, NOW(6))")
            with source.snapshot() as view:
                clocks = view.clocks
    finally:
        stop.set()
        asking.join(5)
    held = clocks.horizon_at is not None and clocks.horizon_at < clocks.clock_at
    assert held or clocks.reason == Reason.NO_HORIZON


def test_a_prepared_transaction_holds_the_window_from_before_its_start(
    mariadb: MariaDb, schema: Schema, reader: Schema
) -> None:
    with schema.connect() as owner:
        for step in ("XA START 'held'", "INSERT INTO t VALUES (1, NOW(6))", "XA END 'held'"):
            owner.cursor().execute(step)
        owner.cursor().execute("XA PREPARE 'held'")
    try:
        with source_of(reader) as source, source.snapshot() as view:
            clocks = view.clocks
    finally:
        mariadb.admin().execute("XA ROLLBACK 'held'")
    assert clocks.horizon_at is not None
    assert clocks.clock_at - clocks.horizon_at >= timedelta(seconds=300)
    assert "prepared" in clocks.holder


def test_all_reads_of_one_snapshot_see_one_state(schema: Schema, reader: Schema) -> None:
    schema.execute("CREATE TABLE u (id INT PRIMARY KEY)")
    schema.execute("INSERT INTO t (id) VALUES (1); INSERT INTO u VALUES (1)")
    with source_of(reader) as source, source.snapshot() as view:
        first = ids_of(view, None)
        schema.execute("INSERT INTO t (id) VALUES (2); INSERT INTO u VALUES (2)")
        other = view.describe(Unit(dataset="u", object="u"))
        seen = [row["id"] for b in view.read(other, None, None) for row in b.rows.to_pylist()]
        assert (first, seen, ids_of(view, None)) == ([1], [1], [1])
        assert view.snapshot_at >= view.clocks.clock_at
        assert view.snapshot_id.startswith("binlog.")


@pytest.mark.parametrize(
    ("type_name", "values", "low", "high", "kind", "expected"),
    [
        ("DATE", ["2026-01-01", "2026-01-02", None], "2026-01-01", "2026-01-02", "date", [1]),
        ("BIGINT", ["5", "9223372036854775807"], "5", "9223372036854775808", "integer", [1, 2]),
        ("BIGINT", ["-9223372036854775808"], None, "-9223372036854775808", "integer", []),
        ("INT UNSIGNED", ["7", "4294967295"], "-9", "4294967296", "integer", [1, 2]),
        (
            "DATETIME(6)",
            ["2026-01-01 00:00:00.000001", "2026-01-01 00:00:00"],
            None,
            "2026-01-01T00:00:00.000001",
            "timestamp",
            [2],
        ),
        (
            "TIMESTAMP(6) NULL",
            ["2026-01-01 00:00:00.000001", "2026-01-01 00:00:00", None],
            "2026-01-01T00:00:00.000000+00:00",
            "2999-01-01T00:00:00.000000+00:00",
            "timestamp",
            [2, 1],
        ),
    ],
    ids=["date", "bigint", "least bigint", "unsigned", "datetime", "timestamp"],
)
def test_a_window_is_half_open_on_every_kind_of_cursor(
    mariadb: MariaDb,
    schema: Schema,
    type_name: str,
    values: list[str | None],
    low: str | None,
    high: str,
    kind: str,
    expected: list[int],
) -> None:
    schema.execute(f"CREATE TABLE t (id INT PRIMARY KEY, at {type_name})")
    with schema.connect(init_command="SET time_zone = '+00:00'") as connection:
        for number, value in enumerate(values, 1):
            connection.cursor().execute("INSERT INTO t VALUES (%s, %s)", [number, value])
    window = Window(cursor="at", kind=kind, low=low, high=high)  # type: ignore[arg-type]
    with source_of(mariadb.create_reader(schema)) as source, source.snapshot() as view:
        assert ids_of(view, window) == expected


@pytest.mark.parametrize("type_name", ["TIMESTAMP(6) NULL", "DATETIME(6)", "DATE", "BIGINT"])
def test_a_window_is_read_by_the_cursors_index(
    mariadb: MariaDb, schema: Schema, type_name: str
) -> None:
    from dpp_extractor.extract.database import query
    from dpp_extractor.extract.database.mysql import bounds

    schema.execute(f"CREATE TABLE t (id INT PRIMARY KEY, at {type_name}, KEY by_at (at))")
    value = "seq" if type_name == "BIGINT" else "TIMESTAMP'2026-01-01 00:00:00' + INTERVAL seq HOUR"
    schema.execute(f"INSERT INTO t SELECT seq, {value} FROM seq_1_to_5000; ANALYZE TABLE t")
    kinds = {"BIGINT": ("integer", "10", "20"), "DATE": ("date", "2026-01-02", "2026-01-03")}
    kind, low, high = kinds.get(
        type_name, ("timestamp", "2026-01-02T00:00:00.000000", "2026-01-03T00:00:00.000000")
    )
    window = Window("at", kind, low, high)  # type: ignore[arg-type]
    with source_of(mariadb.create_reader(schema)) as source, source.snapshot() as view:
        table = view.describe(UNIT)
    within = bounds.build_within(table.column("at"), window)
    read = query.build_read(query.Relation(schema.name, "t"), table, {}, within, None)
    (plan,) = schema.execute("EXPLAIN " + bounds.compile_statement(read))
    assert "by_at" in plan
    assert "range" in plan


def test_rows_without_cursor_and_rows_of_the_future_are_counted(
    mariadb: MariaDb, schema: Schema
) -> None:
    schema.execute("CREATE TABLE t (id INT PRIMARY KEY, at DATETIME)")
    schema.execute(
        "INSERT INTO t VALUES (1, NULL), (2, NULL), (3, NOW()), (4, NOW() + INTERVAL 23 HOUR),"
        " (5, '2099-01-01'), (6, '2098-01-01')"
    )
    with source_of(mariadb.create_reader(schema)) as source, source.snapshot() as view:
        table = view.describe(UNIT)
        assert view.count_null_cursor(table, "at") == 2
        assert view.count_future(table, "at") == (2, "id=6")
        assert view.max_cursor(table, "id") == 6


@pytest.mark.parametrize(("zone", "hours"), [("+09:00", 9), ("-03:00", -3), ("SYSTEM", 0)])
def test_datetimes_are_compared_in_the_zone_of_the_server(
    mariadb: MariaDb, schema: Schema, zone: str, hours: int
) -> None:
    schema.execute("CREATE TABLE t (id INT PRIMARY KEY, at DATETIME DEFAULT NOW())")
    reader = mariadb.create_reader(schema, can_monitor=True)
    admin = mariadb.admin()
    admin.execute(f"SET GLOBAL time_zone = '{zone}'")
    try:
        schema.execute("INSERT INTO t VALUES (1, NOW() - INTERVAL 10 SECOND)")
        with source_of(reader) as source, source.snapshot() as view:
            window = window_of(view, None)
            seen = ids_of(view, window)
            local = view.clocks.clock_at.replace(tzinfo=None) + timedelta(hours=hours)
    finally:
        admin.execute("SET GLOBAL time_zone = 'SYSTEM'")
    assert window is not None
    assert timedelta(0) < local - datetime.fromisoformat(window.high) < timedelta(seconds=3)
    assert seen == [1]


def test_ten_thousand_rows_on_one_value_come_once(schema: Schema, reader: Schema) -> None:
    schema.execute(
        "INSERT INTO t SELECT seq, TIMESTAMP'2026-01-01 00:00:00' FROM seq_1_to_10000;"
        "INSERT INTO t SELECT seq, TIMESTAMP'2026-01-02 00:00:00' FROM seq_10001_to_20000"
    )
    ((day,),) = schema.execute("SELECT UNIX_TIMESTAMP(TIMESTAMP'2026-01-02 00:00:00')")
    middle = datetime.fromtimestamp(float(day), UTC).isoformat(timespec="microseconds")
    with source_of(reader) as source, source.snapshot() as view:
        before = ids_of(view, Window("at", "timestamp", None, middle))
        after = ids_of(view, Window("at", "timestamp", middle, "2027-01-01T00:00:00.000000"))
    assert before == list(range(1, 10_001))
    assert after == list(range(10_001, 20_001))


def test_a_session_that_is_gone_is_not_taken_for_one_without_rights(
    mariadb: MariaDb, schema: Schema, reader: Schema
) -> None:
    with source_of(reader) as source:
        mariadb.end_sessions(reader)
        with pytest.raises(Exception, match="clock") as refused, source.snapshot():
            pytest.fail("the snapshot was opened")
    assert not isinstance(refused.value, pymysql.err.Error)
