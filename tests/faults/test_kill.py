"""Killed with -9 anywhere on the way to a commit and after it: the next run ends where an undisturbed one does.

The shop's second run is killed, while `orders` (Append) or `items` (Replace) is on its way. It is then started again by
its name, as a Job's retry does, and, from the same leftovers, as a new run. Both tables must equal those of a run that
nobody disturbed, but for `_dpp_read_at` and the names of files.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from equality import Row, assert_same_tables
from scene import CHANGE, BucketPlace, FolderPlace, Place, Scene, finish, killed, make_scene
from servers.postgres import Postgres
from servers.s3 import S3Server

TABLES = ("orders", "items")
REQUIRED = ("part_uploaded", "commit_unread", "committed")
OTHERS = ("claimed", "heads_read", "commit_sent", "copied", "indexed", "recorded")
CASES = [
    *itertools.product(REQUIRED, ("orders", "items"), ("folder", "bucket")),
    *((point, "orders", "folder") for point in OTHERS),
]
IS_COMMITTED = ("commit_unread", "committed", "copied", "indexed", "recorded")


@dataclass(frozen=True, slots=True)
class Prepared:
    """The shop before its second run, and how both tables look after one that was left alone."""

    scene: Scene
    undisturbed: dict[str, list[Row]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("kill")
    owner = postgres.create_database()
    yield make_scene(folder, postgres, owner, FolderPlace(folder / "out"))
    postgres.drop_database(owner)


@pytest.fixture(scope="module")
def prepared(shop: Scene, s3_server: S3Server) -> dict[str, Prepared]:
    """Run once into both places, change the source, and run undisturbed into copies of them."""
    places: dict[str, Place] = {
        "folder": shop.place,
        "bucket": BucketPlace(s3_server, s3_server.make_bucket()),
    }
    scenes = {name: shop.at(place) for name, place in places.items()}
    for started in [scene.start() for scene in scenes.values()]:
        finish(started)
    shop.execute(CHANGE)
    alone = {name: scene.at(scene.place.copy()) for name, scene in scenes.items()}
    for started in [scene.start() for scene in alone.values()]:
        finish(started)
    return {name: Prepared(scenes[name], read_tables(alone[name])) for name in scenes}


def read_tables(scene: Scene) -> dict[str, list[Row]]:
    return {name: scene.seen(name) or [] for name in TABLES}


def kill_at(point: str, dataset: str) -> str:
    """Name the hook and how often a run passes it until that dataset is at it."""
    nth = 2 if dataset == "items" and point != "recorded" else 1
    return f"{point}:{nth}"


@pytest.mark.parametrize(("point", "dataset", "where"), CASES, ids=["-".join(c) for c in CASES])
def test_killed_there_the_next_run_ends_where_an_undisturbed_one_does(
    prepared: dict[str, Prepared], ferret_uri: str, point: str, dataset: str, where: str
) -> None:
    arranged = prepared[where]
    victim = arranged.scene.at(arranged.scene.place.copy())
    index = {"DPP_INDEX_URI": ferret_uri if point == "indexed" else ""}

    killed(victim.start("--run-id", "second", **index, DPP_KILL_AT=kill_at(point, dataset)))

    assert (len(victim.commits(dataset)) == 2) == (point in IS_COMMITTED)
    retry, new = victim, victim.at(victim.place.copy())
    ended = [
        each.start(*options, **index)
        for each, options in ((retry, ("--run-id", "second")), (new, ()))
    ]
    again, fresh = [finish(process) for process in ended]
    for scene in (retry, new):
        for name in TABLES:
            rows = scene.seen(name) or []
            assert_same_tables(rows, arranged.undisturbed[name])
            assert not repeated(scene, name, rows)
    is_found = point in IS_COMMITTED
    assert again.outcomes[dataset] == ("AlreadyCommitted" if is_found else "Committed")
    if dataset == "orders":
        assert fresh.outcomes[dataset] == ("Unchanged" if is_found else "Committed")
    assert_everything_is_in_its_place(retry)


def repeated(scene: Scene, name: str, rows: list[Row]) -> list[Any]:
    """List what is there twice: the same key, cursor and row in one epoch."""
    counted = Counter(tuple(v for k, v in row.items() if not k.startswith("_dpp_")) for row in rows)
    return [row for row, times in counted.items() if times > 1]


def assert_everything_is_in_its_place(scene: Scene) -> None:
    """Each commit has its copy, byte by byte, and the run has its record."""
    files = scene.place.files()
    for name in TABLES:
        log = scene.log(name)
        copies = {k: v for k, v in files.items() if f"/_dpp/datasets/{name}/commits/live/" in k}
        assert sorted(log.values()) == sorted(copies.values())
    assert scene.records("second")


@pytest.mark.parametrize("point", REQUIRED)
def test_killed_in_its_very_first_run_the_next_one_ends_with_the_source(
    shop: Scene, tmp_path: Path, point: str
) -> None:
    scene = shop.at(FolderPlace(tmp_path / "out"))
    killed(scene.start("--run-id", "first", DPP_KILL_AT=point))

    scene.run()

    scene.assert_equal()
    assert len(scene.commits("orders")) == 1


@pytest.fixture(scope="module")
def ferret_uri(request: pytest.FixtureRequest) -> str:
    """Give the address of an index, so that a run has something to tell it."""
    uri: str = request.getfixturevalue("ferret").uri
    return uri
