"""A real PostgreSQL for tests: Debian's, on a private port, with its own data folder.

It runs as an unprivileged account, since PostgreSQL refuses root, and without fsync, since its
data lives as long as the tests. Passwords are really checked (scram) on every connection.
"""

import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from servers.process import HOST, Server, ServerMissingError, accepts, free_port, make_folder

SUPERUSER = "postgres"
SUPERUSER_PASSWORD = "correct-horse-0"
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "max_prepared_transactions": "10",
    "wal_level": "logical",
    "listen_addresses": HOST,
    "timezone": "UTC",
}
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Database:
    """One database as one role sees it."""

    host: str
    port: int
    name: str
    user: str
    password: str

    @property
    def dsn(self) -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.name}"

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement in its own transaction; give back its rows, if it has any.

        Without parameters, several statements divided by semicolons are allowed.
        """
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            text = statement.encode()
            cursor = connection.execute(text, parameters or None)
            return cursor.fetchall() if cursor.description else []


@dataclass(slots=True)
class Postgres:
    """The running server; `stop`, `start`, `kill`, `pause` and `resume` break it for a test."""

    server: Server
    host: str = HOST
    superuser: str = SUPERUSER
    superuser_password: str = SUPERUSER_PASSWORD
    databases: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def dsn(self) -> str:
        """The superuser's connection to the maintenance database."""
        return self.admin("postgres").dsn

    def admin(self, database: str) -> Database:
        """Give a database as the superuser sees it."""
        return Database(self.host, self.port, database, SUPERUSER, SUPERUSER_PASSWORD)

    def create_database(self, name: str | None = None, encoding: str = "UTF8") -> Database:
        """Make a fresh database with an owner of its own; the owner reads and writes in it."""
        chosen = name or f"erp_{os.getpid()}_{next(_numbers)}"
        owner = replace(self.admin(chosen), user=f"{chosen}_owner", password="secret-of-owner")
        self._run("CREATE ROLE {} LOGIN PASSWORD {}", owner.user, text=owner.password)
        form = " TEMPLATE template0 LOCALE 'C' ENCODING {}" if encoding != "UTF8" else ""
        text = encoding if form else None
        self._run(f"CREATE DATABASE {{}} OWNER {{}}{form}", chosen, owner.user, text=text)
        self.databases.append(chosen)
        return owner

    def create_reader(self, database: Database, *, can_monitor: bool = False) -> Database:
        """Make a role that may only read: every table of `public`, also tables made later.

        With `can_monitor` it is a member of pg_monitor and so sees other sessions' transactions.
        """
        reader = replace(
            database, user=f"reader_{os.getpid()}_{next(_numbers)}", password="secret-of-reader"
        )
        self._run("CREATE ROLE {} LOGIN PASSWORD {}", reader.user, text=reader.password)
        if can_monitor:
            self._run("GRANT pg_monitor TO {}", reader.user)
        for statement in (
            "GRANT USAGE ON SCHEMA public TO {}",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}",
        ):
            self._run(statement, reader.user, database=database.name)
        self._run(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA public GRANT SELECT ON TABLES TO {}",
            database.user,
            reader.user,
            database=database.name,
        )
        return reader

    def drop_database(self, database: Database) -> None:
        """Drop a database, also when somebody is still connected; twice is harmless."""
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", database.name)

    def end_sessions(self, database: Database) -> None:
        """Cut every connection to a database, as an administrator or a failover would."""
        self.admin("postgres").execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()",
            [database.name],
        )

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()

    def kill(self) -> None:
        self.server.kill()

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()

    def _run(
        self, template: str, *names: str, text: str | None = None, database: str = "postgres"
    ) -> None:
        values: list[sql.Composable] = [sql.Identifier(name) for name in names]
        if text is not None:
            values.append(sql.Literal(text))
        with psycopg.connect(self.admin(database).dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(template).format(*values))


def find_binaries() -> Path | None:
    """Return the folder that holds the newest `postgres` and `initdb`, or None."""
    folders = sorted(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")),
        key=lambda folder: int(folder.parent.name),
    )
    if folders:
        return folders[-1]
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found else None


def start_postgres(port: int | None = None, owner_pid: int | None = None) -> Postgres:
    """Make a new cluster and start it; raise `ServerMissingError` where there is no PostgreSQL."""
    binaries = find_binaries()
    if binaries is None:
        raise ServerMissingError(
            "PostgreSQL is not installed and this account may not install it; as root run "
            "`make servers`, or `apt-get install postgresql`"
        )
    chosen = port or free_port()
    user = "postgres" if os.geteuid() == 0 else None
    folder = make_folder("postgres", user)
    cluster = folder / "cluster"
    _initialise(binaries, cluster, user)
    options = [argument for pair in SETTINGS.items() for argument in ("-c", "=".join(pair))]
    server = Server(
        name="postgres",
        command=[
            *(str(binaries / "postgres"), "-D", str(cluster), "-p", str(chosen)),
            *("-k", str(folder), *options),
        ],
        port=chosen,
        folder=folder,
        ready=lambda: _answers(chosen),
        user=user,
        stop_signal=signal.SIGINT,
        kill_signal=signal.SIGQUIT,
        owner_pid=os.getpid() if owner_pid is None else owner_pid,
    )
    server.start()
    return Postgres(server)


def _initialise(binaries: Path, cluster: Path, user: str | None) -> None:
    password_file = cluster.parent / "password"
    password_file.write_text(SUPERUSER_PASSWORD)
    password_file.chmod(0o644)
    subprocess.run(
        [
            *(str(binaries / "initdb"), "-D", str(cluster), "-U", SUPERUSER, "--no-sync"),
            *("-A", "scram-sha-256", f"--pwfile={password_file}"),
            *("-E", "UTF8", "--locale=C.UTF-8"),
        ],
        cwd=cluster.parent,
        user=user,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _answers(port: int) -> bool:
    if not accepts(port):
        return False
    dsn = Database(HOST, port, "postgres", SUPERUSER, SUPERUSER_PASSWORD).dsn
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
