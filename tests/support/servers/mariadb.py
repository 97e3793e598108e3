"""A real MariaDB for tests: Debian's, on a private port, with its own data folder.

It runs as an unprivileged account, keeps a binary log as a primary would, and flushes nothing to
disk, since its data lives as long as the tests. Passwords are really checked on every connection.
"""

import itertools
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pymysql

from servers.process import HOST, Server, ServerMissingError, accepts, free_port, make_folder

SUPERUSER = "root"
SUPERUSER_PASSWORD = "correct-horse-1"
ACCOUNT = "nobody"
SETTINGS = {
    "bind-address": HOST,
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_general_ci",
    "innodb-buffer-pool-size": "64M",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-log-file-size": "64M",
    "log-bin": "binlog",
    "log-bin-trust-function-creators": "1",
    "max-allowed-packet": "128M",
    "max-connections": "60",
    "server-id": "1",
    "skip-name-resolve": "1",
    "sync-binlog": "0",
}
SCRIPT_FOLDERS = (Path("/usr/share/mysql"), Path("/usr/share/mariadb"))
SCRIPTS = (
    "mysql_system_tables.sql",
    "mysql_performance_tables.sql",
    "mysql_system_tables_data.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "mysql_sys_schema.sql",
)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Schema:
    """One database as one account sees it."""

    host: str
    port: int
    name: str
    user: str
    password: str

    def connect(self, **options: Any) -> Any:
        """Open a plain connection; the caller closes it."""
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            database=self.name or None,
            charset="utf8mb4",
            **{"autocommit": True, "client_flag": 1 << 16, **options},
        )

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run statements, divided by semicolons; give back the rows of the first, if it has any."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            rows = list(cursor.fetchall()) if cursor.description else []
            while cursor.nextset():
                pass
            return rows


@dataclass(slots=True)
class MariaDb:
    """The running server; `stop`, `start`, `kill`, `pause` and `resume` break it for a test."""

    server: Server
    host: str = HOST
    schemas: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.server.port

    def admin(self, name: str = "") -> Schema:
        """Give a database, or none, as the superuser sees it."""
        return Schema(self.host, self.port, name, SUPERUSER, SUPERUSER_PASSWORD)

    def create_schema(self, name: str | None = None) -> Schema:
        """Make a fresh database with an owner of its own; the owner does all in it."""
        chosen = name or f"erp_{os.getpid()}_{next(_numbers)}"
        owner = replace(self.admin(chosen), user=f"{chosen}_owner"[:80], password="secret-of-owner")
        admin = self.admin()
        admin.execute(f"CREATE DATABASE `{chosen}`")
        admin.execute(f"CREATE USER '{owner.user}' IDENTIFIED BY '{owner.password}'")
        admin.execute(f"GRANT ALL ON `{chosen}`.* TO '{owner.user}'")
        self.schemas.append(chosen)
        return owner

    def create_reader(
        self, schema: Schema, *, can_monitor: bool = False, reads_all: bool = True
    ) -> Schema:
        """Make an account that may only read: every table, also tables made later.

        With `can_monitor` it has the PROCESS right and so sees other sessions' transactions.
        """
        name = f"reader_{os.getpid()}_{next(_numbers)}"
        reader = replace(schema, user=name, password="secret-of-reader")
        admin = self.admin()
        admin.execute(f"CREATE USER '{reader.user}' IDENTIFIED BY '{reader.password}'")
        if can_monitor:
            admin.execute(f"GRANT PROCESS ON *.* TO '{reader.user}'")
        if reads_all:
            admin.execute(f"GRANT SELECT ON `{schema.name}`.* TO '{reader.user}'")
        return reader

    def drop_schema(self, schema: Schema) -> None:
        """Drop a database after its sessions; twice is harmless."""
        self.end_sessions(schema)
        self.admin().execute(f"DROP DATABASE IF EXISTS `{schema.name}`")

    def end_sessions(self, schema: Schema, command: str = "KILL") -> None:
        """Cut every connection to a database, as an administrator or a failover would."""
        admin = self.admin()
        found = admin.execute(
            "SELECT id FROM information_schema.processlist WHERE db = %s", [schema.name]
        )
        for (thread,) in found:
            try:
                admin.execute(f"{command} {thread}")
            except pymysql.err.OperationalError:
                continue  # it was gone before

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


def find_mariadbd() -> Path | None:
    """Return the server's program, or None."""
    found = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def start_mariadb(
    port: int | None = None, owner_pid: int | None = None, options: Sequence[str] = ()
) -> MariaDb:
    """Make a new data folder and start a server; `ServerMissingError` where there is no MariaDB."""
    program = find_mariadbd()
    if program is None:
        raise ServerMissingError(
            "MariaDB is not installed and this account may not install it; as root run "
            "`make servers`, or `apt-get install mariadb-server-core`"
        )
    chosen = port or free_port()
    user = ACCOUNT if os.geteuid() == 0 else None
    folder = make_folder("mariadb", user)
    _initialise(program, folder, user)
    command = [
        *(str(program), "--no-defaults", f"--datadir={folder / 'data'}", f"--port={chosen}"),
        *(f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}"),
        *(f"--{name}={value}" for name, value in SETTINGS.items()),
        *options,
    ]
    server = Server(
        name="mariadb",
        command=command,
        port=chosen,
        folder=folder,
        ready=lambda: _answers(chosen),
        user=user,
        owner_pid=os.getpid() if owner_pid is None else owner_pid,
    )
    server.start()
    return MariaDb(server)


def _initialise(program: Path, folder: Path, user: str | None) -> None:
    """Make the system tables, and a superuser who has a password and comes from anywhere.

    The server reads its own scripts, as Debian's installer would have it do: the installer itself
    needs a program of the client's package.
    """
    scripts = next((found for found in SCRIPT_FOLDERS if (found / SCRIPTS[0]).exists()), None)
    if scripts is None:
        raise ServerMissingError(f"{program} has no {SCRIPTS[0]} in {SCRIPT_FOLDERS}")
    (folder / "data" / "mysql").mkdir(parents=True)
    if user:
        for made in (folder / "data", folder / "data" / "mysql"):
            shutil.chown(made, user, pwd.getpwnam(user).pw_gid)
    statements = [
        "USE mysql;",
        "SET @auth_root_socket = NULL;",
        *((scripts / name).read_text() for name in SCRIPTS),
        "FLUSH PRIVILEGES;",
        f"CREATE USER '{SUPERUSER}'@'%' IDENTIFIED BY '{SUPERUSER_PASSWORD}';",
        f"GRANT ALL ON *.* TO '{SUPERUSER}'@'%' WITH GRANT OPTION;",
        f"DELETE FROM global_priv WHERE User IN ('', '{SUPERUSER}') AND Host <> '%';",
    ]
    done = subprocess.run(
        [
            *(str(program), "--no-defaults", "--bootstrap", f"--datadir={folder / 'data'}"),
            *(f"--lc-messages-dir={scripts}", "--silent-startup"),
        ],
        input="\n".join(statements),
        cwd=folder,
        user=user,
        group=user and pwd.getpwnam(user).pw_gid,
        extra_groups=[] if user else None,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ServerMissingError(f"MariaDB's tables could not be made by {program}: {done.stderr}")


def _answers(port: int) -> bool:
    if not accepts(port):
        return False
    try:
        Schema(HOST, port, "", SUPERUSER, SUPERUSER_PASSWORD).connect(connect_timeout=2).close()
    except pymysql.err.OperationalError:
        return False
    return True
