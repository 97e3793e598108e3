"""What becomes of an extraction: from apply to the first run, on schedule, by hand, suspended, deleted."""

from datetime import UTC, datetime, timedelta

import pytest

from dpp_operator.kube.client import EXTRACTIONS, JOBS, RUNS
from fake_world import START, World, build_extraction


def test_a_new_extraction_runs_at_once_and_stays_ready() -> None:
    world = World()

    world.apply()
    world.step()

    assert len(world.runs) == 1
    assert world.jobs == [f"{world.runs[0]['metadata']['name']}-1"]
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Running")["status"] == "True"
    assert world.status["activeRun"]["name"] == world.runs[0]["metadata"]["name"]


def test_a_run_starts_with_three_writes() -> None:
    world = World()

    world.apply()
    world.step()

    assert [write[:2] for write in world.kube.writes] == [
        ("create", "ExtractionRun"),
        ("create", "Job"),
        ("status", "DistributorExtraction"),
    ]


def test_a_good_end_is_written_down_in_run_and_extraction() -> None:
    world = World()
    world.apply()
    world.step()

    world.end_job()
    world.step()

    run = world.runs[0]["status"]
    assert run["outcome"] == "Succeeded"
    assert [unit["rows"] for unit in run["units"]] == [10, 20]
    assert world.status["lastRun"]["rows"] == 30
    assert world.status["lastSuccessAt"] == world.stamp()
    assert "activeRun" not in world.status
    assert world.condition("LastRunSucceeded")["status"] == "True"
    assert world.condition("Running")["status"] == "False"
    assert world.status["watermark"] == "2026-03-01T00:00:00+00:00"
    assert {"RunStarted", "RunSucceeded"} <= set(world.event_reasons)


def test_rows_that_went_at_the_source_are_told_where_there_are_any() -> None:
    world = World()
    datasets = build_extraction()["spec"]["datasets"]
    world.apply(datasets=[datasets[0] | {"deletes": "KeyDiff"}, datasets[1]])
    world.step()

    world.end_job()
    world.step()

    run = world.runs[0]["status"]
    assert [unit.get("deleted") for unit in run["units"]] == [3, None]
    assert run["message"] == "2 datasets, 30 rows, 3 deleted"


def test_a_run_costs_at_most_four_writes_on_the_extraction() -> None:
    world = World()
    world.apply()
    world.step()
    world.start_pod()
    world.step()
    world.end_job()
    world.step()

    assert world.kube.count("status", EXTRACTIONS) <= 4
    assert world.kube.count("status", RUNS) <= 3


def test_an_idle_extraction_is_never_written() -> None:
    world = World()
    world.apply()
    world.step()
    world.end_job()
    world.step()
    written = len(world.kube.writes)

    world.wait(hours=6)
    world.boot()
    world.step()
    world.boot()
    world.wait(hours=6)

    assert world.kube.writes[written:] == []


def test_a_due_time_starts_a_run_with_its_name() -> None:
    world = World()
    world.apply(schedule={"cron": ["0 2 * * *"], "timeZone": "UTC", "firstRun": "Scheduled"})
    world.wait(hours=15)
    assert world.runs == []
    assert world.status["nextRunAt"] == "2026-03-03T02:00:00Z"

    world.wait(hours=1, seconds=1)

    assert len(world.runs) == 1
    assert world.runs[0]["metadata"]["name"].startswith("acme-202603030200-")
    assert world.runs[0]["spec"]["scheduledAt"] == "2026-03-03T02:00:00Z"
    assert world.status["scheduledUntil"] == "2026-03-03T02:00:00Z"
    assert world.status["nextRunAt"] == "2026-03-04T02:00:00Z"


def test_missed_times_become_one_run() -> None:
    world = World()
    world.apply(schedule={"cron": ["0 * * * *"], "firstRun": "Scheduled"})
    world.step()

    world.now += timedelta(hours=5, minutes=30)
    world.boot()
    world.step()
    world.end_job()
    world.step()

    assert [run["spec"]["scheduledAt"] for run in world.runs] == ["2026-03-02T15:00:00Z"]


def test_a_time_missed_by_more_than_its_deadline_is_let_go() -> None:
    world = World()
    schedule = {"cron": ["0 * * * *"], "firstRun": "Scheduled", "startingDeadlineSeconds": 60}
    world.apply(schedule=schedule)
    world.step()

    world.now += timedelta(minutes=90)
    world.boot()
    world.step()

    assert world.runs == []
    assert world.status["scheduledUntil"] == "2026-03-02T11:00:00Z"
    assert "RunMissed" in world.event_reasons
    world.wait(minutes=31)
    assert len(world.runs) == 1


def test_a_due_time_during_a_run_is_served_right_after_it() -> None:
    world = World()
    world.apply(schedule={"cron": ["*/5 * * * *"]})
    world.step()
    pod = world.start_pod()
    world.wait(minutes=12)
    assert len(world.runs) == 1

    world.end_job(pod=pod)
    world.step()

    assert [run["spec"].get("scheduledAt") for run in world.runs] == [None, "2026-03-02T10:10:00Z"]


