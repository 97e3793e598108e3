"""How runs fail: each exit code's own way, troubles before the first line of our code, circuits and objectives."""

from datetime import timedelta
from typing import Any

import pytest

from dpp_core.errors import EXIT_CODES
from dpp_operator import labels
from dpp_operator.kube.client import EXTRACTIONS, JOBS, PODS, RUNS
from fake_world import World, build_extraction, build_report

AGENT_SAID = (
    "Error making API request.\n\nURL: PUT …/login\nCode: 403. Errors:\n\n* permission denied"
)
TEMPORARY = [code for code, row in EXIT_CODES.items() if row.is_temporary]
FINAL = [20, 22, 24, 25, 27, 29, 31]


def begin(*, has_kubelet: bool = True, **changes: Any) -> World:
    world = World(has_kubelet=has_kubelet)
    world.apply(**changes)
    world.step()
    return world


@pytest.mark.parametrize("code", TEMPORARY)
def test_a_temporary_end_is_tried_again_up_to_the_number_of_tries(code: int) -> None:
    world = begin(run={"attempts": 3})
    name = world.runs[0]["metadata"]["name"]

    for _ in range(3):
        world.end_job(code)
        world.wait(minutes=3, until=lambda: bool(world.runs[0].get("status", {}).get("outcome")))

    assert [job for job in world.jobs if job.startswith(name)] == [f"{name}-{n}" for n in (1, 2, 3)]
    assert world.runs[0]["status"]["outcome"] == "Failed"
    assert world.runs[0]["status"]["exitCode"] == code
    assert world.runs[0]["status"]["attempts"] == 3


@pytest.mark.parametrize("code", FINAL)
def test_an_end_for_good_is_not_tried_again(code: int) -> None:
    world = begin()

    world.end_job(code)
    world.wait(minutes=3)

    assert len(world.jobs) == 1
    assert world.runs[0]["status"]["outcome"] == "Failed"


@pytest.mark.parametrize("code", [21, 70])
def test_a_missing_injection_and_our_own_bug_get_one_more_try(code: int) -> None:
    world = begin()

    world.end_job(code)
    world.wait(minutes=2)
    world.end_job(code)
    world.wait(minutes=2)

    assert len(world.jobs) == 2
    assert world.runs[0]["status"]["exitCode"] == code


@pytest.mark.parametrize(
    ("code", "reason"), [pytest.param(137, "OOMKilled", id="out of memory"), pytest.param(137, "Error", id="killed")]
)  # fmt: skip
def test_a_killed_container_gets_one_try_with_more_memory(code: int, reason: str) -> None:
    world = begin()

    world.end_job(code, message="", reason=reason)
    world.step()
    memory = [find_memory(job) for job in world.kube.find(JOBS)]
    world.end_job(code, message="", reason=reason)
    world.wait(minutes=5)

    assert memory == ["512Mi", "1024Mi"]
    assert len(world.jobs) == 2
    assert world.runs[0]["status"]["exitCode"] == 28


def test_the_first_failed_try_tells_what_is_wrong_while_the_next_is_waited_for() -> None:
    world = begin(run={"attempts": 3})

    world.end_job(23)
    world.step()

    assert world.runs[0].get("status", {}).get("outcome") is None
    assert world.condition("SourceReachable")["status"] == "False"
    assert "the next is at" in world.condition("SourceReachable")["message"]
    assert world.condition("LastRunSucceeded")["status"] == "Unknown"


def test_a_try_that_reaches_the_source_takes_it_back() -> None:
    world = begin(run={"attempts": 3})
    world.end_job(23)
    world.wait(minutes=3, until=lambda: len(world.jobs) == 2)

    world.end_job()
    world.step()

    assert world.condition("SourceReachable")["status"] == "True"


def find_memory(job: dict[str, Any]) -> str:
    container = job["spec"]["template"]["spec"]["containers"][0]
    return str(container["resources"]["limits"]["memory"])


def test_a_retry_gets_the_same_request_and_image_though_the_spec_changed() -> None:
    world = begin()
    first = world.find_job()
    world.end_job(23)
    world.step()

    world.apply(datasets=[{"name": "orders", "key": ["id"]}])
    world.wait(minutes=2)

    second = world.find_job()
    assert second["metadata"]["name"] != first["metadata"]["name"]
    assert world.read_request(second) == world.read_request(first)


