"""Connect to MySQL or MariaDB and translate what its driver raises.

Called by `engine` and by this package; with `stream` the only place that knows the driver. The
session speaks UTC, sends texts as they are stored, may not write, and is not cut short by limits
that somebody set for all sessions of the server.
"""

import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import pymysql

from dpp_core.errors import DppError, SpecError
from dpp_core.handover import DatabaseSource
from dpp_core.names import Reason
from dpp_extractor.extract.database.failures import Failure, build_error
from dpp_extractor.extract.database.limits import Limits
from dpp_extractor.extract.database.mysql.failures import (
    METHOD,
    TLS,
    find_number,
    may_quote_values,
)

DEFAULT_PORT: Final = 3306
_MARK: Final = re.compile(r"[^A-Za-z0-9._/-]")
_UNKNOWN_VARIABLE: Final = 1193
_READ_GRACE_SECONDS: Final = 60
"""How much longer than a statement may take its answer is waited for."""

Product = Literal["MariaDB", "MySQL"]
Cells = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection, what answers at its other end, and how to reach that once more."""

    connection: Any
    product: Product
    version: str
    mark: str
    reopen: Callable[[], Any]


def open_session(
    source: DatabaseSource,
    secret: Mapping[str, str],
    run_id: str,
    limits: Limits,
    ca_file: str | None,
) -> Session:
    """Connect once and set the session; the caller closes its connection and owns any retry."""
    what = f"Connecting to {source.host}:{source.port or DEFAULT_PORT}/{source.database}"
    tls = build_tls(source.tls, ca_file)
    mark = _MARK.sub("_", f"dpp/{run_id}")

    def reopen() -> Any:
        return _connect(source, secret, mark, limits, tls)

    with _refused(what):
        connection = reopen()
    try:
        with translated(what):
            version = str(fetch(connection, "SELECT VERSION()")[0][0])
            product: Product = "MariaDB" if "MariaDB" in version else "MySQL"
            _set_session(connection, product, limits)
    except DppError:
        connection.close()
        raise
    return Session(connection, product, version, mark, reopen)


def build_tls(mode: str, ca_file: str | None) -> dict[str, Any]:
    """Say how far the server is trusted, by the roots of the file given, else the system's."""
    if mode == "Disable":
        return {"ssl_disabled": True}
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SpecError(
            f"The CA file {ca_file!r} cannot be used: {error}.",
            reason=Reason.SOURCE_UNREACHABLE,
            field="source.database.tls",
            fix="Give a file of certificates in PEM form.",
        ) from error
    # Certificates that a server made for itself lack what this flag asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = mode == "VerifyFull"
    if mode == "Require":
        context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


def fetch(
    connection: Any, statement: str, parameters: Sequence[object] | None = None
) -> list[Cells]:
    """Run one statement and give its rows as texts; bytes that are no UTF-8 stay recognisable."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [tuple(map(_text, row)) for row in cursor.fetchall()]


def fetch_pairs(connection: Any, statement: str) -> dict[str, str]:
    """Run one statement that gives names and values, such as SHOW STATUS."""
    return {row[0] or "": row[1] or "" for row in fetch(connection, statement)}


def fetch_named(connection: Any, statement: str) -> list[dict[str, str | None]]:
    """Run one statement and give its rows by the names of their columns."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        names = [str(column[0]) for column in cursor.description or ()]
        return [dict(zip(names, map(_text, row), strict=True)) for row in cursor.fetchall()]


