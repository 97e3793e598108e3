"""Failures of a real PostgreSQL: each ends with its exit code, its reason and what to do next."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dpp_core.errors import DppError
from dpp_core.handover import DatabaseSource, Unit
from dpp_core.names import Reason
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.extract.database.limits import Limits
from dpp_extractor.ports import Snapshot, Source
from servers.postgres import Database, Postgres
from servers.process import free_port

T = Unit(dataset="t", object="t")


def source_block(database: Database, **changes: Any) -> DatabaseSource:
    fields = {
        "engine": "postgresql",
        "host": database.host,
        "port": database.port,
        "database": database.name,
        "tls": "Disable",
        **changes,
    }
    return DatabaseSource.model_validate(fields)


@contextmanager
def source_of(
    database: Database, *, limits: Limits | None = None, ca_file: str | None = None, **changes: Any
) -> Iterator[Source]:
    with open_database(
        source_block(database, **changes),
        {"username": database.user, "password": database.password},
        run_id="run",
        limits=limits or Limits(connect_seconds=3),
        ca_file=ca_file,
    ) as opened:
        yield opened


@contextmanager
def view_of(database: Database, limits: Limits | None = None) -> Iterator[Snapshot]:
    with source_of(database, limits=limits) as source, source.snapshot() as view:
        yield view


def count(view: Snapshot, unit: Unit) -> int:
    table = view.describe(unit)
    return sum(batch.rows.num_rows for batch in view.read(table, None, None))


def refusal(database: Database, **changes: Any) -> DppError:
    with pytest.raises(DppError) as refused, source_of(database, **changes):
        pytest.fail("the connection was made")
    return refused.value


def test_a_wrong_password_is_refused_credentials_and_is_not_repeated(database: Database) -> None:
    error = refusal(replace(database, password="wrong-pass-1"))
    assert (error.exit_code, error.reason) == (22, Reason.CREDENTIALS_REFUSED)
    assert not error.is_temporary
    assert "wrong-pass-1" not in str(error)


def test_an_unknown_user_is_refused_credentials(database: Database) -> None:
    assert refusal(replace(database, user="nobody")).exit_code == 22


def test_a_user_who_may_not_log_in_is_refused_credentials(database: Database) -> None:
    assert refusal(replace(database, user="pg_monitor", password="x")).exit_code == 22


def test_a_missing_database_is_a_missing_object(database: Database) -> None:
    error = refusal(replace(database, name="no_such_db"))
    assert (error.exit_code, error.reason) == (31, Reason.SOURCE_OBJECT_MISSING)


@pytest.mark.parametrize("host", ["127.0.0.1", "does-not-exist.invalid"])
def test_nobody_answering_is_an_unreachable_source(database: Database, host: str) -> None:
    error = refusal(database, host=host, port=free_port())
    assert (error.exit_code, error.is_temporary) == (23, True)


def test_too_many_connections_are_temporary(postgres: Postgres, database: Database) -> None:
    postgres.admin("postgres").execute(f'ALTER ROLE "{database.user}" CONNECTION LIMIT 0')
    assert refusal(database).exit_code == 23


def test_a_server_without_tls_is_refused_when_tls_is_asked_for(database: Database) -> None:
    error = refusal(database, tls="VerifyFull")
    assert (error.exit_code, error.is_temporary) == (20, False)
    assert "source.database.tls" in error.fix


def test_connecting_is_repeated_by_the_callers_patience(database: Database) -> None:
    tries: list[int] = []

    def thrice(call: Any) -> Any:
        for attempt in range(3):
            tries.append(attempt)
            try:
                return call()
            except DppError as error:
                last = error
        raise last

    source = source_block(database, port=free_port())
    secret = {"username": "u", "password": "p"}
    with pytest.raises(DppError), open_database(source, secret, run_id="r", retrying=thrice):
        pytest.fail("the connection was made")
    assert tries == [0, 1, 2]


def test_a_secret_goes_only_to_the_hosts_it_lists(database: Database) -> None:
    secret = {"username": "u", "password": "p", "hosts": ["erp.example"]}
    with (
        pytest.raises(DppError, match=r"127\.0\.0\.1") as refused,
        open_database(source_block(database), secret, run_id="r"),
    ):
        pytest.fail("the connection was made")
    assert refused.value.exit_code == 20


def test_a_missing_table_is_named_with_its_nearest(database: Database) -> None:
    database.execute(
        "CREATE SCHEMA erp; CREATE TABLE erp.invoices (id int); CREATE TABLE orders ()"
    )
    with view_of(database) as view:
        for wanted, meant in (("order", "'orders'"), ("invoices", "'erp.invoices'")):
            with pytest.raises(DppError, match=f"Did you mean {meant}") as refused:
                view.describe(Unit(dataset="t", object=wanted))
            assert (refused.value.exit_code, refused.value.reason) == (
                31,
                Reason.SOURCE_OBJECT_MISSING,
            )


def test_a_missing_grant_names_the_statement_that_gives_it(
    postgres: Postgres, database: Database
) -> None:
    reader = postgres.create_reader(database)
    database.execute('CREATE SCHEMA "Erp X"; CREATE TABLE "Erp X"."a ""b""" (id int)')
    with view_of(reader) as view, pytest.raises(DppError) as refused:
        view.describe(Unit(dataset="t", object='Erp X.a "b"'))
    error = refused.value
    assert (error.exit_code, error.reason) == (31, Reason.SOURCE_OBJECT_DENIED)
    for statement in error.fix.removeprefix("Run as its owner: ").split(";"):
        if statement.strip():
            database.execute(statement)
    with view_of(reader) as view:
        assert count(view, Unit(dataset="t", object='Erp X.a "b"')) == 0


