"""Two processes on one stream at once, and a process that is told to stop."""

import signal

import pytest

from scene import CHANGE, Scene, finish, wait_until


@pytest.mark.parametrize("is_bucket", [False, True], ids=["folder", "bucket"])
def test_of_two_runs_at_once_one_commits_and_the_other_is_fenced(
    request: pytest.FixtureRequest, is_bucket: bool
) -> None:
    scene: Scene = request.getfixturevalue("bucket_scene" if is_bucket else "scene")
    scene.spec["datasets"].reverse()
    scene.make_slow(0.03)

    both = [scene.start("--run-id", name) for name in ("first", "second")]
    wait_until(scene.reading(2), "both runs reading")
    ended = [finish(process, expect=None) for process in both]

    assert sorted(each.code for each in ended) in ([0, 27], [27, 27]), list(map(str, ended))
    for dataset in ("items", "orders"):
        outcomes = sorted(each.outcomes[dataset] for each in ended)
        assert outcomes == ["Committed", "Failed"]
        loser = next(u for u in (e.units[dataset] for e in ended) if u["outcome"] == "Failed")
        assert (loser["code"], loser["reason"]) == (27, "Fenced")
        assert dataset in loser["message"] and "nothing visible" in loser["message"]
        assert len(scene.commits(dataset)) == 1
    scene.assert_equal()
    scene.make_slow(0)
    scene.execute(CHANGE)
    assert scene.run().units["orders"]["rows"] == 50
    scene.assert_equal()


def test_of_two_processes_of_one_run_the_slower_finds_it_committed(scene: Scene) -> None:
    scene.spec["datasets"].reverse()
    scene.make_slow(0.03)

    both = [scene.start("--run-id", "same") for _ in range(2)]
    wait_until(scene.reading(2), "both processes reading")
    ended = [finish(process) for process in both]

    for dataset in ("items", "orders"):
        assert sorted(each.outcomes[dataset] for each in ended) == ["AlreadyCommitted", "Committed"]
        assert len(scene.commits(dataset)) == 1
    assert len(scene.records("same")) == 2
    scene.assert_equal()


def test_a_run_that_is_told_to_stop_ends_after_its_batch_with_nothing_half_visible(
    scene: Scene,
) -> None:
    scene.make_slow(0)
    scene.run()
    before = scene.log("items")
    scene.execute(CHANGE)
    scene.make_slow(0.05)

    running = scene.start("--run-id", "stopped", DPP_BATCH_BYTES="64")
    wait_until(scene.reading(), "the slow read")
    running.send_signal(signal.SIGTERM)
    ended = finish(running, expect=143)

    unit = ended.units["items"]
    assert (unit["code"], unit["reason"]) == (143, "StoppedBySignal")
    assert "SIGTERM" in unit["message"] and "what was committed stays" in unit["message"]
    assert ended.outcomes["orders"] == "Committed"
    assert scene.log("items") == before
    (record,) = scene.records("stopped")
    assert record["units"][1]["code"] == 143
    scene.make_slow(0)
    again = scene.run("--run-id", "stopped")
    assert again.outcomes == {"orders": "AlreadyCommitted", "items": "Committed"}
    scene.assert_equal()
