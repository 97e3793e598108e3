"""A replica of PostgreSQL: no horizon, and a clock that is never ahead of what was replayed."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from dpp_core.handover import DatabaseSource, Unit
from dpp_core.names import Reason
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.ports import Clocks
from servers.postgres import Database, Postgres, find_binaries
from servers.process import Server, accepts, free_port, make_folder


@pytest.fixture
def replica(postgres: Postgres) -> Iterator[Postgres]:
    """Give a running copy of the server that follows it."""
    binaries = find_binaries()
    assert binaries is not None
    port, user = free_port(), "postgres" if os.geteuid() == 0 else None
    folder = make_folder("replica", user)
    copied = folder / "cluster"
    command = [str(binaries / "pg_basebackup"), "-D", str(copied), "-d", postgres.dsn]
    subprocess.run(
        [*command, "-R", "-X", "stream", "-c", "fast"],
        check=True,
        cwd=folder,
        user=user,
        stdout=subprocess.DEVNULL,
    )
    server = Server(
        name="postgres",
        command=[
            *(str(binaries / "postgres"), "-D", str(copied), "-p", str(port)),
            *("-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60"),
            *("-c", "max_prepared_transactions=10", "-c", "wal_level=logical"),
        ],
        port=port,
        folder=folder,
        ready=lambda: accepts(port),
        user=user,
        owner_pid=os.getpid(),
    )
    server.start()
    follower = Postgres(server)
    try:
        until(lambda: follower.admin("postgres").execute("SELECT pg_is_in_recovery()") == [(True,)])
        yield follower
    finally:
        server.remove()


def until(is_so: Callable[[], bool]) -> None:
    """Wait for another process, with an end."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if is_so():
                return
        except Exception:  # noqa: BLE001 - the server may still be starting
            pass
        time.sleep(0.05)
    raise AssertionError("it did not become so")


def look(database: Database) -> tuple[Clocks, str, list[int]]:
    source = DatabaseSource(
        engine="postgresql",
        host=database.host,
        port=database.port,
        database=database.name,
        tls="Disable",
    )
    secret = {"username": database.user, "password": database.password}
    with open_database(source, secret, run_id="r") as opened:
        told = opened.ping()
        with opened.snapshot() as view:
            table = view.describe(Unit(dataset="t", object="t"))
            rows = [row["n"] for b in view.read(table, None, None) for row in b.rows.to_pylist()]
            assert view.snapshot_id
            return view.clocks, told, rows


def test_a_replica_is_read_without_horizon_and_by_the_clock_of_what_it_replayed(
    database: Database, replica: Postgres
) -> None:
    database.execute("CREATE TABLE t (n int)")
    database.execute("INSERT INTO t VALUES (1)")
    follower = replica.admin(database.name)
    until(lambda: follower.execute("SELECT n FROM t") == [(1,)])

    clocks, told, rows = look(follower)
    assert rows == [1]
    assert (clocks.horizon_at, clocks.reason) == (None, Reason.NO_HORIZON)
    assert "replica" in told

    follower.execute("SELECT pg_wal_replay_pause()")
    before = database.execute("SELECT clock_timestamp()")[0][0]
    database.execute("INSERT INTO t VALUES (2)")
    until(
        lambda: (
            follower.execute("SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()")
            == [(True,)]
        )
    )
    behind, _, rows = look(follower)
    assert rows == [1]
    assert behind.clock_at < before
    assert before - behind.clock_at < timedelta(minutes=1)

    follower.execute("SELECT pg_wal_replay_resume()")
    until(lambda: follower.execute("SELECT count(*) FROM t") == [(2,)])
    assert look(follower)[2] == [1, 2]
