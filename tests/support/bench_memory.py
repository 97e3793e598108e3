"""How much memory a run needs for ten million rows of PostgreSQL and three million of MariaDB. `make bench-memory`.

Each source is read whole by the real command into a folder, at a tenth of its rows and at all of them: what counts is
that the greatest resident memory stays below the bound and does not grow. Exit code 1 where it does.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import scene
from bench import REPLACE, Measured, make_ledger, measure, print_table
from scene import FolderPlace, Scene, make_scene
from servers.mariadb import Schema, start_mariadb
from servers.postgres import Database, Postgres, start_postgres

POSTGRESQL_ROWS, MARIADB_ROWS = 10_000_000, 3_000_000
MOST_BYTES = 300_000_000
MOST_GROWTH = 1.2
"""Of the peak at all rows to that at a tenth: both pass through the same buffers."""
MARIADB_LEDGER = """
CREATE TABLE ledger (
    id BIGINT PRIMARY KEY, branch SMALLINT NOT NULL, item INT NOT NULL, code CHAR(8) NOT NULL,
    name VARCHAR(60) NOT NULL, note TEXT, price DECIMAL(12,2), amount DECIMAL(18,4), weight DOUBLE,
    booked DATE NOT NULL, changed TIMESTAMP(6) NOT NULL, is_open TINYINT(1) NOT NULL);
INSERT INTO ledger SELECT
    seq, seq % 40, seq % 50000, LPAD(seq % 100000, 8, '0'),
    CONCAT('Müller & Söhne, Straße ', (seq * 7919) % 100000), IF(seq % 3 = 0, NULL, MD5(seq)),
    (seq * 31) % 1000000 / 100.0, (seq * 17) % 10000000 / 10000.0, SQRT(seq),
    DATE'2020-01-01' + INTERVAL (seq % 2000) DAY, TIMESTAMP'2024-01-01 00:00:00' + INTERVAL seq SECOND,
    seq % 5 = 0
FROM seq_1_to_{rows};
"""


def measure_postgresql(folder: Path, rows: int) -> list[Measured]:
    """Read a tenth, then all; the tenth is a table of its own in the same server."""
    server = start_postgres()
    try:
        return [_read_ledger(folder, server, count) for count in (rows // 10, rows)]
    finally:
        server.server.remove()


def _read_ledger(folder: Path, server: Postgres, rows: int) -> Measured:
    owner = server.create_database()
    place = FolderPlace(folder / f"postgresql-{rows}")
    read = make_ledger(folder, server, owner, place, rows=rows)
    read.spec["datasets"] = [deepcopy(REPLACE)]
    return _measure(read, f"postgresql, {rows:,} rows")


def measure_mariadb(folder: Path, rows: int) -> list[Measured]:
    """Read a tenth, then all."""
    server, postgres = start_mariadb(), start_postgres()
    try:
        found = []
        for count in (rows // 10, rows):
            schema = server.create_schema()
            schema.execute(MARIADB_LEDGER.format(rows=count))
            with _turned_to(schema):
                read = _build_scene(folder, postgres, schema, count)
                found.append(_measure(read, f"mariadb, {count:,} rows"))
        return found
    finally:
        server.server.remove()
        postgres.server.remove()


@contextmanager
def _turned_to(schema: Schema) -> Iterator[None]:
    """Let the scene's policy allow MariaDB meanwhile."""
    engines = scene.POLICY["sources"]["engines"]
    engines.append("mariadb")
    try:
        yield
    finally:
        engines.remove("mariadb")


def _build_scene(folder: Path, postgres: Postgres, schema: Schema, rows: int) -> Scene:
    owner: Database = postgres.create_database()
    read = make_scene(folder, postgres, owner, FolderPlace(folder / f"mariadb-{rows}"))
    place = {"host": schema.host, "port": schema.port, "database": schema.name}
    read.spec["source"]["database"] |= {"engine": "mariadb", **place}
    read.spec["datasets"] = [deepcopy(REPLACE)]
    read.environment = {
        "DPP_SOURCE_USERNAME": schema.user,
        "DPP_SOURCE_PASSWORD": schema.password,
    }
    return read


def _measure(read: Scene, name: str) -> Measured:
    measured = measure(read, name)
    shutil.rmtree(read.folder / Path(read.place.uri("")).relative_to(read.folder).parts[0])
    return measured


def main(share: int) -> int:
    """Print the table; `share` divides the rows, for a short form."""
    folder = Path(tempfile.mkdtemp(prefix="dpp-bench-"))
    try:
        found = measure_postgresql(folder, POSTGRESQL_ROWS // share)
        found += measure_mariadb(folder, MARIADB_ROWS // share)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_table(found)
    worst = max(each.peak_bytes for each in found)
    growth = max(
        whole.peak_bytes / tenth.peak_bytes
        for tenth, whole in zip(found[::2], found[1::2], strict=True)
    )
    is_small = worst <= MOST_BYTES and (share > 1 or growth <= MOST_GROWTH)
    bound = f"at most {MOST_BYTES / 1e6:.0f} MB and {MOST_GROWTH:.1f} x the peak of a tenth"
    print(f"{bound}: {worst / 1e6:.0f} MB, {growth:.2f} x; {'kept' if is_small else 'NOT KEPT'}")
    return 0 if is_small else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