def test_a_column_that_is_not_granted_is_named_and_can_be_left_out(
    postgres: Postgres, database: Database
) -> None:
    reader = postgres.create_reader(database)
    database.execute("CREATE TABLE t (id int, salary int)")
    database.execute(f'REVOKE SELECT ON t FROM "{reader.user}"')
    database.execute(f'GRANT SELECT (id) ON t TO "{reader.user}"')
    with view_of(reader) as view:
        with pytest.raises(DppError, match="'salary'") as refused:
            view.describe(T)
        assert refused.value.reason is Reason.SOURCE_OBJECT_DENIED
        assert count(view, Unit(dataset="t", object="t", exclude=("salary",))) == 0


def test_a_grant_taken_away_before_the_read_is_denied(
    postgres: Postgres, database: Database
) -> None:
    reader = postgres.create_reader(database)
    database.execute("CREATE TABLE t (id int)")
    with view_of(reader) as view:
        table = view.describe(T)
        database.execute(f'REVOKE SELECT ON t FROM "{reader.user}"')
        with pytest.raises(DppError) as refused:
            list(view.read(table, None, None))
    assert (refused.value.exit_code, refused.value.reason) == (31, Reason.SOURCE_OBJECT_DENIED)
    assert "GRANT SELECT" in refused.value.fix


@pytest.mark.parametrize(
    "change", ["DROP TABLE t", "ALTER TABLE t RENAME COLUMN name TO title"], ids=["table", "column"]
)
def test_what_is_dropped_before_the_read_is_missing(database: Database, change: str) -> None:
    database.execute("CREATE TABLE t (id int, name text)")
    with view_of(database) as view:
        table = view.describe(T)
        database.execute(change)
        with pytest.raises(DppError) as refused:
            list(view.read(table, None, None))
    assert (refused.value.exit_code, refused.value.reason) == (31, Reason.SOURCE_OBJECT_MISSING)


