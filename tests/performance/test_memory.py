"""A run's memory does not grow with what it reads: the short form of `make bench-run`, which reads a million rows."""

from pathlib import Path

import pytest

from bench import make_ledger, measure
from scene import BucketPlace, FolderPlace, Place
from servers.postgres import Database, Postgres
from servers.s3 import S3Server

ROWS, REPEATS = 150_000, 96
"""Two in three of these rows have 3 kB: 300 MB to read, which nobody could hold and stay below the bound."""
MOST_BYTES = 300_000_000


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_a_run_reads_more_than_its_memory(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    postgres: Postgres,
    database: Database,
    where: str,
) -> None:
    place: Place = FolderPlace(tmp_path / "out")
    if where == "bucket":
        server: S3Server = request.getfixturevalue("s3_server")
        place = BucketPlace(server, server.make_bucket())
    scene = make_ledger(tmp_path, postgres, database, place, rows=ROWS, repeats=REPEATS)

    measured = measure(scene, where)

    print(
        f"{measured.peak_bytes / 1e6:.0f} MB, {measured.rows / measured.wall_seconds:,.0f} rows/s"
    )
    assert measured.rows == ROWS
    assert measured.peak_bytes <= MOST_BYTES
