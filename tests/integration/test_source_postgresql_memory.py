"""Memory: a table of any length is read in the same few megabytes."""

import subprocess
import sys

import pytest

from servers.postgres import Database

SCRIPT = """
import re, sys
from pathlib import Path
from dpp_core.handover import DatabaseSource, Unit
from dpp_extractor.extract.database.engine import open_database
def peak_mib():  # of this image alone: getrusage also counts the process that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
host, port, name, user, password = sys.argv[1:]
source = DatabaseSource(
    engine="postgresql", host=host, port=int(port), database=name, tls="Disable"
)
secret = {"username": user, "password": password}
with open_database(source, secret, run_id="r") as opened, opened.snapshot() as view:
    table = view.describe(Unit(dataset="t", object="t"))
    batches = view.read(table, None, None)
    rows = next(batches).rows.num_rows
    first = peak_mib()
    rows += sum(batch.rows.num_rows for batch in batches)
    last = peak_mib()
print(rows, first, last)
"""


@pytest.mark.slow
def test_four_hundred_thousand_rows_need_no_more_than_the_first_block(database: Database) -> None:
    database.execute(
        "CREATE TABLE t AS SELECT n AS id, 'code ' || n AS code, (n / 7.0)::numeric(12,2) AS price,"
        " now() AS at, n / 3.0::float8 AS weight, md5(n::text)::uuid AS tag, repeat('ä', n % 60)"
        " AS note FROM generate_series(1, 400000) n"
    )
    arguments = [database.host, str(database.port), database.name, database.user, database.password]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], check=True, capture_output=True, text=True
    )
    rows, first_mib, last_mib = map(int, done.stdout.split())
    assert rows == 400_000
    assert last_mib < 220
    assert last_mib - first_mib < 60
