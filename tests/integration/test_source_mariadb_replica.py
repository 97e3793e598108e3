"""A replica of a real MariaDB: how far it is behind counts, and what may not be seen is not guessed."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from dpp_core.errors import DppError
from dpp_core.handover import DatabaseSource, Unit
from dpp_core.names import Reason
from dpp_extractor.extract.database.engine import open_database
from mariadb_views import count, source_of
from servers.mariadb import MariaDb, Schema, start_mariadb
from servers.process import ServerMissingError, free_port


@pytest.fixture(scope="module")
def primary() -> Iterator[MariaDb]:
    """Give a server of its own: its binary log is read from the first event on."""
    try:
        started = start_mariadb()
    except ServerMissingError as error:
        pytest.skip(str(error))
    yield started
    started.server.remove()


@pytest.fixture(scope="module")
def replica(primary: MariaDb) -> Iterator[MariaDb]:
    """Give a server that follows the primary."""
    started = start_mariadb(options=["--server-id=2", "--read-only=1"])
    primary.admin().execute("CREATE USER 'follower' IDENTIFIED BY 'secret-of-follower'")
    primary.admin().execute("GRANT REPLICATION SLAVE ON *.* TO 'follower'")
    ((file, position, *_),) = primary.admin().execute("SHOW MASTER STATUS")
    started.admin().execute(
        f"CHANGE MASTER TO master_host = '{primary.host}', master_port = {primary.port},"
        " master_user = 'follower', master_password = 'secret-of-follower',"
        f" master_log_file = '{file}', master_log_pos = {position}, master_use_gtid = no;"
        "START SLAVE"
    )
    yield started
    started.server.remove()


@pytest.fixture
def followed(primary: MariaDb, replica: MariaDb) -> Iterator[Schema]:
    """Give the replica's side of a database with a table of one row."""
    schema = primary.create_schema()
    schema.execute("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)")
    _catch_up(primary, replica)
    yield Schema(replica.host, replica.port, schema.name, schema.user, schema.password)
    primary.drop_schema(schema)
    _catch_up(primary, replica)


def _catch_up(primary: MariaDb, replica: MariaDb) -> None:
    ((file, position, *_),) = primary.admin().execute("SHOW MASTER STATUS")
    ((waited,),) = replica.admin().execute(f"SELECT MASTER_POS_WAIT('{file}', {position}, 20)")
    assert waited is not None and waited >= 0


def _reader(primary: MariaDb, replica: MariaDb, schema: Schema, grant: str = "") -> Schema:
    reader = primary.create_reader(schema)
    if grant:
        primary.admin().execute(f"GRANT {grant} ON *.* TO '{reader.user}'")
    _catch_up(primary, replica)
    return Schema(replica.host, replica.port, schema.name, reader.user, reader.password)


def test_a_replica_gives_no_horizon_and_is_read(
    primary: MariaDb, replica: MariaDb, followed: Schema
) -> None:
    reader = _reader(primary, replica, followed, "SLAVE MONITOR")
    with source_of(reader) as source, source.snapshot() as view:
        assert view.clocks.reason == Reason.NO_HORIZON
        assert "replica" in view.clocks.holder
        assert view.snapshot_at - view.clocks.clock_at >= timedelta(seconds=1)
        assert count(view, Unit(dataset="t", object="t")) == 1


def test_a_replica_whose_delay_may_not_be_seen_names_the_grant(
    primary: MariaDb, replica: MariaDb, followed: Schema
) -> None:
    reader = _reader(primary, replica, followed)
    with source_of(reader) as source, pytest.raises(DppError) as refused, source.snapshot():
        pytest.fail("the snapshot was opened")
    assert (refused.value.exit_code, refused.value.reason) == (31, Reason.SOURCE_OBJECT_DENIED)
    assert "SLAVE MONITOR" in refused.value.fix


def test_a_replica_that_stands_still_is_not_read(
    primary: MariaDb, replica: MariaDb, followed: Schema
) -> None:
    reader = _reader(primary, replica, followed, "SLAVE MONITOR")
    replica.admin().execute("STOP SLAVE")
    try:
        with source_of(reader) as source, pytest.raises(DppError) as refused, source.snapshot():
            pytest.fail("the snapshot was opened")
    finally:
        replica.admin().execute("START SLAVE")
    assert (refused.value.exit_code, refused.value.is_temporary) == (23, True)


def _source(primary: MariaDb, followed: Schema, port: int) -> DatabaseSource:
    return DatabaseSource(
        engine="mariadb",
        host=primary.host,
        port=primary.port,
        database=followed.name,
        tls="Disable",
        replica_host=followed.host,
        replica_port=port,
    )


def test_a_replica_is_read_in_the_servers_stead(
    primary: MariaDb, replica: MariaDb, followed: Schema
) -> None:
    replica.admin().execute(f"CREATE TABLE `{followed.name}`.here (id INT)")
    reader = _reader(primary, replica, followed, "SLAVE MONITOR")
    secret = {"username": reader.user, "password": reader.password}
    source = _source(primary, followed, replica.port)
    with open_database(source, secret, run_id="r") as opened, opened.snapshot() as view:
        assert count(view, Unit(dataset="here", object="here")) == 0
        assert view.take_load().notes == ()


def test_a_replica_that_is_away_is_told_and_the_server_is_read(
    primary: MariaDb, followed: Schema
) -> None:
    secret = {"username": followed.user, "password": followed.password}
    source = _source(primary, followed, free_port())
    with open_database(source, secret, run_id="r") as opened, opened.snapshot() as view:
        assert count(view, Unit(dataset="t", object="t")) == 1
        (note,) = view.take_load().notes
    assert "could not be reached, so 127.0.0.1 was read" in note


def test_a_login_that_the_replica_refuses_is_not_tried_at_the_server(
    primary: MariaDb, replica: MariaDb, followed: Schema
) -> None:
    asked = "SHOW GLOBAL STATUS LIKE 'Access_denied_errors'"
    before = primary.admin().execute(asked)
    secret = {"username": followed.user, "password": "wrong-pass-1"}
    source = _source(primary, followed, replica.port)
    with (
        pytest.raises(DppError) as refused,
        open_database(source, secret, run_id="r"),
    ):
        pytest.fail("the connection was made")
    assert refused.value.exit_code == 22
    assert primary.admin().execute(asked) == before