def test_a_new_schedule_does_not_fire_for_the_past() -> None:
    world = World()
    world.apply()
    world.step()
    world.end_job()
    world.step()
    world.wait(hours=3)

    world.apply(schedule={"cron": ["0 11 * * *"]})
    world.step()

    assert len(world.runs) == 1
    assert world.status["nextRunAt"] == "2026-03-03T11:00:00Z"


def test_a_trigger_runs_once_and_is_echoed_when_it_is_done() -> None:
    world = World()
    world.apply(schedule=None, trigger={"manual": "first"})
    world.step()
    assert "lastManualTrigger" not in world.status

    world.end_job()
    world.step()
    world.wait(hours=1)

    assert world.status["lastManualTrigger"] == "first"
    assert len(world.runs) == 1
    assert world.runs[0]["spec"]["type"] == "Manual"


def test_a_second_trigger_waits_for_the_first() -> None:
    world = World()
    world.apply(schedule=None, trigger={"manual": "one"})
    world.step()
    world.apply(schedule=None, trigger={"manual": "two"})
    world.step()
    assert len(world.runs) == 1

    world.end_job()
    world.step()
    world.end_job()
    world.step()

    assert len(world.runs) == 2
    assert world.status["lastManualTrigger"] == "two"


def test_a_suspended_extraction_starts_nothing_and_stays_ready() -> None:
    world = World()
    world.apply(suspend=True, trigger={"manual": "go"})

    world.wait(hours=30)

    assert world.runs == []
    assert world.condition("Suspended")["status"] == "True"
    assert world.condition("Ready")["status"] == "True"
    assert "nextRunAt" not in world.status


def test_suspending_lets_the_running_run_finish() -> None:
    world = World()
    world.apply()
    world.step()

    world.apply(suspend=True)
    world.step()
    world.end_job()
    world.step()

    assert world.runs[0]["status"]["outcome"] == "Succeeded"
    assert len(world.runs) == 1


def test_resuming_serves_what_was_missed_once() -> None:
    world = World()
    world.apply(schedule={"cron": ["0 * * * *"], "firstRun": "Scheduled"}, suspend=True)
    world.wait(hours=5)

    world.apply(schedule={"cron": ["0 * * * *"], "firstRun": "Scheduled"})
    world.step()
    world.end_job()
    world.step()

    assert len(world.runs) == 1


def test_deleting_an_extraction_takes_runs_and_jobs_with_it() -> None:
    world = World()
    world.apply()
    world.step()

    world.kube.remove(EXTRACTIONS, "acme", "acme")
    world.wait(minutes=10)

    assert world.runs == []
    assert world.jobs == []


def test_an_extraction_made_anew_at_once_gets_runs_of_its_own() -> None:
    world = World()
    world.apply()
    world.step()
    first = world.runs[0]["metadata"]["name"]

    world.kube.remove(EXTRACTIONS, "acme", "acme")
    world.apply()
    world.step()

    assert [run["metadata"]["name"] for run in world.runs] != [first]
    assert len(world.jobs) == 1


def test_a_change_of_spec_policy_or_image_leaves_the_running_job_alone() -> None:
    world = World()
    world.apply()
    world.step()
    world.start_pod()
    world.step()
    before = world.kube.find(JOBS)

    world.apply(datasets=[{"name": "orders", "key": ["id"]}])
    other = "registry.example/dpp-extractor@sha256:" + "1" * 64
    images = world.policy.images.model_copy(update={"default": other, "allowed": (other,)})
    world.policy = world.policy.model_copy(update={"images": images})
    world.boot()
    world.step()

    assert world.kube.find(JOBS) == before
    assert world.status["effective"]["image"] == other
    assert world.status["observedGeneration"] == 2


def test_a_run_by_hand_waits_its_turn_and_is_adopted() -> None:
    world = World()
    world.apply()
    world.step()
    world.kube.put(RUNS, build_run_by_hand("by-hand"))
    world.step()
    assert len(world.jobs) == 1

    world.end_job()
    world.step()

    assert "by-hand-1" in world.jobs
    run = next(run for run in world.runs if run["metadata"]["name"] == "by-hand")
    assert run["metadata"]["ownerReferences"][0]["name"] == "acme"


def build_run_by_hand(name: str, **spec: object) -> dict[str, object]:
    return {
        "metadata": {"name": name, "namespace": "acme"},
        "spec": {"extraction": "acme", "createdAt": "2026-03-02T10:00:00Z", **spec},
    }