def test_a_backend_killed_in_the_middle_of_a_read_is_an_unreachable_source(
    postgres: Postgres, database: Database
) -> None:
    database.execute(
        "CREATE TABLE t AS SELECT n, repeat('x', 100) v FROM generate_series(1, 3e5) n"
    )
    with view_of(database, Limits(block_bytes=10_000)) as view:
        rows = view.read(view.describe(T), None, None)
        next(rows)
        postgres.end_sessions(database)
        with pytest.raises(DppError) as refused:
            list(rows)
    assert (refused.value.exit_code, refused.value.is_temporary) == (23, True)


def test_a_server_that_is_killed_in_the_middle_of_a_read_is_an_unreachable_source(
    postgres: Postgres, database: Database
) -> None:
    database.execute(
        "CREATE TABLE t AS SELECT n, repeat('x', 100) v FROM generate_series(1, 3e5) n"
    )
    try:
        with view_of(database, Limits(block_bytes=10_000)) as view:
            rows = view.read(view.describe(T), None, None)
            next(rows)
            postgres.kill()
            with pytest.raises(DppError) as refused:
                list(rows)
    finally:
        postgres.start()
    assert refused.value.exit_code == 23


def test_a_statement_that_takes_too_long_is_ended_and_may_be_tried_again(
    database: Database,
) -> None:
    database.execute("CREATE VIEW t AS SELECT 1 AS n, pg_sleep(30)::text AS s")
    with view_of(database, Limits(statement_seconds=1)) as view, pytest.raises(DppError) as refused:
        count(view, T)
    assert (refused.value.exit_code, refused.value.reason) == (23, Reason.SOURCE_READ_FAILED)