def test_a_wrong_password_opens_the_circuit_and_nobody_hammers() -> None:
    world = begin(schedule={"cron": ["*/5 * * * *"]})

    world.end_job(22)
    world.wait(seconds=50)

    assert world.condition("CredentialsValid")["reason"] == "CredentialsRefused"
    assert world.condition("Stalled")["status"] == "True"
    assert len(world.runs) == 1
    world.policy = world.policy.model_copy(
        update={"backoff": world.policy.backoff.model_copy(update={"most_seconds": 3600})}
    )
    world.wait(minutes=50)
    assert len(world.runs) == 1
    assert "CircuitOpened" in world.event_reasons


def test_a_circuit_holds_for_everybody_with_the_same_secret() -> None:
    world = begin()
    world.end_job(22)
    world.step()
    other = build_extraction()
    other["metadata"]["name"] = "acme-too"

    world.kube.put(EXTRACTIONS, other)
    world.step()

    assert {run["spec"]["extraction"] for run in world.runs} == {"acme"}


def test_a_person_may_try_again_at_once_with_an_open_circuit() -> None:
    world = begin()
    world.end_job(22)
    world.step()

    world.apply(trigger={"manual": "mended"})
    world.step()
    world.end_job()
    world.step()

    assert len(world.runs) == 2
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("CredentialsValid")["status"] == "True"


@pytest.mark.parametrize("code", [20, 29])
def test_what_needs_a_change_holds_due_times_until_there_is_one(code: int) -> None:
    world = begin(schedule={"cron": ["*/5 * * * *"]})
    world.end_job(code)
    world.wait(hours=3)
    assert len(world.runs) == 1
    assert world.condition("Stalled")["status"] == "True"

    world.apply(schedule={"cron": ["*/5 * * * *"]}, approve=[world.runs[0]["metadata"]["name"]])
    world.wait(minutes=6)

    assert len(world.runs) == 2


@pytest.mark.parametrize(
    ("code", "condition"), [(24, "ContractSatisfied"), (25, "SchemaStable"), (23, "SourceReachable")]
)  # fmt: skip
def test_a_failure_is_told_by_its_own_condition_and_does_not_stall(
    code: int, condition: str
) -> None:
    world = begin(run={"attempts": 1})

    world.end_job(code)
    world.step()

    assert world.condition(condition)["status"] == "False"
    assert world.condition("LastRunSucceeded")["status"] == "False"
    assert world.condition("Ready")["status"] == "True"


def test_a_partial_run_names_its_datasets_and_the_schedule_goes_on() -> None:
    world = begin(schedule={"cron": ["0 * * * *"]})
    request = world.read_request(world.find_job())

    world.end_job(24, build_report(request, 24, world.now, failing=("customers",)))
    world.step()

    last = world.condition("LastRunSucceeded")
    assert (last["reason"], last["status"]) == ("PartialRun", "False")
    assert "customers" in last["message"]
    world.wait(hours=1)
    assert len(world.runs) == 2


def test_failures_are_counted_by_dataset() -> None:
    world = begin(schedule={"cron": ["0 * * * *"]})
    for failing in ("orders", "customers", "customers"):
        request = world.read_request(world.find_job())
        world.end_job(24, build_report(request, 24, world.now, failing=(failing,)))
        world.wait(hours=1)

    counts = {unit["name"]: unit["failures"] for unit in world.runs[2]["status"]["units"]}

    assert counts == {"orders": 0, "customers": 2}
    assert world.status["consecutiveFailures"] == 2


def test_a_run_that_failed_for_a_passing_reason_is_made_up_for() -> None:
    world = begin(run={"attempts": 1})

    world.end_job(23)
    world.wait(minutes=2, until=lambda: len(world.runs) == 2)
    world.end_job()
    world.wait(minutes=5)

    assert [run["status"]["outcome"] for run in world.runs] == ["Failed", "Succeeded"]
    assert world.status["consecutiveFailures"] == 0


def test_a_fenced_run_is_nobodys_alarm() -> None:
    world = begin()
    world.end_job()
    world.step()
    world.apply(trigger={"manual": "again"})
    world.step()

    world.end_job(27)
    world.step()

    assert world.status["consecutiveFailures"] == 0
    assert world.condition("LastRunSucceeded")["status"] == "True"


def test_too_many_failures_break_the_objective() -> None:
    world = begin(run={"attempts": 1}, objectives={"failures": 2})
    world.end_job(31)
    world.step()
    assert world.condition("Ready")["status"] == "True"

    world.apply(run={"attempts": 1}, objectives={"failures": 2}, trigger={"manual": "x"})
    world.step()
    world.end_job(31)
    world.step()

    assert world.condition("Ready")["reason"] == "FailuresExceeded"
    assert world.condition("Stalled")["status"] == "True"


