"""A source that is not there, or goes away while it is read: 23, nothing visible, and the next run brings all."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from scene import CHANGE, Scene, finish, wait_until
from servers.postgres import Postgres

Stopped = Callable[[Postgres], AbstractContextManager[None]]


def test_a_source_that_is_down_is_tried_again_and_then_named(
    scene: Scene, postgres: Postgres, stopped: Stopped
) -> None:
    with stopped(postgres):
        ended = scene.run(expect=23)

    assert [line["attempt"] for line in ended.lines if line["event"] == "retry"] == [1, 2]
    unit = ended.units["orders"]
    assert (unit["code"], unit["reason"]) == (23, "SourceUnreachable")
    assert f"127.0.0.1:{postgres.port}/{scene.reader.name}" in unit["message"]
    assert "dpp ping" in unit["message"]
    assert not scene.log("orders") and not scene.log("items")
    scene.run()
    scene.assert_equal()


def end_session(scene: Scene, postgres: Postgres) -> None:
    postgres.end_sessions(scene.reader)


def crash_and_restart(scene: Scene, postgres: Postgres) -> None:
    postgres.kill()
    postgres.start()


@pytest.mark.parametrize("breaking", [end_session, crash_and_restart], ids=["session", "server"])
def test_a_source_that_goes_away_in_the_middle_of_a_read_is_read_anew_within_the_run(
    scene: Scene, postgres: Postgres, breaking: Callable[[Scene, Postgres], None]
) -> None:
    scene.make_slow(0.2)

    running = scene.start(DPP_BATCH_BYTES="256", DPP_RETRY_BASE_SECONDS="2")
    wait_until(scene.reading(), "the slow read")
    breaking(scene, postgres)
    scene.make_slow(0)
    ended = finish(running)

    assert next(line["what"] for line in ended.lines if line["event"] == "retry") == "read"
    assert len(scene.log("items")) == 1
    scene.assert_equal()


@pytest.mark.parametrize("breaking", [end_session, crash_and_restart], ids=["session", "server"])
def test_a_source_that_goes_away_in_the_middle_of_a_read_leaves_nothing_half_visible(
    scene: Scene, postgres: Postgres, breaking: Callable[[Scene, Postgres], None]
) -> None:
    scene.spec["datasets"].reverse()
    scene.make_slow(0)
    scene.run()
    before = {name: scene.log(name) for name in ("items", "orders")}
    scene.execute(CHANGE)
    scene.make_slow(0.2)

    running = scene.start(DPP_BATCH_BYTES="256", DPP_RETRY_ATTEMPTS="1")
    wait_until(scene.reading(), "the slow read")
    breaking(scene, postgres)
    ended = finish(running, expect=23)

    unit = ended.units["items"]
    assert (unit["outcome"], unit["code"], unit["reason"]) == ("Failed", 23, "SourceUnreachable")
    assert "'shelf'" in unit["message"] and "again" in unit["message"]
    assert ended.outcomes["orders"] == "Skipped", "what all datasets share ends the run"
    assert {name: scene.log(name) for name in before} == before
    scene.make_slow(0)
    assert scene.run().units["orders"]["rows"] == 50
    scene.assert_equal()
