"""Failures of a real MariaDB: each ends with its exit code, its reason and what to do next."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pymysql
import pytest

from dpp_core.errors import DppError, TemporaryFailure
from dpp_core.handover import Unit
from dpp_core.names import Reason
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.extract.database.limits import Limits
from mariadb_views import T, count, source_block, source_of, view_of
from servers.mariadb import MariaDb, Schema, start_mariadb
from servers.process import free_port
from servers.proxy import Mode, open_proxy

MANY = "CREATE TABLE t AS SELECT seq AS n, REPEAT('x', 100) AS v FROM seq_1_to_300000"
SMALL_BLOCKS = Limits(block_bytes=10_000)


@pytest.fixture(scope="module")
def unlogged_server() -> Iterator[MariaDb]:
    """Give a server without a binary log: there a savepoint gives a table's definition back."""
    server = start_mariadb(options=["--skip-log-bin"])
    yield server
    server.stop()


@pytest.fixture
def unlogged(unlogged_server: MariaDb) -> Iterator[Schema]:
    fresh = unlogged_server.create_schema()
    yield fresh
    unlogged_server.drop_schema(fresh)


def refusal(schema: Schema, **changes: Any) -> DppError:
    with pytest.raises(DppError) as refused, source_of(schema, **changes):
        pytest.fail("the connection was made")
    return refused.value


@pytest.mark.parametrize("change", [{"password": "wrong-pass-1"}, {"user": "nobody-here"}])
def test_a_wrong_login_is_refused_credentials(schema: Schema, change: dict[str, str]) -> None:
    error = refusal(replace(schema, **change))
    assert (error.exit_code, error.reason) == (22, Reason.CREDENTIALS_REFUSED)
    assert not error.is_temporary
    assert "wrong-pass-1" not in str(error)


def test_a_wrong_password_is_sent_once(mariadb: MariaDb, schema: Schema) -> None:
    asked = "SHOW GLOBAL STATUS LIKE 'Access_denied_errors'"
    before = int(mariadb.admin().execute(asked)[0][1])
    refusal(replace(schema, password="wrong-pass-1"))
    assert int(mariadb.admin().execute(asked)[0][1]) == before + 1


def test_a_locked_account_is_refused_credentials(mariadb: MariaDb, schema: Schema) -> None:
    reader = mariadb.create_reader(schema)
    mariadb.admin().execute(f"ALTER USER '{reader.user}' ACCOUNT LOCK")
    assert refusal(reader).exit_code == 22


def test_an_account_that_proves_itself_in_a_way_not_spoken_here_is_told_so(
    mariadb: MariaDb, schema: Schema
) -> None:
    reader = mariadb.create_reader(schema)
    admin = mariadb.admin()
    old = "mysql_old_password USING '1234567890abcdef'"
    admin.execute("SET GLOBAL secure_auth = 0")
    try:
        admin.execute(f"ALTER USER '{reader.user}' IDENTIFIED VIA {old}")
        error = refusal(replace(reader, password="x"))
    finally:
        admin.execute("SET GLOBAL secure_auth = 1")
    assert (error.exit_code, error.is_temporary) == (20, False)
    assert "mysql_native_password" in error.fix


def test_a_password_of_any_letters_is_sent_as_it_is(mariadb: MariaDb, schema: Schema) -> None:
    reader = replace(mariadb.create_reader(schema), password="Łódź-€-😀")
    mariadb.admin().execute(f"ALTER USER '{reader.user}' IDENTIFIED BY '{reader.password}'")
    with source_of(reader) as source:
        assert source.ping().startswith("MariaDB 1")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("no_such_db", Reason.SOURCE_OBJECT_DENIED), ("mysql", Reason.SOURCE_OBJECT_DENIED)],
)
def test_a_database_that_is_not_there_or_not_granted_is_told(
    schema: Schema, name: str, reason: Reason
) -> None:
    # the server answers both alike to an account without rights on all databases
    error = refusal(replace(schema, name=name))
    assert (error.exit_code, error.reason) == (31, reason)


def test_a_missing_database_is_a_missing_object(mariadb: MariaDb) -> None:
    error = refusal(mariadb.admin("no_such_db"))
    assert (error.exit_code, error.reason) == (31, Reason.SOURCE_OBJECT_MISSING)


