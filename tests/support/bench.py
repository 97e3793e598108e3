"""How fast and how small a run from a real PostgreSQL is. `make bench-run` prints the table; a test holds the bound.

The source is a ledger of 12 columns of mixed types. What counts is the process: its wall time and its greatest resident
memory as the kernel counted it, start of the interpreter included. Numbers are of this machine and this moment.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from scene import BucketPlace, FolderPlace, Place, Scene, finish, make_scene
from servers.postgres import Database, Postgres, start_postgres
from servers.s3 import start_s3

LEDGER = """
CREATE TABLE ledger (
    id bigint PRIMARY KEY, branch smallint NOT NULL, item integer NOT NULL, code char(8) NOT NULL,
    name text NOT NULL, note text, price numeric(12,2), amount numeric(18,4), weight double precision,
    booked date NOT NULL, changed timestamptz NOT NULL, is_open boolean NOT NULL);
INSERT INTO ledger SELECT
    n, n % 40, n % 50000, to_char(n % 100000, 'FM00000000'),
    'Müller & Söhne, Straße ' || (n * 7919) % 100000,
    CASE WHEN n % 3 = 0 THEN NULL ELSE repeat(md5(n::text), {repeats}) END,
    (n * 31) % 1000000 / 100.0, (n * 17) % 10000000 / 10000.0, sqrt(n),
    date '2020-01-01' + (n % 2000)::integer, timestamptz '2024-01-01' + n * interval '1 second',
    n % 5 = 0
FROM generate_series(1::bigint, {rows}) n;
ANALYZE ledger;
"""
ACCOUNTANT = """
import json, resource, subprocess, sys, time
begun_at = time.monotonic()
code = subprocess.run(sys.argv[2:]).returncode
wall_seconds = time.monotonic() - begun_at
used = resource.getrusage(resource.RUSAGE_CHILDREN)
account = {"wall_seconds": wall_seconds, "cpu_seconds": used.ru_utime + used.ru_stime}
with open(sys.argv[1], "w") as file:
    json.dump({**account, "peak_kilobytes": used.ru_maxrss}, file)
sys.exit(code)
"""
"""A small process between us and the run: a child's account begins with the memory of who forked it."""
APPEND = {"name": "ledger", "key": ["id"], "incremental": {"cursor": "changed"}}
REPLACE = {"name": "ledger", "key": ["id"]}


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: what it wrote, how long its process lived and how much memory it held at most."""

    scenario: str
    rows: int
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    written_bytes: int


def make_ledger(
    folder: Path, postgres: Postgres, owner: Database, place: Place, *, rows: int, repeats: int = 1
) -> Scene:
    """Make the source with that many rows, and the resource that reads it incrementally.

    Two rows in three have a note of 32 characters, `repeats` times.
    """
    scene = make_scene(folder, postgres, owner, place)
    scene.execute(LEDGER.format(rows=rows, repeats=repeats))
    scene.spec["datasets"] = [deepcopy(APPEND)]
    scene.environment = {"DPP_RETRY_ATTEMPTS": "", "DPP_RETRY_BASE_SECONDS": ""}
    return scene


def measure(scene: Scene, scenario: str, *options: str) -> Measured:
    """Run once and take the kernel's account of the process. Fails when the run does."""
    account = scene.folder / "account.json"
    through = (sys.executable, "-c", ACCOUNTANT, str(account))
    finish(scene.start(*options, through=through), timeout_seconds=900)
    taken = json.loads(account.read_text())
    parts = [body for key, body in scene.place.files().items() if key.endswith(".parquet")]
    commits = scene.commits("ledger")
    return Measured(
        scenario,
        commits[-1]["counts"]["written"] if commits else 0,
        taken["wall_seconds"],
        taken["cpu_seconds"],
        taken["peak_kilobytes"] * 1024,
        sum(map(len, parts)),
    )


@contextmanager
def open_bench(rows: int) -> Iterator[tuple[Scene, BucketPlace]]:
    """Start the servers, fill the source, and give a scene on a folder, and a bucket."""
    folder = Path(tempfile.mkdtemp(prefix="dpp-bench-"))
    postgres, s3 = start_postgres(), start_s3()
    try:
        owner = postgres.create_database()
        scene = make_ledger(folder, postgres, owner, FolderPlace(folder / "out"), rows=rows)
        yield scene, BucketPlace(s3, s3.make_bucket())
    finally:
        postgres.server.remove()
        s3.server.remove()
        shutil.rmtree(folder)


def run_bench(rows: int) -> list[Measured]:
    """Measure the same rows into a folder and a bucket, the run after that brings nothing, and a whole read."""
    with open_bench(rows) as (scene, bucket):
        found = [measure(scene, "append, first run, folder")]
        found.append(measure(scene, "append, nothing new, folder"))
        found.append(measure(scene.at(bucket), "append, first run, bucket"))
        whole = scene.at(FolderPlace(scene.folder / "whole"))
        whole.spec["datasets"] = [deepcopy(REPLACE)]
        found.append(measure(whole, "replace, folder"))
    return found


def print_table(measured: Sequence[Measured]) -> None:
    print(
        f"{'':30}{'rows':>11}{'wall s':>9}{'CPU s':>8}{'rows/s':>10}{'peak MB':>9}{'parquet MB':>12}"
    )
    for each in measured:
        is_idle = "nothing new" in each.scenario
        speed = "-" if is_idle else f"{each.rows / each.wall_seconds:,.0f}"
        shown = 0 if is_idle else each.rows
        print(
            f"{each.scenario:30}{shown:>11,}{each.wall_seconds:>9.1f}{each.cpu_seconds:>8.1f}{speed:>10}"
            f"{each.peak_bytes / 1e6:>9.0f}{each.written_bytes / 1e6:>12.1f}"
        )


if __name__ == "__main__":
    print_table(run_bench(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