def run(connection: Any, statement: str) -> None:
    """Run one statement that gives no rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def quote_account(login: str) -> str:
    """Write an account, named as `user@host`, as a statement names it."""
    user, _, host = login.rpartition("@")
    return "@".join("'" + part.replace("'", "''") + "'" for part in (user, host))


def translate(error: pymysql.err.Error, what: str, fix: str = "") -> DppError:
    """Translate a failure on an open connection, by its number."""
    number, sqlstate, words = _parts(error)
    failure = find_number(number, sqlstate)
    said = "" if may_quote_values(number, sqlstate) else words.strip().rstrip(".")
    state = f"error {number}" if number else ""
    told = ", ".join(part for part in (said, state) if part)
    is_denied = failure.reason is Reason.SOURCE_OBJECT_DENIED
    return build_error(failure, what, told, fix if is_denied else "")


@contextmanager
def translated(what: str, fix: str = "") -> Iterator[None]:
    """Run a block whose driver errors become ours; `fix` says what to do about a missing right."""
    try:
        yield
    except pymysql.err.Error as error:
        raise translate(error, what, fix) from error


@contextmanager
def _refused(what: str) -> Iterator[None]:
    """Run a block that connects. User and password are not repeated."""
    try:
        yield
    except OSError as error:
        raise build_error(find_number(2003, None), what, str(error)) from error
    except pymysql.err.Error as error:
        number, sqlstate, words = _parts(error)
        is_tls = isinstance(getattr(error, "original_exception", None), ssl.SSLError)
        failure: Failure = TLS if is_tls else find_number(number, sqlstate)
        if not number and "auth switch" in words:  # the driver's words, without a number
            failure = METHOD
        is_about_login = failure.error.exit_code == 22
        raise build_error(failure, what, "" if is_about_login else words) from error
    except RuntimeError as error:
        # The driver's word for a package that a way of logging in would need.
        raise build_error(METHOD, what, str(error)) from error
    except (AssertionError, IndexError, ValueError, struct.error) as error:
        words = "it does not speak MySQL's protocol"
        raise build_error(find_number(2003, None), what, words) from error


def _connect(
    source: DatabaseSource,
    secret: Mapping[str, str],
    mark: str,
    limits: Limits,
    tls: Mapping[str, Any],
) -> Any:
    connection = pymysql.connect(
        host=source.host,
        port=source.port or DEFAULT_PORT,
        user=secret["username"],
        # As bytes: the driver would write a text as Latin-1.
        password=secret["password"].encode(),
        database=source.database,
        charset="utf8mb4",
        # Nothing is converted: each value is taken as the server's own bytes.
        use_unicode=False,
        conv=pymysql.converters.encoders,
        autocommit=True,
        local_infile=False,
        program_name=mark,
        read_timeout=limits.connect_seconds,
        write_timeout=limits.connect_seconds,
        defer_connect=True,
        **tls,
    )
    connection.connect(_open_socket(source.host, source.port or DEFAULT_PORT, limits))
    # From here on a statement may take its time; a dead host is found by keepalives.
    connection._read_timeout = limits.statement_seconds + _READ_GRACE_SECONDS
    return connection


def _open_socket(host: str, port: int, limits: Limits) -> socket.socket:
    opened = socket.create_connection((host, port), limits.connect_seconds)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 60_000),
    ):
        if hasattr(socket, option):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return opened


def _set_session(connection: Any, product: Product, limits: Limits) -> None:
    for name, value in build_settings(product, limits):
        try:
            run(connection, f"SET SESSION {name} = {value}")
        except pymysql.err.Error as error:
            # Older servers lack some of them.
            if error.args[0] != _UNKNOWN_VARIABLE:
                raise
    run(connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def build_settings(product: Product, limits: Limits) -> list[tuple[str, str]]:
    """Name the session's settings; what a server, database or user is set to must not matter."""
    settings = [
        ("sql_mode", "''"),
        ("time_zone", "'+00:00'"),
        ("character_set_results", "NULL"),
        ("sql_auto_is_null", "0"),
        # Set for all by somebody, these would cut a table without a word.
        ("sql_select_limit", "18446744073709551615"),
        ("sql_big_selects", "1"),
        ("lock_wait_timeout", f"{limits.lock_seconds}"),
        ("innodb_lock_wait_timeout", f"{limits.lock_seconds}"),
        # The server gives up a reader that takes nothing for so long, by default after a minute.
        ("net_write_timeout", f"{limits.idle_seconds}"),
        ("wait_timeout", f"{limits.idle_seconds}"),
    ]
    if product == "MariaDB":
        return [
            *settings,
            ("max_statement_time", f"{limits.statement_seconds}"),
            ("idle_transaction_timeout", f"{limits.idle_seconds}"),
        ]
    return [*settings, ("max_execution_time", f"{limits.statement_seconds * 1000}")]


def _parts(error: pymysql.err.Error) -> tuple[int, str | None, str]:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    words = str(error.args[-1]) if error.args else ""
    return number, getattr(error, "sqlstate", None), words


def _text(cell: Any) -> str | None:
    if cell is None:
        return None
    return cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else str(cell)