@pytest.mark.parametrize("host", ["127.0.0.1", "does-not-exist.invalid"])
def test_nobody_answering_is_an_unreachable_source(schema: Schema, host: str) -> None:
    error = refusal(schema, host=host, port=free_port())
    assert (error.exit_code, error.is_temporary) == (23, True)


def test_a_server_that_hangs_is_given_up_soon(mariadb: MariaDb, schema: Schema) -> None:
    with open_proxy(mariadb.port) as proxy:
        proxy.mode = Mode.HANG
        error = refusal(schema, port=proxy.port, limits=Limits(connect_seconds=1))
    assert (error.exit_code, error.is_temporary) == (23, True)


def test_something_else_on_the_port_is_told(s3_server: Any, schema: Schema) -> None:
    error = refusal(schema, port=s3_server.server.port, limits=Limits(connect_seconds=1))
    assert error.exit_code == 23


def test_too_many_connections_are_temporary(mariadb: MariaDb, schema: Schema) -> None:
    reader = mariadb.create_reader(schema)
    mariadb.admin().execute(f"ALTER USER '{reader.user}' WITH MAX_USER_CONNECTIONS 1")
    with source_of(reader):
        error = refusal(reader)
    assert (error.exit_code, error.is_temporary) == (23, True)


def test_connecting_is_repeated_by_the_callers_patience(schema: Schema) -> None:
    tries: list[int] = []

    def thrice(call: Any) -> Any:
        for attempt in range(3):
            tries.append(attempt)
            try:
                return call()
            except DppError as error:
                last = error
        raise last

    source = source_block(schema, port=free_port())
    secret = {"username": "u", "password": "p"}
    with pytest.raises(DppError), open_database(source, secret, run_id="r", retrying=thrice):
        pytest.fail("the connection was made")
    assert tries == [0, 1, 2]


def test_a_secret_goes_only_to_the_hosts_it_lists(schema: Schema) -> None:
    secret = {"username": "u", "password": "p", "hosts": ["erp.example"]}
    with (
        pytest.raises(DppError, match=r"127\.0\.0\.1") as refused,
        open_database(source_block(schema), secret, run_id="r"),
    ):
        pytest.fail("the connection was made")
    assert refused.value.exit_code == 20


def test_a_grant_taken_away_before_the_read_is_denied(mariadb: MariaDb, schema: Schema) -> None:
    # On the table: the server tells a session of a right on the whole database at its next USE.
    reader = mariadb.create_reader(schema, reads_all=False)
    schema.execute("CREATE TABLE t (id INT)")
    admin = mariadb.admin()
    admin.execute(f"GRANT SELECT ON `{schema.name}`.t TO '{reader.user}'")
    with view_of(reader) as view:
        table = view.describe(T)
        admin.execute(f"REVOKE SELECT ON `{schema.name}`.t FROM '{reader.user}'")
        with pytest.raises(DppError) as refused:
            list(view.read(table, None, None))
    assert (refused.value.exit_code, refused.value.reason) == (31, Reason.SOURCE_OBJECT_DENIED)
    assert "GRANT SELECT" in refused.value.fix


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ("DROP TABLE t", {31}),
        ("ALTER TABLE t RENAME COLUMN name TO title", {31}),
        ("TRUNCATE t", {75}),
        ("ALTER TABLE t MODIFY id BIGINT", {75}),
        ("ALTER TABLE t FORCE", {75}),
        ("RENAME TABLE t TO other; CREATE TABLE t LIKE other", {75}),
    ],
    ids=["dropped", "column renamed", "truncated", "retyped", "rebuilt", "exchanged"],
)
def test_rows_that_vanish_from_under_the_snapshot_are_not_taken_for_deleted(
    unlogged: Schema, change: str, codes: set[int]
) -> None:
    unlogged.execute("CREATE TABLE t (id INT, name TEXT)")
    unlogged.execute("INSERT INTO t SELECT seq, 'x' FROM seq_1_to_50")
    with view_of(unlogged) as view:
        table = view.describe(T)
        unlogged.execute(change)
        with pytest.raises(DppError) as refused:
            list(view.read(table, None, None))
    assert refused.value.exit_code in codes


def test_a_column_added_before_the_read_costs_no_row(unlogged: Schema) -> None:
    unlogged.execute("CREATE TABLE t (id INT); INSERT INTO t VALUES (1), (2)")
    with view_of(unlogged) as view:
        table = view.describe(T)
        unlogged.execute("ALTER TABLE t ADD COLUMN note TEXT, ALGORITHM = INSTANT")
        rows: list[dict[str, Any]] | None = None
        with suppress(TemporaryFailure):
            rows = [row for b in view.read(table, None, None) for row in b.rows.to_pylist()]
    assert rows in (None, [{"id": 1}, {"id": 2}])


