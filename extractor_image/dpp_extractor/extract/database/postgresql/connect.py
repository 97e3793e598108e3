"""Connect to PostgreSQL and translate what its driver raises.

Called by `engine` and by this package; the only place that knows the driver's error classes. The
session speaks UTC, ISO dates and UTF-8 whatever server, database or user are set to, so that texts
have one form.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import sqlalchemy
from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dpp_core.errors import DppError
from dpp_core.handover import DatabaseSource
from dpp_core.names import Reason
from dpp_extractor.extract.database.failures import (
    build_error,
    find_failure,
    find_refusal,
    may_quote_values,
)
from dpp_extractor.extract.database.limits import Limits

APPLICATION_PREFIX: Final = "dpp/"
_NAME_LIMIT_BYTES: Final = 63
_SSL_MODES: Final = {
    "VerifyFull": "verify-full",
    "VerifyCa": "verify-ca",
    "Require": "require",
    "Disable": "disable",
}
_ROOTS: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_SESSION: Final = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "default_transaction_read_only": "on",
}


def build_engine(
    source: DatabaseSource,
    secret: Mapping[str, str],
    run_id: str,
    limits: Limits,
    ca_file: str | None,
) -> Engine:
    """Build the engine of one run; nothing connects before it is used."""
    url = URL.create(
        "postgresql+psycopg",
        username=secret["username"],
        password=secret["password"],
        host=source.host,
        port=source.port or 5432,
        database=source.database,
    )
    return create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        use_native_hstore=False,
        connect_args={
            "application_name": f"{APPLICATION_PREFIX}{run_id}"[:_NAME_LIMIT_BYTES],
            "client_encoding": "UTF8",
            "connect_timeout": limits.connect_seconds,
            "keepalives": 1,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 60_000,
            "target_session_attrs": "any",
            "gssencmode": "disable",
            "prepare_threshold": None,
            **build_tls(source.tls, ca_file),
        },
    )


def build_tls(mode: str, ca_file: str | None) -> dict[str, str]:
    """Say how far the server is trusted; `verify-*` needs roots: the file given, else the
    system's.
    """
    given: dict[str, str] = {"sslmode": _SSL_MODES[mode]}
    if mode in ("VerifyFull", "VerifyCa"):
        given["sslrootcert"] = ca_file or _system_roots(mode)
    return given


def open_connection(engine: Engine, limits: Limits, what: str) -> Connection:
    """Connect once and set the session; the caller closes it and owns any retry."""
    try:
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    except DBAPIError as error:
        raise translate_refusal(error, what) from error
    with translated(what):
        settings = {
            **_SESSION,
            "statement_timeout": f"{limits.statement_seconds}s",
            "lock_timeout": f"{limits.lock_seconds}s",
            "idle_in_transaction_session_timeout": f"{limits.idle_seconds}s",
        }
        for name, value in settings.items():
            connection.execute(
                text("SELECT pg_catalog.set_config(:name, :value, false)"),
                {"name": name, "value": value},
            )
        connection.commit()
    return connection


def translate_refusal(error: DBAPIError, what: str) -> DppError:
    """Translate a connection that was not made. User and password are not repeated."""
    original = error.orig
    sqlstate = getattr(original, "sqlstate", None)
    words = str(original).removeprefix("connection failed: ")
    failure = find_failure(sqlstate) if sqlstate else find_refusal(words)
    is_about_login = failure.error.exit_code == 22
    return build_error(failure, what, "" if is_about_login else words)


def translate(error: DBAPIError | psycopg.Error, what: str, fix: str = "") -> DppError:
    """Translate a failure on an open connection, by its SQLSTATE."""
    original = error.orig if isinstance(error, DBAPIError) else error
    sqlstate: str | None = getattr(original, "sqlstate", None)
    words = "" if may_quote_values(sqlstate) else str(original)
    state = f"SQLSTATE {sqlstate}" if sqlstate else ""
    said = words.strip().splitlines()[0] if words.strip() else ""
    failure = find_failure(sqlstate, words)
    is_denied = failure.reason is Reason.SOURCE_OBJECT_DENIED
    told = ", ".join(part for part in (said, state) if part)
    return build_error(failure, what, told, fix if is_denied else "")


@contextmanager
def translated(what: str, fix: str = "") -> Iterator[None]:
    """Run a block whose driver errors become ours; `fix` says what to do about a missing right."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        raise translate(error, what, fix) from error
    except sqlalchemy.exc.ResourceClosedError as error:
        raise build_error(find_failure(None), what) from error


def _system_roots(mode: str) -> str:
    found = ssl.get_default_verify_paths().cafile
    for path in (found, *_ROOTS):
        if path and Path(path).is_file():
            return path
    # libpq finds the system's roots itself, but only for the strictest mode.
    return "system" if mode == "VerifyFull" else _ROOTS[0]