def test_a_run_by_hand_with_an_image_that_is_not_allowed_never_starts() -> None:
    world = World()
    world.apply(schedule=None)
    world.kube.put(RUNS, build_run_by_hand("by-hand", image="evil.example/x:1"))

    world.step()

    assert world.jobs == []
    assert world.runs[0]["status"]["reason"] == "ImageNotAllowed"
    assert world.condition("Ready")["status"] == "True"


def test_a_run_without_its_extraction_waits_and_is_refused() -> None:
    world = World()
    world.kube.put(RUNS, build_run_by_hand("lonely"))
    world.step()
    assert "status" not in world.runs[0]

    world.wait(seconds=21)

    assert world.runs[0]["status"]["reason"] == "ExtractionMissing"


def test_cancelling_a_run_stops_its_job_and_says_so() -> None:
    world = World()
    world.apply()
    world.step()
    world.start_pod()
    world.step()
    run = world.runs[0]

    world.kube.put(RUNS, {**run, "spec": {**run["spec"], "cancel": "wrong day"}})
    world.step()

    assert world.jobs == []
    assert world.runs[0]["status"]["reason"] == "Cancelled"
    assert world.status["consecutiveFailures"] == 0


def test_history_keeps_the_newest_and_only_of_its_own() -> None:
    world = World()
    world.apply(schedule={"cron": ["0 * * * *"]}, run={"history": {"successful": 2, "failed": 1}})
    for _ in range(5):
        world.step()
        world.end_job()
        world.wait(hours=1)
    world.kube.put(RUNS, build_run_by_hand("by-hand"))
    world.end_job()
    world.step()
    world.end_job()
    world.step()

    names = [run["metadata"]["name"] for run in world.runs]
    assert "by-hand" in names
    assert len(names) == 3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"distributor": "other"}, "spec.distributor", id="another distributor"),
        pytest.param({"credentials": {"path": "other/erp"}}, "spec.credentials.path", id="a foreign path"),
        pytest.param({"destination": {"profile": "sea"}}, "spec.destination.profile", id="an unknown destination"),
    ],
)  # fmt: skip
def test_what_the_policy_denies_is_stalled_with_the_field(
    changes: dict[str, object], field: str
) -> None:
    world = World()

    world.apply(**changes)
    world.step()

    stalled = world.condition("Stalled")
    assert stalled["status"] == "True"
    assert stalled["reason"] == "TenancyDenied"
    assert stalled["message"].startswith(f"{field}: ")
    assert world.condition("Ready")["status"] == "False"
    assert world.runs == []


def test_a_corrected_spec_goes_on() -> None:
    world = World()
    world.apply(distributor="other")
    world.step()

    world.kube.put(EXTRACTIONS, build_extraction())
    world.step()

    assert world.condition("Ready")["status"] == "True"
    assert len(world.runs) == 1


def test_times_of_conditions_move_only_when_the_status_changes() -> None:
    world = World()
    world.apply()
    world.step()
    world.end_job()
    world.step()

    ready = world.condition("Ready")

    assert ready["lastTransitionTime"] == START.isoformat().replace("+00:00", "Z")
    assert datetime.fromisoformat(ready["lastTransitionTime"]).tzinfo is UTC
    assert all(each["observedGeneration"] == 1 for each in world.status["conditions"])


def test_known_commits_are_pinned_in_the_next_run() -> None:
    world = World()
    world.apply(schedule={"cron": ["0 * * * *"]})
    world.step()
    world.end_job()
    world.wait(hours=1)

    assert [unit["knownSeq"] for unit in world.runs[1]["spec"]["units"]] == [1, 2]


def test_a_raised_epoch_is_not_held_to_the_commits_of_the_one_before() -> None:
    world = World()
    world.apply(schedule={"cron": ["0 * * * *"]})
    world.step()
    world.end_job()
    datasets = build_extraction()["spec"]["datasets"]
    raised = [datasets[0] | {"epoch": 1}, *datasets[1:]]
    world.apply(schedule={"cron": ["0 * * * *"]}, datasets=raised)
    world.wait(hours=1)

    assert [unit.get("knownSeq") for unit in world.runs[1]["spec"]["units"]] == [None, 2]

    world.end_job()
    world.wait(hours=1)
    assert [unit["knownSeq"] for unit in world.runs[2]["spec"]["units"]] == [1, 2]


def test_a_dataset_that_was_taken_out_and_put_back_goes_on_from_its_last_known_commit() -> None:
    world = World()
    every_hour = {"cron": ["0 * * * *"]}
    datasets = build_extraction()["spec"]["datasets"]
    world.apply(schedule=every_hour)
    world.step()
    world.end_job()
    world.apply(schedule=every_hour, datasets=datasets[:1])
    world.wait(hours=1)
    assert [unit["name"] for unit in world.runs[1]["spec"]["units"]] == [datasets[0]["name"]]

    world.end_job()
    world.apply(schedule=every_hour, datasets=datasets)
    world.wait(hours=1)

    assert [unit["knownSeq"] for unit in world.runs[2]["spec"]["units"]] == [1, 2]
