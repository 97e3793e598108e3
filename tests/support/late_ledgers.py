"""A ledger of stamped and numbered rows on PostgreSQL and on MariaDB, for `late_commits`.

Each says in its server's own words how a transaction begins, writes, is prepared and ends. Rows are
stamped with the start of their transaction, the earliest a server stamps with.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Protocol

import psycopg

from dpp_core.handover import DatabaseSource
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.ports import Source
from servers.mariadb import MariaDb, Schema
from servers.postgres import Database, Postgres

Run = Callable[[str], Any]


class Ledger(Protocol):
    """One table `ledger (id, version, at, rev)` as its writers and its reader see it."""

    @property
    def engine(self) -> str: ...

    @property
    def snapshot_module(self) -> ModuleType: ...

    def connect(self) -> AbstractContextManager[Run]: ...

    def source(self) -> AbstractContextManager[Source]: ...

    def begin(self, run: Run, name: str) -> None:
        """Begin, under a name when it shall be prepared; its start is its stamp."""
        ...

    def insert(self, run: Run, first: int, rows: int) -> None: ...

    def update(self, run: Run, first: int, rows: int) -> None: ...

    def prepare(self, run: Run, name: str) -> None: ...

    def commit_prepared(self, run: Run, name: str) -> None: ...

    def read_versions(self) -> dict[int, int]: ...

    def find_end(self, cursor: str) -> Any: ...

    def has_passed(self, low: str, end: Any) -> bool: ...


@dataclass(frozen=True, slots=True)
class PostgresLedger:
    """The ledger in a database of PostgreSQL."""

    owner: Database
    reader: Database
    engine: str = "postgresql"

    @classmethod
    def make(cls, server: Postgres, database: Database | None = None) -> "PostgresLedger":
        owner = database or server.create_database()
        owner.execute(
            "CREATE SEQUENCE revs; CREATE TABLE ledger (id bigint PRIMARY KEY, version int NOT NULL,"
            " at timestamptz NOT NULL, rev bigint NOT NULL);"
            "CREATE INDEX by_at ON ledger (at); CREATE INDEX by_rev ON ledger (rev)"
        )
        return cls(owner, server.create_reader(owner, can_monitor=True))

    @property
    def snapshot_module(self) -> ModuleType:
        from dpp_extractor.extract.database.postgresql import snapshot

        return snapshot

    @contextmanager
    def connect(self) -> Iterator[Run]:
        with psycopg.connect(self.owner.dsn, autocommit=True) as connection:
            yield lambda statement: connection.execute(statement.encode())

    def source(self) -> AbstractContextManager[Source]:
        return _open(self.engine, self.reader)

    def begin(self, run: Run, name: str) -> None:
        run("BEGIN")
        run("SELECT now()")

    def insert(self, run: Run, first: int, rows: int) -> None:
        run(
            "INSERT INTO ledger SELECT n, 1, now(), nextval('revs')"
            f" FROM generate_series({first}::bigint, {first + rows - 1}) n"
        )

    def update(self, run: Run, first: int, rows: int) -> None:
        run(
            "UPDATE ledger SET version = version + 1, at = now(), rev = nextval('revs')"
            f" WHERE id >= {first} AND id < {first + rows}"
        )

    def prepare(self, run: Run, name: str) -> None:
        run(f"PREPARE TRANSACTION '{name}'")

    def commit_prepared(self, run: Run, name: str) -> None:
        run(f"COMMIT PREPARED '{name}'")

    def read_versions(self) -> dict[int, int]:
        return dict(self.owner.execute("SELECT id, version FROM ledger"))

    def find_end(self, cursor: str) -> Any:
        return self.owner.execute(f"SELECT max({cursor}) FROM ledger")[0][0]

    def has_passed(self, low: str, end: Any) -> bool:
        return int(low) > end if isinstance(end, int) else datetime.fromisoformat(low) > end


@dataclass(frozen=True, slots=True)
class MariaLedger:
    """The ledger in a database of MariaDB."""

    owner: Schema
    reader: Schema
    engine: str = "mariadb"

    @classmethod
    def make(cls, server: MariaDb, schema: Schema | None = None) -> "MariaLedger":
        owner = schema or server.create_schema()
        owner.execute(
            "CREATE SEQUENCE revs; CREATE TABLE seed (id INT PRIMARY KEY); INSERT INTO seed VALUES (1);"
            "CREATE TABLE ledger (id BIGINT PRIMARY KEY, version INT NOT NULL,"
            " at TIMESTAMP(6) NOT NULL, rev BIGINT NOT NULL, KEY by_at (at), KEY by_rev (rev))"
        )
        return cls(owner, server.create_reader(owner, can_monitor=True))

    @property
    def snapshot_module(self) -> ModuleType:
        from dpp_extractor.extract.database.mysql import snapshot

        return snapshot

    @contextmanager
    def connect(self) -> Iterator[Run]:
        with closing(self.owner.connect()) as connection:
            yield lambda statement: connection.cursor().execute(statement)

    def source(self) -> AbstractContextManager[Source]:
        return _open(self.engine, self.reader)

    def begin(self, run: Run, name: str) -> None:
        run(f"XA START '{name}'" if name else "START TRANSACTION")
        run("SELECT NOW(6) INTO @at FROM seed")

    def insert(self, run: Run, first: int, rows: int) -> None:
        run(
            f"INSERT INTO ledger SELECT {first} + seq, 1, @at, NEXTVAL(revs) FROM seq_0_to_{rows - 1}"
        )

    def update(self, run: Run, first: int, rows: int) -> None:
        run(
            "UPDATE ledger SET version = version + 1, at = @at, rev = NEXTVAL(revs)"
            f" WHERE id >= {first} AND id < {first + rows}"
        )

    def prepare(self, run: Run, name: str) -> None:
        run(f"XA END '{name}'")
        run(f"XA PREPARE '{name}'")

    def commit_prepared(self, run: Run, name: str) -> None:
        run(f"XA COMMIT '{name}'")

    def read_versions(self) -> dict[int, int]:
        return dict(self.owner.execute("SELECT id, version FROM ledger"))

    def find_end(self, cursor: str) -> Any:
        shown = "UNIX_TIMESTAMP(MAX(at))" if cursor == "at" else "MAX(rev)"
        ((end,),) = self.owner.execute(f"SELECT {shown} FROM ledger")
        return datetime.fromtimestamp(float(end), UTC) if cursor == "at" else int(end)

    def has_passed(self, low: str, end: Any) -> bool:
        return int(low) > end if isinstance(end, int) else datetime.fromisoformat(low) > end


def _open(engine: Any, reader: Database | Schema) -> AbstractContextManager[Source]:
    source = DatabaseSource(
        engine=engine, host=reader.host, port=reader.port, database=reader.name, tls="Disable"
    )
    return open_database(
        source, {"username": reader.user, "password": reader.password}, run_id="late"
    )