def test_freshness_is_broken_when_its_time_is_over_and_mended_by_a_run() -> None:
    world = begin(schedule=None, objectives={"freshnessSeconds": 3600})
    assert world.condition("Fresh")["status"] == "True"

    world.wait(seconds=3601)
    assert world.condition("Ready")["reason"] == "FreshnessBreached"
    world.apply(schedule=None, objectives={"freshnessSeconds": 3600}, trigger={"manual": "x"})
    world.step()
    world.end_job()
    world.step()

    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Fresh")["status"] == "True"


# --- before our code runs ------------------------------------------------------------------------


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


TROUBLES: list[Any] = [
    pytest.param(
        {
            "containerStatuses": [
                {"name": labels.CONTAINER, "state": waiting("ImagePullBackOff", "no such image")}
            ]
        },
        "ImageUnavailable",
        "no such image",
        id="image missing",
    ),
    pytest.param(
        {
            "containerStatuses": [],
            "conditions": [
                {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
            ],
        },
        "Unschedulable",
        "0/1 nodes",
        id="no node",
    ),
    pytest.param(
        {
            "containerStatuses": [{"name": labels.CONTAINER, "state": waiting("PodInitializing")}],
            "initContainerStatuses": [{"name": labels.AGENT, "state": {"running": {}}}],
        },
        "CredentialsUnavailable",
        "vault-agent-init",
        id="agent waits for Vault",
    ),
    pytest.param(
        {
            "containerStatuses": [
                {"name": labels.CONTAINER, "state": waiting("CreateContainerConfigError", "configmap x")}
            ]
        },
        "PodNotStarted",
        "configmap",
        id="a ConfigMap is missing",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("status", "reason", "says"), TROUBLES)
def test_a_pod_that_does_not_start_is_told_within_the_start_deadline(
    status: dict[str, Any], reason: str, says: str
) -> None:
    world = begin(has_kubelet=False)
    world.start_pod(phase="Pending", **status)

    world.wait(seconds=21)

    ready, reconciling = world.condition("Ready"), world.condition("Reconciling")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert reconciling["status"] == "True"
    assert says in ready["message"]
    assert reason in world.event_reasons


def test_a_pod_that_is_not_made_is_told_with_the_api_servers_word() -> None:
    world = begin(has_kubelet=False)
    world.kube.denials[world.jobs[0]] = 'violates PodSecurity "restricted:latest"'

    world.wait(seconds=21)

    ready = world.condition("Ready")
    assert ready["reason"] == "AdmissionDenied"
    assert "violates PodSecurity" in ready["message"]


def test_a_pod_that_starts_late_goes_on() -> None:
    world = begin(has_kubelet=False)
    pod = world.start_pod(phase="Pending", **TROUBLES[0].values[0])
    world.wait(seconds=21)

    world.end_job(pod=pod)
    world.step()

    assert world.runs[0]["status"]["outcome"] == "Succeeded"
    assert world.condition("Ready")["status"] == "True"


def test_a_pod_that_never_starts_is_given_up_and_its_job_deleted() -> None:
    world = begin(has_kubelet=False)
    world.start_pod(phase="Pending", **TROUBLES[0].values[0])

    world.wait(seconds=101)

    assert world.runs[0]["status"]["reason"] == "ImageUnavailable"
    assert "exitCode" not in world.runs[0]["status"]
    assert f"{world.runs[0]['metadata']['name']}-1" not in world.jobs
    assert world.condition("Stalled")["status"] == "True"


def end_with_agent(world: World, said: str) -> None:
    job = world.find_job()
    pod = world.find_pod(job)
    state = {"terminated": {"exitCode": 1, "message": said}}
    pod["status"] = {
        "phase": "Failed",
        "initContainerStatuses": [{"name": labels.AGENT, "state": state}],
        "containerStatuses": [{"name": labels.CONTAINER, "state": waiting("PodInitializing")}],
    }
    world.kube.put(PODS, pod)
    world.finish_job(job, "Failed", "BackoffLimitExceeded")


def test_an_agent_that_is_denied_gets_one_more_try() -> None:
    world = begin()

    for _ in range(2):
        end_with_agent(world, AGENT_SAID)
        world.wait(minutes=2)

    run = world.runs[0]["status"]
    assert (run["reason"], run["exitCode"], len(world.jobs)) == ("CredentialsUnavailable", 21, 2)
    assert "403" in run["message"]
    assert world.condition("CredentialsValid")["status"] == "False"


@pytest.mark.parametrize(
    "said",
    [
        "dial tcp 10.0.0.1:8200: connect: connection refused",
        'error="Put \\"http://10.0.0.1:8200/v1/auth/kubernetes/login\\": EOF"',
        "Error making API request. Code: 503. Errors: * Vault is sealed",
    ],
    ids=["nobody listens", "a proxy before it closes", "sealed"],
)
def test_a_vault_that_is_away_is_waited_for_like_any_outage(said: str) -> None:
    world = begin()

    for _ in range(2):
        end_with_agent(world, said)
        world.wait(minutes=2)
    world.end_job()
    world.step()

    assert world.runs[0]["status"]["outcome"] == "Succeeded"
    assert len(world.jobs) == 3


def test_a_pod_evicted_for_its_disk_gets_no_more_memory() -> None:
    world = begin()
    job = world.find_job()
    pod = world.find_pod(job)
    said = 'Usage of EmptyDir volume "tmp" exceeds the limit "2Gi".'
    pod["status"] = {"phase": "Failed", "reason": "Evicted", "message": said}
    world.kube.put(PODS, pod)
    world.finish_job(job, "Failed", "BackoffLimitExceeded")

    world.wait(minutes=2)

    run = world.runs[0]["status"]
    assert (run["exitCode"], run["reason"], len(world.jobs)) == (28, "ResourcesExhausted", 1)
    assert "EmptyDir" in run["message"]


# --- lost Jobs and reports -----------------------------------------------------------------------


def test_a_lost_report_is_repaired_by_asking_the_same_run_again() -> None:
    world = begin()
    name = world.runs[0]["metadata"]["name"]

    job = world.find_job()
    world.kube.remove(PODS, "acme", world.find_pod(job)["metadata"]["name"])
    world.finish_job(job, "Complete")
    world.step()
    world.end_job()
    world.step()

    assert [run["metadata"]["name"] for run in world.runs] == [name]
    assert world.jobs == [f"{name}-1", f"{name}-2"]
    assert world.runs[0]["status"]["rows"] == 30


def test_a_report_that_is_always_lost_ends_by_its_code() -> None:
    world = begin()

    for _ in range(3):
        world.end_job(0, "no report")
        world.wait(minutes=2)

    assert len(world.jobs) == 3
    assert world.runs[0]["status"]["outcome"] == "Succeeded"


def test_a_job_deleted_by_hand_is_made_again_once_its_pod_is_gone() -> None:
    world = begin()
    job = world.jobs[0]

    world.kube.remove(JOBS, "acme", job)
    world.wait(seconds=10)
    world.end_job()
    world.step()

    assert world.jobs == [f"{job[:-2]}-2"]
    assert world.runs[0]["status"]["outcome"] == "Succeeded"
    assert "JobLost" in world.event_reasons


def test_the_jobs_own_deadline_ends_the_run() -> None:
    world = begin()
    world.now += timedelta(hours=6, minutes=1)
    job = world.find_job()
    for pod in world.kube.find(PODS):
        world.kube.remove(PODS, "acme", pod["metadata"]["name"])
    world.finish_job(job, "Failed", "DeadlineExceeded")

    world.step()

    assert world.runs[0]["status"]["reason"] == "DeadlineExceeded"


def test_a_code_is_read_from_the_job_when_the_pod_is_gone() -> None:
    world = begin()
    said = "Container extractor for pod acme/x failed with exit code 22 matching FailJob rule at index 1"
    world.finish_job(world.find_job(), "Failed", "PodFailurePolicy", said)

    world.step()

    assert world.runs[0]["status"]["exitCode"] == 22


def test_an_api_server_that_is_away_delays_and_loses_nothing() -> None:
    world = World(has_kubelet=True)
    world.apply()
    world.deliver()
    world.kube.is_down = True
    for _ in range(3):
        world.worker.work_once()
        world.now += timedelta(seconds=10)

    world.kube.is_down = False
    world.wait(minutes=2)

    assert len(world.kube.find(RUNS)) == 1


def test_progress_is_told_at_most_once_a_minute() -> None:
    from dpp_operator.reconcile.facts import Heartbeat

    world = begin()
    before = world.kube.count("status", RUNS)

    for second in range(0, 180, 10):
        name = world.runs[0]["metadata"]["name"]
        world.beats = {name: Heartbeat(world.now, 100 + second, {"orders": 100 + second})}
        world.wait(seconds=10)

    assert world.runs[0]["status"]["rows"] >= 200
    assert world.kube.count("status", RUNS) - before <= 4