@pytest.mark.parametrize("command", ["KILL", "KILL QUERY"])
def test_a_read_that_an_administrator_ends_may_be_tried_again(
    mariadb: MariaDb, schema: Schema, command: str
) -> None:
    schema.execute(MANY)
    with view_of(schema, SMALL_BLOCKS) as view:
        rows = view.read(view.describe(T), None, None)
        next(rows)
        mariadb.end_sessions(schema, command)
        with pytest.raises(DppError) as refused:
            list(rows)
    assert (refused.value.exit_code, refused.value.is_temporary) == (23, True)


def test_a_server_that_is_killed_in_the_middle_of_a_read_is_an_unreachable_source(
    mariadb: MariaDb, schema: Schema
) -> None:
    schema.execute(MANY)
    try:
        with view_of(schema, SMALL_BLOCKS) as view:
            rows = view.read(view.describe(T), None, None)
            next(rows)
            mariadb.kill()
            with pytest.raises(DppError) as refused:
                list(rows)
    finally:
        mariadb.start()
    assert refused.value.exit_code == 23


def test_a_line_cut_in_the_middle_of_a_read_is_an_unreachable_source(
    mariadb: MariaDb, schema: Schema
) -> None:
    schema.execute(MANY)
    with open_proxy(mariadb.port) as proxy:
        seen = replace(schema, port=proxy.port)
        with view_of(seen, SMALL_BLOCKS) as view:
            rows = view.read(view.describe(T), None, None)
            next(rows)
            proxy.cut()
            with pytest.raises(DppError) as refused:
                list(rows)
            with pytest.raises(DppError) as again:
                view.describe(T)
    assert (refused.value.exit_code, again.value.exit_code) == (23, 23)


def test_a_statement_that_takes_too_long_is_ended_and_may_be_tried_again(schema: Schema) -> None:
    schema.execute("CREATE VIEW t AS SELECT 1 AS n, SLEEP(30) AS s")
    limits = Limits(statement_seconds=1)
    with view_of(schema, limits) as view, pytest.raises(DppError) as refused:
        count(view, T)
    assert (refused.value.exit_code, refused.value.reason) == (23, Reason.SOURCE_READ_FAILED)


def test_a_table_locked_by_another_is_not_waited_for_without_end(schema: Schema) -> None:
    schema.execute("CREATE TABLE t (id INT)")
    with schema.connect() as other:
        other.cursor().execute("LOCK TABLES t WRITE")
        with view_of(schema, Limits(lock_seconds=1)) as view, pytest.raises(DppError) as refused:
            count(view, T)
    assert (refused.value.exit_code, refused.value.is_temporary) == (23, True)


def test_a_table_that_was_read_is_free_for_changes_while_the_run_goes_on(unlogged: Schema) -> None:
    unlogged.execute("CREATE TABLE t (id INT); INSERT INTO t VALUES (1)")
    with view_of(unlogged) as view:
        assert count(view, T) == 1
        unlogged.execute("SET lock_wait_timeout = 1; ALTER TABLE t ADD COLUMN note TEXT")


def test_with_a_binary_log_mariadb_keeps_the_definition_until_the_run_ends(schema: Schema) -> None:
    # A limit of the server that docs/sources/mysql.md tells; should it go, the page may change.
    schema.execute("CREATE TABLE t (id INT); INSERT INTO t VALUES (1)")
    alter = "SET lock_wait_timeout = 1; ALTER TABLE t ADD COLUMN note TEXT"
    with view_of(schema) as view:
        assert count(view, T) == 1
        with pytest.raises(pymysql.err.OperationalError, match="Lock wait timeout"):
            schema.execute(alter)
    schema.execute(alter)


@pytest.mark.parametrize("storage", ["Aria", "MyISAM", "MEMORY"])
@pytest.mark.parametrize("logging", ["schema", "unlogged"])
def test_tables_without_transactions_are_read_beside_others(
    request: pytest.FixtureRequest, logging: str, storage: str
) -> None:
    schema: Schema = request.getfixturevalue(logging)
    schema.execute(f"CREATE TABLE t (id INT) ENGINE={storage}; INSERT INTO t VALUES (1), (2)")
    schema.execute("CREATE TABLE after (id INT); INSERT INTO after VALUES (1)")
    with view_of(schema) as view:
        assert count(view, T) == 2
        assert count(view, Unit(dataset="after", object="after")) == 1
        assert count(view, T) == 2


