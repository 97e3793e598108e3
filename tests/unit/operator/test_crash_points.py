"""The operator killed right after each of its writes, and fed old news: nothing is lost and nothing is done twice."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpp_operator.kube.client import EXTRACTIONS, JOBS, RUNS
from fake_kube import KilledError
from fake_world import World, build_extraction, build_report

MOST_WRITES = 40


def live(world: World, codes: list[int]) -> None:
    """Live through a first run whose tries end so, a scheduled one and one by hand."""
    world.apply(schedule={"cron": ["0 * * * *"]}, run={"history": {"successful": 1}})
    survive(world)
    for code in codes:
        world.end_job(code)
        survive(world, minutes=5)
    world.end_job()
    survive(world, hours=1)
    world.end_job()
    survive(world)
    world.apply(
        schedule={"cron": ["0 * * * *"]},
        run={"history": {"successful": 1}},
        trigger={"manual": "x"},
    )
    survive(world)
    world.end_job()
    survive(world, minutes=1)


def survive(world: World, **delta: float) -> None:
    """Go on; when the operator is killed, start a fresh one."""
    for _ in range(3):
        try:
            world.wait(**delta) if delta else world.step()
        except KilledError:
            world.boot()
            delta = {}
        else:
            return
    raise AssertionError("killed again and again")


def count_writes(codes: list[int]) -> int:
    world = World(has_kubelet=True)
    live(world, codes)
    return len(world.kube.writes)


@pytest.mark.slow
@pytest.mark.parametrize("codes", [[], [23], [137, 23]], ids=["good", "source away", "memory"])
def test_killed_after_any_write_it_ends_as_if_undisturbed(codes: list[int]) -> None:
    total = count_writes(codes)
    undisturbed = World(has_kubelet=True)
    live(undisturbed, codes)
    assert 10 <= total <= MOST_WRITES

    for kill_at in range(1, total + 1):
        world = World(has_kubelet=True)
        world.kube.kill_at = kill_at
        live(world, codes)

        made = Counter(write for write in world.kube.writes if write[0] == "create")
        assert max(made.values()) == 1, f"made twice when killed after write {kill_at}"
        assert tell(world) == tell(undisturbed), f"killed after write {kill_at}"


def tell(world: World) -> Any:
    """What must not depend on kills: runs made, how each ended, and where the extraction stands."""
    made = sorted(
        name for verb, kind, name in world.kube.writes if (verb, kind) == ("create", "Job")
    )
    status = world.status
    return (
        made,
        status["lastRun"]["name"],
        status["lastRun"]["outcome"],
        status["lastManualTrigger"],
        status["scheduledUntil"],
        status["consecutiveFailures"],
        sorted((each["type"], each["status"], each["reason"]) for each in status["conditions"]),
    )


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    ends=st.lists(
        st.sampled_from([0, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 70, 75, 143, 1, 137]),
        min_size=1,
        max_size=6,
    ),
    kills=st.lists(st.integers(1, 12), max_size=4),
    is_partial=st.booleans(),
)
def test_whatever_happens_it_comes_to_rest_and_then_writes_nothing(
    ends: list[int], kills: list[int], is_partial: bool
) -> None:
    world = World(has_kubelet=True)
    world.apply(schedule={"cron": ["*/30 * * * *"]}, objectives={"failures": 3})
    survive(world)
    for number, code in enumerate(ends):
        world.kube.kill_at = len(world.kube.writes) + kills[number] if number < len(kills) else 0
        if any(not (job.get("status") or {}).get("conditions") for job in world.kube.find(JOBS)):
            request = world.read_request(world.find_job())
            failing = ("customers",) if is_partial and code not in (0, 137) else ()
            world.end_job(code, build_report(request, code, world.now, failing))
        survive(world, minutes=20)
    world.kube.kill_at = 0
    survive(world)

    active = [run for run in world.runs if "outcome" not in run.get("status", {})]
    assert len(active) <= 1
    open_jobs = [
        job for job in world.kube.find(JOBS) if not (job.get("status") or {}).get("conditions")
    ]
    assert len(open_jobs) <= 1
    written = len(world.kube.writes)
    world.boot()
    world.step()
    assert world.kube.writes[written:] == []
    hold_truths(world)


def hold_truths(world: World) -> None:
    """What must hold of every status, whatever happened (api.md, conditions)."""
    found = {each["type"]: each for each in world.status["conditions"]}
    assert len(found) == 11
    if found["Ready"]["status"] == "False":
        assert "True" in (found["Stalled"]["status"], found["Reconciling"]["status"])
    else:
        assert (found["Stalled"]["status"], found["Reconciling"]["status"]) == ("False", "False")
    assert all(len(each.get("message", "")) <= 120 for each in found.values())


def test_a_job_that_only_the_memory_has_lost_is_not_made_again() -> None:
    world = World(has_kubelet=True)
    world.apply()
    world.step()
    job = world.kube.find(JOBS)[0]

    world.objects.drop(job)
    world.boot_queue()
    world.wait(seconds=30)

    assert len(world.kube.find(JOBS)) == 1


def test_old_news_changes_nothing() -> None:
    world = World(has_kubelet=True)
    world.apply()
    world.step()
    old = [world.kube.find(kind)[0] for kind in (EXTRACTIONS, RUNS, JOBS)]
    world.end_job()
    world.step()
    written = len(world.kube.writes)

    for kind, thing in zip((EXTRACTIONS, RUNS, JOBS), old, strict=True):
        world.kube.events.append(("MODIFIED", kind, thing))
    world.step()

    assert world.kube.writes[written:] == []
    assert world.status["lastRun"]["outcome"] == "Succeeded"


def test_two_operators_at_once_make_everything_once() -> None:
    world = World(has_kubelet=True)
    world.apply(build_extraction())
    other = World(has_kubelet=True)
    other.kube = world.kube
    other.boot()
    world.boot()

    world.worker.work_once()
    other.worker.work_once()

    assert len(world.kube.find(RUNS)) == 1
    assert len(world.kube.find(JOBS)) == 1
