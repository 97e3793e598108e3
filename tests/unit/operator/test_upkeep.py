"""Upkeep of tables: when the operator makes a Maintain run, once, and that it tells nothing of the source."""

from datetime import timedelta
from typing import Any

import pytest

from dpp_core.handover import RunReport, RunRequest, UnitReport
from dpp_core.names import Reason, RunOutcome, UnitOutcome
from dpp_core.termination import build_termination_message
from dpp_operator.kube.client import RUNS
from fake_world import START, World


def report(world: World, seqs: dict[str, int], code: int = 0) -> str:
    """Build the message of a run whose datasets came to these commits, or of an upkeep that failed."""
    request = world.read_request(world.find_job())
    units = tuple(
        UnitReport(
            dataset=unit.dataset,
            outcome=UnitOutcome.FAILED if code else UnitOutcome.COMMITTED,
            seq=seqs.get(unit.dataset),
            code=code,
            reason=Reason.STREAM_RESTORED if code else None,
        )
        for unit in request.units
    )
    outcome = RunOutcome.FAILED if code else RunOutcome.SUCCEEDED
    done = RunReport(
        run_id=request.run_id,
        attempt_id="a",
        outcome=outcome,
        exit_code=code,
        started_at=world.now,
        ended_at=world.now,
        units=units,
    )
    return build_termination_message(done, [unit.dataset for unit in units]).decode()


def end_run(world: World, orders: int, customers: int = 1) -> None:
    """End the run under way with the commits its datasets came to."""
    world.end_job(message=report(world, {"orders": orders, "customers": customers}))
    world.step()


def begin(orders: int, customers: int = 1, **changes: Any) -> World:
    """Let the first run of a new extraction come to these commits."""
    world = World()
    world.apply(**changes)
    world.step()
    end_run(world, orders, customers)
    return world


def next_day(world: World, orders: int, customers: int = 1) -> None:
    """Let the next scheduled run come to these commits."""
    before = len(world.jobs)
    world.wait(until=lambda: len(world.jobs) > before, days=2)
    end_run(world, orders, customers)


def upkeeps(world: World) -> list[dict[str, Any]]:
    return [run for run in world.runs if run["spec"]["type"] == "Maintain"]


def request_of_job(world: World) -> RunRequest:
    return world.read_request(world.find_job())


@pytest.mark.parametrize(
    ("orders", "customers", "is_due"),
    [
        pytest.param(99, 1, False, id="before the hundredth"),
        pytest.param(100, 1, True, id="at the hundredth"),
        pytest.param(7, 250, True, id="one of several tables, far beyond"),
    ],
)
def test_upkeep_starts_when_a_table_has_come_a_hundred_commits(
    orders: int, customers: int, is_due: bool
) -> None:
    world = begin(orders, customers)

    assert bool(upkeeps(world)) is is_due


def test_the_job_is_told_to_maintain_and_an_older_image_refuses_it() -> None:
    world = begin(100)

    request = request_of_job(world)

    assert request.type == "Maintain"
    assert "maintain" in request.must_understand
    assert [unit["knownSeq"] for unit in upkeeps(world)[0]["spec"]["units"]] == [100, 1]


def test_upkeep_comes_once_for_each_hundred_whatever_else_runs_and_ends() -> None:
    world = begin(100, run={"history": {"successful": 1, "failed": 1}})
    world.end_job(message=report(world, {}))
    world.step()

    for seq in range(101, 106):
        next_day(world, seq)
    assert len(upkeeps(world)) == 1

    next_day(world, 200)
    made = upkeeps(world)
    assert len(made) == 2
    world.end_job(message=report(world, {}))
    world.step()

    assert upkeeps(world) == [world.kube.get(RUNS, "acme", made[1]["metadata"]["name"])]


def test_a_restarted_operator_makes_no_second_one() -> None:
    world = begin(100)
    jobs = world.jobs

    world.boot()
    world.step()
    world.end_job(message=report(world, {}))
    world.step()
    world.boot()
    world.step()

    assert (world.jobs, len(upkeeps(world))) == (jobs, 1)


def test_its_end_is_written_down_and_tells_nothing_of_the_source() -> None:
    world = begin(100)
    before = world.status
    world.now += timedelta(minutes=5)

    world.end_job(code=29, message=report(world, {}, code=29))
    world.step()

    run = upkeeps(world)[0]["status"]
    assert (run["outcome"], run["exitCode"], run["reason"]) == ("Failed", 29, "StreamRestored")
    assert "RunFailed" in world.event_reasons
    after = world.status
    for told in ("lastRun", "lastSuccessAt", "consecutiveFailures"):
        assert after[told] == before[told]
    assert "activeRun" not in after
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("LastRunSucceeded")["status"] == "True"


def test_a_failed_upkeep_is_not_made_again_at_each_commit() -> None:
    world = begin(100)
    world.end_job(code=29, message=report(world, {}, code=29))
    world.step()

    next_day(world, 101)

    assert len(upkeeps(world)) == 1


def test_a_run_that_falls_due_waits_until_upkeep_has_ended() -> None:
    world = begin(100, schedule={"cron": ["*/5 * * * *"], "timeZone": "UTC"})
    world.start_pod()

    world.wait(minutes=6)
    during = [run["spec"]["type"] for run in world.runs]
    world.end_job(message=report(world, {}))
    world.step()

    assert during == ["Scheduled", "Maintain"]
    assert request_of_job(world).type == "Scheduled"


def test_nothing_is_kept_up_while_suspended() -> None:
    world = World()
    world.apply()
    world.step()
    world.apply(suspend=True)

    end_run(world, orders=100)

    assert upkeeps(world) == []


def test_a_person_may_ask_for_upkeep() -> None:
    world = begin(3)
    world.kube.put(
        RUNS,
        {
            "apiVersion": RUNS.api_version,
            "kind": RUNS.name,
            "metadata": {"name": "tidy-up", "namespace": "acme"},
            "spec": {
                "extraction": "acme",
                "type": "Maintain",
                "createdAt": START.isoformat(),
                "reason": "many small files",
            },
        },
    )

    world.step()
    asked = request_of_job(world)
    world.end_job(message=report(world, {}))
    world.step()

    assert (asked.run_id, asked.type) == ("tidy-up", "Maintain")
    assert upkeeps(world)[0]["status"]["outcome"] == "Succeeded"
    assert world.status["lastRun"]["type"] == "Scheduled"