def test_a_view_that_fails_on_its_data_is_told_without_the_data(schema: Schema) -> None:
    schema.execute("CREATE TABLE base (v BIGINT); INSERT INTO base VALUES (9223372036854775807)")
    schema.execute("CREATE VIEW t AS SELECT v + v AS n FROM base")
    with view_of(schema) as view, pytest.raises(DppError) as refused:
        count(view, T)
    assert (refused.value.exit_code, refused.value.reason) == (31, Reason.SOURCE_READ_FAILED)
    assert "1690" in str(refused.value)
    assert "9223372036854775807" not in str(refused.value)


def test_a_view_on_what_is_gone_is_told(schema: Schema) -> None:
    schema.execute("CREATE TABLE base (v INT); CREATE VIEW t AS SELECT v FROM base")
    schema.execute("DROP TABLE base")
    with view_of(schema) as view, pytest.raises(DppError) as refused:
        view.describe(T)
    assert refused.value.exit_code == 31


def test_a_unit_that_fails_leaves_the_view_to_the_others(schema: Schema) -> None:
    schema.execute("CREATE TABLE good (n BIGINT); INSERT INTO good VALUES (1), (2)")
    schema.execute("CREATE VIEW t AS SELECT n * 9223372036854775807 * 2 AS n FROM good")
    good = Unit(dataset="g", object="good")
    with view_of(schema) as view:
        assert count(view, good) == 2
        with pytest.raises(DppError):
            count(view, T)
        schema.execute("INSERT INTO good VALUES (3)")
        assert count(view, good) == 2


def test_a_read_given_up_in_the_middle_is_ended_at_the_server(schema: Schema) -> None:
    schema.execute(MANY)
    with view_of(schema, SMALL_BLOCKS) as view:
        rows = view.read(view.describe(T), None, None)
        next(rows)
        sent = "SHOW GLOBAL STATUS LIKE 'Bytes_sent'"
        before = int(schema.execute(sent)[0][1])

        rows.close()  # type: ignore[attr-defined]

        assert int(schema.execute(sent)[0][1]) - before < 20_000_000
        assert count(view, T) == 300_000


def test_a_read_that_nobody_closed_is_ended_by_the_next_question(schema: Schema) -> None:
    schema.execute(MANY)
    with view_of(schema, SMALL_BLOCKS) as view:
        rows = view.read(view.describe(T), None, None)
        next(rows)
        assert count(view, T) == 300_000
        assert list(rows) == []


def test_nothing_can_be_written_through_the_source(schema: Schema) -> None:
    schema.execute("CREATE TABLE log (n INT) ENGINE = InnoDB")
    schema.execute(
        "CREATE FUNCTION noisy() RETURNS INT MODIFIES SQL DATA"
        " BEGIN INSERT INTO log VALUES (1); RETURN 1; END"
    )
    schema.execute("CREATE VIEW t AS SELECT noisy() AS n")
    with view_of(schema) as view, pytest.raises(DppError) as refused:
        count(view, T)
    assert refused.value.exit_code == 31
    assert schema.execute("SELECT * FROM log") == []


def test_the_source_sees_who_reads_it(mariadb: MariaDb, schema: Schema) -> None:
    schema.execute(MANY)
    with view_of(schema, SMALL_BLOCKS) as view:
        next(view.read(view.describe(T), None, None))
        seen = mariadb.admin().execute(
            "SELECT info FROM information_schema.processlist WHERE info LIKE '%dpp/run%'"
            " AND id <> CONNECTION_ID()"
        )
    assert len(seen) == 1
    assert seen[0][0].startswith("SELECT /* dpp/run */")


def test_no_error_of_connecting_repeats_the_password(schema: Schema) -> None:
    secret = "planted-4711"
    wrong = replace(schema, password=secret)
    for account, changes in (
        (wrong, {}),
        (replace(wrong, name="nope"), {}),
        (wrong, {"port": free_port()}),
        (wrong, {"tls": "VerifyFull"}),
    ):
        error: BaseException | None = refusal(account, **changes)
        while error is not None:
            assert secret not in f"{error} {error!r}"
            error = error.__cause__
