"""Open a database source by its engine; the one door into this package.

Called by `wiring`. A secret is sent only to a host that the secret itself names, when it names any.
A replica is read in its server's stead; while it cannot be reached, the server itself is.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from dpp_core import logs
from dpp_core.errors import CredentialsMissingError, SourceUnavailableError, TenancyError
from dpp_core.handover import DatabaseSource
from dpp_extractor.extract.database.limits import DEFAULT_LIMITS, Limits, Retrying, run_once
from dpp_extractor.ports import Source


@contextmanager
def open_database(
    source: DatabaseSource,
    secret: Mapping[str, Any],
    *,
    run_id: str,
    limits: Limits = DEFAULT_LIMITS,
    ca_file: str | None = None,
    retrying: Retrying = run_once,
) -> Iterator[Source]:
    """Connect to a database and close it in the end. See the package's docstring for errors."""
    with ExitStack() as stack:
        replica = source.replica
        if replica is not None:
            once = _open_one(
                replica, secret, run_id=run_id, limits=limits, ca_file=ca_file, retrying=run_once
            )
            try:
                opened = stack.enter_context(once)
            except SourceUnavailableError as error:
                limits = replace(limits, notes=(*limits.notes, _tell_fallback(source, error)))
            else:
                yield opened
                return
        server = _open_one(
            source, secret, run_id=run_id, limits=limits, ca_file=ca_file, retrying=retrying
        )
        yield stack.enter_context(server)


def _tell_fallback(source: DatabaseSource, error: SourceUnavailableError) -> str:
    logs.warning("replica_unreachable", replica=source.replica_host, said=error.message)
    return (
        f"The replica {source.replica_host} could not be reached, so {source.host} was read: "
        f"{error.message}"
    )


@contextmanager
def _open_one(
    source: DatabaseSource,
    secret: Mapping[str, Any],
    *,
    run_id: str,
    limits: Limits,
    ca_file: str | None,
    retrying: Retrying,
) -> Iterator[Source]:
    if source.engine == "sqlite":
        from dpp_extractor.extract.database.sqlite.snapshot import open_sqlite

        with open_sqlite(source.database, limits, retrying) as opened:
            yield opened
        return
    if source.engine in ("mysql", "mariadb"):
        from dpp_extractor.extract.database.mysql.connect import open_session
        from dpp_extractor.extract.database.mysql.snapshot import open_mysql

        require_host(source.host, secret)
        login = require_login(secret)
        with open_mysql(
            lambda: open_session(source, login, run_id, limits, ca_file), limits, retrying
        ) as served:
            yield served
        return
    from dpp_extractor.extract.database.postgresql.connect import build_engine, open_connection
    from dpp_extractor.extract.database.postgresql.snapshot import PostgresSource

    require_host(source.host, secret)
    engine = build_engine(source, require_login(secret), run_id, limits, ca_file)
    what = f"Connecting to {source.host}:{source.port or 5432}/{source.database}"
    connection = retrying(lambda: open_connection(engine, limits, what))
    try:
        yield PostgresSource(connection, limits)
    finally:
        connection.close()
        engine.dispose()


def require_login(secret: Mapping[str, Any]) -> dict[str, str]:
    """Take user and password out of a secret; CredentialsMissingError (21) names the missing key
    only.
    """
    login: dict[str, str] = {}
    for key in ("username", "password"):
        value = secret.get(key)
        if not isinstance(value, str) or not value:
            raise CredentialsMissingError(
                f"The source's secret has no text under {key!r}.",
                field="credentials.path",
                fix="It needs `username` and `password`, both not empty.",
            )
        login[key] = value
    return login


def require_host(host: str, secret: Mapping[str, Any]) -> None:
    """Refuse a host that the secret does not list (TenancyError, 20); no list allows every host."""
    allowed = secret.get("hosts")
    if allowed is None:
        return
    names = [allowed] if isinstance(allowed, str) else list(allowed)
    if host.casefold().rstrip(".") not in {str(name).casefold().rstrip(".") for name in names}:
        raise TenancyError(
            f"The secret may not be sent to host {host!r}: it lists other hosts.",
            field="source.database.host",
            fix="Correct the host, or add it to `hosts` in the secret.",
        )
