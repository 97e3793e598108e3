"""Memory: a MariaDB table of any length is read in the same few megabytes."""

import subprocess
import sys

import pytest

from servers.mariadb import Schema

SCRIPT = """
import re, sys
from pathlib import Path
from dpp_core.handover import DatabaseSource, Unit
from dpp_extractor.extract.database.engine import open_database
def peak_mib():  # of this image alone: getrusage also counts the process that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
host, port, name, user, password = sys.argv[1:]
source = DatabaseSource(engine="mariadb", host=host, port=int(port), database=name, tls="Disable")
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
def test_four_hundred_thousand_rows_need_no_more_than_the_first_block(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE t AS SELECT seq AS id, CONCAT('code ', seq) AS code,"
        " CAST(seq / 7 AS DECIMAL(12,2)) AS price, NOW(6) AS at, seq / 3e0 AS weight,"
        " MD5(seq) AS tag, REPEAT('ä', seq % 60) AS note FROM seq_1_to_400000"
    )
    arguments = [schema.host, str(schema.port), schema.name, schema.user, schema.password]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], check=True, capture_output=True, text=True
    )
    rows, first_mib, last_mib = map(int, done.stdout.split())
    assert rows == 400_000
    assert last_mib < 220
    assert last_mib - first_mib < 60
