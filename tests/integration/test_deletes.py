"""Rows deleted at a real PostgreSQL go from the current state too, on a real S3 server, by foreign readers."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench import measure
from equality import SYSTEM, Row, compare
from scene import BucketPlace, FolderPlace, Scene, killed, make_scene
from servers.postgres import Database, Postgres
from servers.s3 import S3Server
from strangers import Stranger, compact

LINES = """
CREATE TABLE lines (no text, at timestamptz, size numeric(12,3), day date, note text, rev bigint NOT NULL,
    PRIMARY KEY (no, at, size, day));
INSERT INTO lines SELECT
    (array['a', 'A', 'ä', 'a ', 'Å', 'ss', 'ß', '1:a', ''])[1 + n % 9] || n / 90,
    timestamptz '2024-02-29 12:00:00.000001+02' + (n % 5) * interval '1 microsecond',
    (n % 7) / 1000.0, date '0001-01-01' + n % 3, 'note ' || n, n
FROM generate_series(1, 900) n ON CONFLICT DO NOTHING;
"""
KEY_DIFF = {"key": ["id"], "incremental": {"cursor": "rev"}, "deletes": "KeyDiff"}
BY_LINE = {**KEY_DIFF, "name": "lines", "key": ["no", "at", "size", "day"]}
POINTS = ("table_keys_read", "source_keys_read", "keys_compared", "part_uploaded", "commit_unread")
MOST_BYTES = 300_000_000
KEYS = 1_000_000


@pytest.fixture
def scene(
    tmp_path: Path, postgres: Postgres, database: Database, s3_server: S3Server, bucket: str
) -> Scene:
    """Give a shop in a bucket whose orders and lines are compared by keys, after its first run."""
    scene = make_scene(tmp_path, postgres, database, BucketPlace(s3_server, bucket))
    scene.execute(LINES)
    scene.spec["datasets"] = [{"name": "orders", **KEY_DIFF}, BY_LINE]
    scene.run()
    return scene


def current(scene: Scene, dataset: str) -> list[Row]:
    """Read the view that `dpp show --sql duckdb` prints; it leaves out the product's columns."""
    import duckdb
    from duckdb_extensions import import_extension

    from equality import build_duckdb_secret

    dpp, _, *where = scene.command()
    login = {"DPP_SOURCE_USERNAME": "x", "DPP_SOURCE_PASSWORD": "x"}
    said = subprocess.run(
        [dpp, "show", *where[:4], "--dataset", dataset, "--sql", "duckdb"],
        env={"PATH": os.environ["PATH"], "HOME": str(scene.folder)}
        | login
        | scene.place.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    with duckdb.connect() as connection:
        for extension in ("delta", "httpfs"):
            import_extension(extension, con=connection)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(build_duckdb_secret(scene.place.options))
        connection.execute(said.stdout)
        rows: list[Row] = (
            connection.execute(f"SELECT * FROM {dataset}_current").to_arrow_table().to_pylist()
        )
    assert not any(name in SYSTEM for row in rows for name in row)
    return [row | dict.fromkeys(SYSTEM) for row in rows]


def assert_current(scene: Scene) -> None:
    """By deltalake, DuckDB and Polars, and by the printed view, the tables are what the source is now."""
    from equality import READERS, current_state

    for dataset, key in (("orders", ["id"]), ("lines", BY_LINE["key"])):
        wanted = scene.rows(dataset)
        assert compare(wanted, current(scene, dataset), key) == [], dataset
        for reader, read in READERS.items():
            rows = read(scene.place.uri(dataset), scene.place.options)
            assert compare(wanted, current_state(rows, key), key) == [], (reader, dataset)


def counts(scene: Scene, dataset: str) -> list[tuple[int, int]]:
    """Give how many rows each commit wrote and how many went."""
    told = [commit["counts"] for commit in scene.commits(dataset)]
    return [(each["written"], each.get("deleted", 0)) for each in told]


def test_deleted_rows_go_from_the_current_state_by_every_reader(scene: Scene) -> None:
    scene.execute("DELETE FROM orders WHERE id IN (3, 200); DELETE FROM lines WHERE rev % 40 = 0")
    scene.execute("UPDATE orders SET item = 'neu', rev = 500 + id WHERE id < 3")
    gone = len(scene.seen("lines") or []) - len(scene.rows("lines"))

    ended = scene.run()

    assert ended.units["orders"]["deleted"] == 2
    assert counts(scene, "orders") == [(200, 0), (2, 2)]
    assert counts(scene, "lines")[1:] == [(0, gone)]
    assert 0 < gone < 90
    assert_current(scene)
    assert scene.run().outcomes == {"orders": "Unchanged", "lines": "Unchanged"}


def test_a_key_comes_back_and_goes_again_while_a_stranger_compacts(scene: Scene) -> None:
    place: Any = scene.place
    stranger = Stranger(
        place.uri("orders"), place.options, lambda key: None, lambda key, body: None
    )
    scene.execute("DELETE FROM orders WHERE id = 7")
    scene.run()
    compact(stranger)
    scene.execute("INSERT INTO orders VALUES (7, 'again', NULL, now(), 600)")
    scene.run()
    assert_current(scene)
    compact(stranger)
    scene.execute("DELETE FROM orders WHERE id IN (7, 8)")

    scene.run()

    assert counts(scene, "orders") == [(200, 0), (0, 1), (1, 0), (0, 2)]
    assert_current(scene)
    assert scene.run().outcomes["orders"] == "Unchanged"


@pytest.mark.parametrize("point", POINTS)
def test_killed_between_the_next_run_deletes_the_same_once(scene: Scene, point: str) -> None:
    scene.execute("DELETE FROM orders WHERE id <= 5")

    killed(scene.start(DPP_KILL_AT=point))
    scene.run()

    assert [deleted for _, deleted in counts(scene, "orders")] == [0, 5]
    assert_current(scene)
    assert list(scene.folder.glob("**/dpp-keys-*")) == []


def test_a_source_that_lost_its_rows_deletes_nothing_until_somebody_approves(scene: Scene) -> None:
    scene.execute("DELETE FROM orders WHERE id > 150; DELETE FROM lines")

    blocked = scene.run(expect=24)
    scene.spec["approve"] = [blocked.report["run_id"]]
    approved = scene.run()

    assert {unit["reason"] for unit in blocked.units.values()} == {"TooManyDeletes"}
    assert counts(scene, "orders") == [(200, 0), (0, 50)]
    assert approved.outcomes == {"orders": "Committed", "lines": "Committed"}
    assert scene.rows("lines") == []
    assert current(scene, "lines") == []


def test_rows_that_the_source_marks_go_too(scene: Scene) -> None:
    scene.execute(
        "ALTER TABLE items ADD COLUMN gone_at timestamptz, ADD COLUMN rev bigint DEFAULT 1"
    )
    marked = {"deletes": "SoftDeleteColumn", "softDelete": {"column": "gone_at"}}
    scene.spec["datasets"] = [{**KEY_DIFF, **marked, "name": "items"}]
    scene.run()
    scene.execute("UPDATE items SET gone_at = now(), rev = 2 WHERE id % 10 = 0")

    ended = scene.run()

    assert (ended.units["items"]["rows"], ended.units["items"]["deleted"]) == (0, 12)
    alive = [row for row in scene.rows("items") if row["gone_at"] is None]
    assert compare(alive, current(scene, "items"), ["id"]) == []


@pytest.mark.slow
def test_a_million_keys_are_compared_within_the_bound(
    tmp_path: Path, postgres: Postgres, database: Database
) -> None:
    scene = make_scene(tmp_path, postgres, database, FolderPlace(tmp_path / "out"))
    scene.execute(
        f"TRUNCATE orders; INSERT INTO orders SELECT n, 'Rohr ' || n, n / 4.0, now(), n"
        f" FROM generate_series(1, {KEYS}) n"
    )
    scene.spec["datasets"] = [{"name": "orders", **KEY_DIFF}]
    scene.run()
    scene.execute("DELETE FROM orders WHERE id % 20 = 0")

    measured = measure(scene, "key diff")

    print(f"{measured.peak_bytes / 1e6:.0f} MB, {measured.wall_seconds:.1f} s for {KEYS:,} keys")
    assert counts(scene, "orders") == [(KEYS, 0), (0, KEYS // 20)]
    assert measured.peak_bytes <= MOST_BYTES
