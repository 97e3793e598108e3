"""A destination that is away, full, careless or somebody else's: nothing half visible, and all arrives afterwards."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from scene import CHANGE, BucketPlace, FolderPlace, Scene
from servers.careless_s3 import open_careless_s3
from servers.proxy import Proxy, open_proxy
from servers.s3 import S3Server

Stopped = Callable[[S3Server], AbstractContextManager[None]]
COMMIT_PATH = b"/shop/shop/orders/_delta_log/0"


@pytest.fixture
def proxy(bucket_scene: Scene, s3_server: S3Server) -> Iterator[Proxy]:
    """Give a proxy before the bucket of the scene."""
    assert isinstance(bucket_scene.place, BucketPlace)
    with open_proxy(s3_server.server.port) as opened:
        bucket_scene.place = replace(bucket_scene.place, through=opened.endpoint)
        yield opened


def test_a_bucket_that_is_down_at_the_start_is_26(
    bucket_scene: Scene, s3_server: S3Server, stopped: Stopped
) -> None:
    with stopped(s3_server):
        ended = bucket_scene.run(expect=26)

    unit = ended.units["orders"]
    assert (unit["code"], unit["reason"]) == (26, "DestinationUnavailable")
    assert unit["message"].startswith("s3://lake-") and "Run it again" in unit["message"]
    assert not bucket_scene.place.files()
    bucket_scene.run()
    bucket_scene.assert_equal()


def test_a_bucket_that_goes_away_at_the_commit_leaves_nothing_visible(
    bucket_scene: Scene, proxy: Proxy
) -> None:
    proxy.cut_requests_with = COMMIT_PATH

    ended = bucket_scene.run(expect=26)

    unit = ended.units["orders"]
    assert (unit["outcome"], unit["code"]) == ("Failed", 26)
    assert "orders/_delta_log/00000000000000000000.json" in unit["message"]
    assert bucket_scene.seen("orders") is None
    parts = [key for key in bucket_scene.place.files() if key.endswith(".parquet")]
    assert len(parts) == 1, "the uploaded part stays, and nobody sees it"
    proxy.cut_requests_with = b""
    bucket_scene.run()
    bucket_scene.assert_equal()


def test_a_commit_whose_answer_is_lost_is_found_and_counted_once(
    bucket_scene: Scene, proxy: Proxy
) -> None:
    proxy.lose_answers_to = (
        b"PUT /" + bucket_scene.place.destination["bucket"].encode() + COMMIT_PATH
    )

    ended = bucket_scene.run()

    assert ended.outcomes == {"orders": "Committed", "items": "Committed"}
    assert [commit["seq"] for commit in bucket_scene.commits("orders")] == [1]
    bucket_scene.assert_equal()


def test_a_store_that_ignores_conditional_writes_is_refused_before_there_is_a_table(
    scene: Scene,
) -> None:
    with open_careless_s3() as server:
        careless = scene.at(BucketPlace(server, server.make_bucket()))
        before = set(careless.place.files())  # all moto servers of one process share their buckets

        ended = careless.run(expect=29)

        unit = ended.units["orders"]
        assert (unit["code"], unit["reason"]) == (29, "ConditionalWritesIgnored")
        assert "s3://lake" in unit["message"] and "If-None-Match" in unit["message"]
        keys = set(careless.place.files()) - before
    assert not [key for key in keys if "_delta_log" in key or key.endswith(".parquet")]


def fill(scene: Scene) -> None:
    scene.execute(CHANGE)
    scene.execute(
        "INSERT INTO items SELECT n, md5(n::text) || md5((n * 7)::text), n FROM generate_series(1000, 60000) n"
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system; the file-size limit is tried instead")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_28_and_the_table_stays_as_it_was(scene: Scene, small_disk: Path) -> None:
    scene.place = FolderPlace(small_disk / "out")
    scene.run()
    before = scene.log("items")
    fill(scene)

    ended = scene.run(expect=28)

    unit = ended.units["items"]
    assert (unit["code"], unit["reason"]) == (28, "ResourcesExhausted")
    assert str(small_disk) in unit["message"]
    assert "No space left on device" in unit["message"] and "Make room" in unit["message"]
    assert scene.log("items") == before
    assert not list((small_disk / "out" / ".dpp-tmp").iterdir()), "half a part is thrown away"
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert scene.run().outcomes["items"] == "Committed"
    scene.assert_equal()


def test_a_limit_on_files_is_28_and_the_table_stays_as_it_was(scene: Scene) -> None:
    scene.run()
    before = scene.log("items")
    fill(scene)
    limit = (200_000, resource.RLIM_INFINITY)

    ended = scene.run(expect=28, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))

    unit = ended.units["items"]
    assert (unit["code"], unit["reason"]) == (28, "ResourcesExhausted")
    assert "File too large" in unit["message"]
    assert scene.log("items") == before
    scene.run()
    scene.assert_equal()


def test_memory_that_runs_out_is_28_and_the_table_stays_as_it_was(scene: Scene) -> None:
    scene.run()
    before = scene.log("items")
    scene.execute("INSERT INTO items VALUES (1000, repeat('x', 300000000), 1)")  # one row: 300 MB
    limit = (1_000_000_000, resource.RLIM_INFINITY)

    ended = scene.run(expect=28, before=lambda: resource.setrlimit(resource.RLIMIT_AS, limit))

    unit = ended.units["items"]
    assert (unit["code"], unit["reason"]) == (28, "ResourcesExhausted")
    assert "memory" in unit["message"]
    assert scene.log("items") == before
    scene.execute("DELETE FROM items WHERE id = 1000; UPDATE items SET name = 'short' WHERE id = 1")
    scene.run()
    scene.assert_equal()


def test_a_table_of_another_owner_is_left_alone(scene: Scene) -> None:
    scene.run()
    before = scene.place.files()
    scene.execute(CHANGE)
    scene.spec["distributor"] = "other"

    ended = scene.run(expect=29)

    unit = ended.units["orders"]
    assert (unit["code"], unit["reason"]) == (29, "StreamOwnedByAnother")
    assert "distributor 'shop' (this run: 'other')" in unit["message"]
    after = scene.place.files()
    assert {key: after[key] for key in before} == before
    assert not [key for key in set(after) - set(before) if not key.startswith("shop/shop/_dpp/")]
    scene.spec["distributor"] = "shop"
    scene.run()
    scene.assert_equal()
