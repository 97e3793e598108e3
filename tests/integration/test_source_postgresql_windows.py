"""Windows on a real PostgreSQL: late commits are neither lost nor doubled, whoever holds what."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from dpp_core.handover import DatabaseSource, Incremental, Unit
from dpp_core.names import Reason
from dpp_extractor.batch import Window
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.extract.database.window import decide_window
from dpp_extractor.ports import Snapshot, Source
from servers.postgres import Database, Postgres

MONITORED = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
UNIT = Unit(
    dataset="t", object="t", key=("id",), incremental=Incremental(cursor="at"), write="Append"
)


@contextmanager
def source_of(database: Database, run_id: str = "run-1") -> Iterator[Source]:
    source = DatabaseSource(
        engine="postgresql",
        host=database.host,
        port=database.port,
        database=database.name,
        tls="Disable",
    )
    secret = {"username": database.user, "password": database.password}
    with open_database(source, secret, run_id=run_id) as opened:
        yield opened


@pytest.fixture
def reader(postgres: Postgres, database: Database) -> Database:
    """Give a role that reads all and sees other sessions."""
    return postgres.create_reader(database, can_monitor=True)


@contextmanager
def writer(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.dsn) as connection:
        yield connection


def ids_of(view: Snapshot, window: Window | None) -> list[int]:
    table = view.describe(UNIT)
    batches = list(view.read(table, window, None))
    return [row["id"] for batch in batches for row in batch.rows.to_pylist()]


def window_of(view: Snapshot, low: str | None) -> Window | None:
    table = view.describe(UNIT)
    assert UNIT.incremental is not None
    return decide_window(UNIT.incremental, table.column("at"), low, view.clocks)


def test_a_transaction_open_at_the_clock_is_waited_for_and_then_read_once(
    database: Database, reader: Database
) -> None:
    database.execute(MONITORED)
    database.execute("INSERT INTO t VALUES (1, now() - interval '1 hour')")
    with writer(database) as late, source_of(reader) as source:
        late.execute("SELECT now()")  # begun, not written yet: it will stamp its start
        database.execute("INSERT INTO t VALUES (2, now() + interval '10 s')")
        with source.snapshot() as view:
            first = window_of(view, None)
            seen = ids_of(view, first)
            late.execute("INSERT INTO t VALUES (3)")
            late.commit()
        with source.snapshot() as view:
            view_later = replace_clock(view, seconds=60)
            second = decide_window(
                Incremental(cursor="at"), view.describe(UNIT).column("at"), first.high, view_later
            )
            seen_later = ids_of(view, second)
    assert seen == [1]
    assert first is not None
    assert first.holder.startswith("pid ")
    assert seen_later == [3, 2]


def replace_clock(view: Snapshot, seconds: int):
    """Pretend that time has passed since the snapshot, so that no test has to wait."""
    from dataclasses import replace

    later = view.clocks.clock_at + timedelta(seconds=seconds)
    return replace(view.clocks, clock_at=later, horizon_at=later)


def test_a_commit_between_horizon_and_snapshot_is_not_read_before_its_window(
    database: Database, reader: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpp_extractor.extract.database.postgresql import snapshot as module

    database.execute(MONITORED)
    with writer(database) as late, source_of(reader) as source:
        late.execute("INSERT INTO t VALUES (7)")
        taken = module.read_clocks

        def then_commit(connection):
            clocks = taken(connection)
            late.commit()
            return clocks

        monkeypatch.setattr(module, "read_clocks", then_commit)
        with source.snapshot() as view:
            first = window_of(view, "2020-01-01T00:00:00.000000+00:00")
            seen = ids_of(view, first)
        monkeypatch.setattr(module, "read_clocks", taken)
        with source.snapshot() as view:
            second = decide_window(
                Incremental(cursor="at"),
                view.describe(UNIT).column("at"),
                first.high if first else None,
                replace_clock(view, seconds=60),
            )
            seen_later = ids_of(view, second)
    assert seen == []
    assert seen_later == [7]


def test_our_own_reading_sessions_do_not_hold_the_window(
    database: Database, reader: Database
) -> None:
    database.execute(MONITORED)
    with (
        source_of(reader, "backfill") as other,
        other.snapshot(),
        source_of(reader) as source,
        source.snapshot() as view,
    ):
        assert view.clocks.horizon_at == view.clocks.clock_at


def test_a_foreign_session_of_our_name_does_hold_it(database: Database, reader: Database) -> None:
    database.execute(MONITORED)
    with psycopg.connect(database.dsn, application_name="dpp/not-ours") as other:
        other.execute("SELECT 1")
        with source_of(reader) as source, source.snapshot() as view:
            assert view.clocks.horizon_at is not None
            assert view.clocks.horizon_at < view.clocks.clock_at
            assert "dpp/not-ours" in view.clocks.holder


def test_without_the_right_to_see_sessions_there_is_no_horizon(
    postgres: Postgres, database: Database
) -> None:
    database.execute(MONITORED)
    plain = postgres.create_reader(database)
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
    assert "pg_monitor" in told


def test_a_session_that_hides_its_transaction_takes_the_horizon_away(
    postgres: Postgres, database: Database, reader: Database
) -> None:
    database.execute(MONITORED)
    with psycopg.connect(postgres.admin(database.name).dsn) as hidden:
        hidden.execute("SET track_activities = off")
        hidden.commit()
        hidden.execute("SELECT now()")
        with source_of(reader) as source, source.snapshot() as view:
            assert view.clocks.horizon_at is None
            assert "track_activities" in view.clocks.holder


def test_a_prepared_transaction_holds_the_window_from_before_it_was_prepared(
    database: Database, reader: Database
) -> None:
    database.execute(MONITORED)
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("PREPARE TRANSACTION 'held-here'")
        try:
            with source_of(reader) as source, source.snapshot() as view:
                clocks = view.clocks
        finally:
            connection.execute("ROLLBACK PREPARED 'held-here'")
    assert clocks.horizon_at is not None
    assert clocks.clock_at - clocks.horizon_at >= timedelta(seconds=300)
    assert "held-here" in clocks.holder


def test_all_reads_of_one_snapshot_see_one_state(database: Database, reader: Database) -> None:
    database.execute(MONITORED)
    database.execute("CREATE TABLE u (id int PRIMARY KEY)")
    database.execute("INSERT INTO t (id) VALUES (1); INSERT INTO u VALUES (1)")
    with source_of(reader) as source, source.snapshot() as view:
        first = ids_of(view, None)
        database.execute("INSERT INTO t (id) VALUES (2); INSERT INTO u VALUES (2)")
        other = view.describe(Unit(dataset="u", object="u"))
        seen = [row["id"] for b in view.read(other, None, None) for row in b.rows.to_pylist()]
        assert (first, seen, ids_of(view, None)) == ([1], [1], [1])
        assert view.snapshot_at >= view.clocks.clock_at
        assert view.snapshot_id


def test_a_window_is_read_by_its_index_in_the_order_of_cursor_and_key(
    database: Database, reader: Database
) -> None:
    database.execute(MONITORED)
    database.execute(
        "INSERT INTO t SELECT n, timestamptz '2026-01-01' + (n % 5) * interval '1 h'"
        " FROM generate_series(20, 1, -1) n"
    )
    window = Window(
        cursor="at",
        kind="timestamp",
        low="2026-01-01T01:00:00.000000+00:00",
        high="2026-01-01T03:00:00.000000+00:00",
    )
    with source_of(reader) as source, source.snapshot() as view:
        assert ids_of(view, window) == [1, 6, 11, 16, 2, 7, 12, 17]


@pytest.mark.parametrize(
    ("type_name", "values", "low", "high", "kind", "expected"),
    [
        ("date", ["2026-01-01", "2026-01-02", None], "2026-01-01", "2026-01-02", "date", [1]),
        ("bigint", ["5", "9223372036854775807"], "5", "9223372036854775808", "integer", [1, 2]),
        ("bigint", ["-9223372036854775808"], None, "-9223372036854775808", "integer", []),
        ("int", ["-7", "2147483647"], "-9223372036854775808", "2147483648", "integer", [1, 2]),
        (
            "timestamp",
            ["2026-01-01 00:00:00.000001", "2026-01-01 00:00:00"],
            None,
            "2026-01-01T00:00:00.000001",
            "timestamp",
            [2],
        ),
    ],
    ids=["date", "bigint", "least bigint", "int", "naive timestamp"],
)
def test_a_window_is_half_open_on_every_kind_of_cursor(
    database: Database,
    reader: Database,
    type_name: str,
    values: list[str | None],
    low: str | None,
    high: str,
    kind: str,
    expected: list[int],
) -> None:
    database.execute(f"CREATE TABLE t (id int PRIMARY KEY, at {type_name})")
    for number, value in enumerate(values, 1):
        database.execute(
            f"INSERT INTO t VALUES (%s, CAST(%s AS text)::{type_name})", [number, value]
        )
    window = Window(cursor="at", kind=kind, low=low, high=high)  # type: ignore[arg-type]
    with source_of(reader) as source, source.snapshot() as view:
        assert ids_of(view, window) == expected


def test_rows_without_cursor_and_rows_of_the_future_are_counted(
    database: Database, reader: Database
) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, at timestamptz)")
    database.execute(
        "INSERT INTO t VALUES (1, NULL), (2, NULL), (3, now()), (4, now() + interval '23 h'),"
        " (5, 'infinity'), (6, '2099-01-01')"
    )
    with source_of(reader) as source, source.snapshot() as view:
        table = view.describe(UNIT)
        assert view.count_null_cursor(table, "at") == 2
        assert view.count_future(table, "at") == (2, "id=6")
        assert view.max_cursor(table, "id") == 6


def test_keys_that_occur_twice_are_named(database: Database, reader: Database) -> None:
    database.execute("CREATE TABLE t (id int, at timestamptz)")
    database.execute("INSERT INTO t VALUES (1, now()), (2, now()), (2, now()), (NULL, now())")
    with source_of(reader) as source, source.snapshot() as view:
        table = view.describe(UNIT)
        assert not table.key_is_unique
        assert view.duplicate_keys(table, None) == ("id=2",)
        past = Window("at", "timestamp", None, "2020-01-01T00:00:00.000000+00:00")
        assert view.duplicate_keys(table, past) == ()


def test_naive_stamps_are_compared_in_the_zone_of_the_database(
    postgres: Postgres, database: Database, reader: Database
) -> None:
    database.execute(f"ALTER DATABASE \"{database.name}\" SET TimeZone = 'Asia/Tokyo'")
    database.execute("CREATE TABLE t (id int PRIMARY KEY, at timestamp DEFAULT now())")
    database.execute("INSERT INTO t VALUES (1, localtimestamp - interval '10 s')")
    with source_of(reader) as source, source.snapshot() as view:
        assert view.clocks.zone == "Asia/Tokyo"
        window = window_of(view, None)
        assert window is not None
        tokyo = view.clocks.clock_at.astimezone(UTC).replace(tzinfo=None) + timedelta(hours=9)
        assert timedelta(0) < tokyo - datetime.fromisoformat(window.high) < timedelta(seconds=2)
        assert ids_of(view, window) == [1]