def test_a_table_locked_by_another_is_not_waited_for_without_end(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    with psycopg.connect(database.dsn) as other:
        other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with view_of(database, Limits(lock_seconds=1)) as view, pytest.raises(DppError) as refused:
            count(view, T)
    assert (refused.value.exit_code, refused.value.is_temporary) == (23, True)


def test_a_view_that_fails_on_its_data_is_told_without_the_data(database: Database) -> None:
    database.execute("CREATE TABLE base (v text); INSERT INTO base VALUES ('Frau Schmidt')")
    database.execute("CREATE VIEW t AS SELECT v::int AS n FROM base")
    with view_of(database) as view, pytest.raises(DppError) as refused:
        count(view, T)
    assert (refused.value.exit_code, refused.value.reason) == (31, Reason.SOURCE_READ_FAILED)
    assert "22P02" in str(refused.value)
    assert "Schmidt" not in str(refused.value)


def test_a_unit_that_fails_leaves_the_view_to_the_others(database: Database) -> None:
    database.execute("CREATE TABLE good AS SELECT generate_series(1, 9) AS n")
    database.execute("CREATE VIEW t AS SELECT 1 / (n - 5) AS n FROM good")
    good = Unit(dataset="g", object="good")
    with view_of(database) as view:
        assert count(view, good) == 9
        with pytest.raises(DppError):
            count(view, T)
        database.execute("INSERT INTO good VALUES (10)")
        assert count(view, good) == 9


def test_a_read_given_up_in_the_middle_leaves_the_view_to_the_others(database: Database) -> None:
    database.execute(
        "CREATE TABLE t AS SELECT n, repeat('x', 100) v FROM generate_series(1, 3e5) n"
    )
    with view_of(database, Limits(block_bytes=10_000)) as view:
        rows = view.read(view.describe(T), None, None)
        next(rows)
        rows.close()  # type: ignore[attr-defined]
        assert count(view, T) == 300_000


@pytest.mark.parametrize(
    "change",
    ["TRUNCATE t", "ALTER TABLE t ALTER COLUMN id TYPE bigint", "TRUNCATE part"],
    ids=["truncated", "rewritten", "a partition truncated"],
)
def test_rows_that_vanish_from_under_the_snapshot_are_not_taken_for_deleted(
    database: Database, change: str
) -> None:
    is_partition = "part" in change
    database.execute(
        "CREATE TABLE t (id int) PARTITION BY RANGE (id);"
        "CREATE TABLE part PARTITION OF t FOR VALUES FROM (0) TO (1000)"
        if is_partition
        else "CREATE TABLE t (id int)"
    )
    database.execute("INSERT INTO t SELECT generate_series(1, 50)")
    with view_of(database) as view:
        table = view.describe(T)
        database.execute(change)
        with pytest.raises(DppError) as refused:
            list(view.read(table, None, None))
    assert refused.value.exit_code == 75


def test_nothing_can_be_written_through_the_source(database: Database) -> None:
    database.execute("CREATE TABLE log (n int)")
    database.execute(
        "CREATE FUNCTION noisy() RETURNS int LANGUAGE sql AS"
        " 'INSERT INTO log VALUES (1) RETURNING n'"
    )
    database.execute("CREATE VIEW t AS SELECT noisy() AS n")
    with view_of(database) as view, pytest.raises(DppError) as refused:
        count(view, T)
    assert refused.value.exit_code == 31
    assert database.execute("SELECT * FROM log") == []


def test_the_source_sees_who_reads_it(database: Database) -> None:
    with view_of(database):
        seen = database.execute(
            "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'dpp/%'"
        )
    assert seen == [("dpp/run",)]


@pytest.fixture
def authority(postgres: Postgres, tmp_path: Path) -> Iterator[Path]:
    """Switch TLS on with a self-signed certificate for the name localhost, and off again."""
    certificate, key = _make_certificate()
    folder = postgres.server.folder
    paths = [folder / "tls.crt", folder / "tls.key"]
    for path, body in zip(paths, (certificate, key), strict=True):
        path.write_bytes(body)
        path.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(path, *pwd.getpwnam("postgres")[2:4])
    admin = postgres.admin("postgres")
    admin.execute(f"ALTER SYSTEM SET ssl_cert_file = '{paths[0]}'")
    admin.execute(f"ALTER SYSTEM SET ssl_key_file = '{paths[1]}'")
    admin.execute("ALTER SYSTEM SET ssl = on")
    admin.execute("SELECT pg_reload_conf()")
    authority = tmp_path / "ca.crt"
    authority.write_bytes(certificate)
    yield authority
    admin.execute("ALTER SYSTEM RESET ALL")
    admin.execute("SELECT pg_reload_conf()")


def _make_certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return certificate.public_bytes(pem), key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("tls", "host", "knows_authority", "is_made"),
    [
        ("VerifyFull", "localhost", True, True),
        ("VerifyFull", "localhost", False, False),
        ("VerifyFull", "127.0.0.1", True, False),
        ("VerifyCa", "127.0.0.1", True, True),
        ("VerifyCa", "127.0.0.1", False, False),
        ("Require", "127.0.0.1", False, True),
    ],
)
def test_tls_trusts_exactly_what_it_says(
    authority: Path, database: Database, tls: str, host: str, knows_authority: bool, is_made: bool
) -> None:
    ca_file = str(authority) if knows_authority else None
    if is_made:
        with source_of(database, tls=tls, host=host, ca_file=ca_file) as source:
            assert source.ping().startswith("PostgreSQL")
        return
    error = refusal(database, tls=tls, host=host, ca_file=ca_file)
    assert (error.exit_code, error.is_temporary) == (20, False)


def test_no_error_of_connecting_repeats_the_password(database: Database) -> None:
    secret = "planted-4711"
    wrong = replace(database, password=secret)
    absent = replace(wrong, name="nope")
    for database_, changes in (
        (wrong, {}),
        (absent, {}),
        (wrong, {"port": free_port()}),
        (wrong, {"tls": "VerifyFull"}),
    ):
        error: BaseException | None = refusal(database_, **changes)
        while error is not None:
            assert secret not in f"{error} {error!r}"
            error = error.__cause__
