"""FerretDB that is away never ends a run: the data is there, the report says Behind, the next run tells the index."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from scene import CHANGE, Scene
from servers.ferret import Ferret

Stopped = Callable[[Ferret], AbstractContextManager[None]]


def documents(ferret: Ferret, collection: str) -> list[dict[str, Any]]:
    with ferret.client() as client:
        return list(client["dpp"][collection].find({"namespace": "shop", "extraction": "shop"}))


def test_an_index_that_is_away_is_behind_and_later_told(
    scene: Scene, ferret: Ferret, stopped: Stopped
) -> None:
    with ferret.client() as client:
        client.drop_database("dpp")
    scene.environment["DPP_INDEX_URI"] = ferret.uri
    with stopped(ferret):
        ended = scene.run()

        assert ended.report["index"] == "Behind"
        assert ended.outcomes == {"orders": "Committed", "items": "Committed"}
        scene.assert_equal()
    scene.execute(CHANGE)

    done = scene.run()

    assert done.report["index"] == "Current"
    scene.assert_equal()
    runs = documents(ferret, "runs")
    assert [run["run_id"] for run in runs] == [done.report["run_id"]]
    marks = {mark["dataset"]: mark["seq"] for mark in documents(ferret, "watermarks")}
    assert marks == {"orders": 2, "items": 2}
    assert {c["seq"] for c in documents(ferret, "commits")} == {2}
    assert {entry["dataset"] for entry in documents(ferret, "catalog")} == {"orders", "items"}
