"""What happens to a run under way, on a real node: killed, evicted, late, or with its resource changed beneath it.

Nothing is lost and nothing is twice: each story ends with tables equal to the source. They run side by side.
"""

import json
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from cluster.trial import DX, RUNS, STORY_SECONDS, Trial, list_keys
from servers.proxy import Mode

pytestmark = pytest.mark.timeout(STORY_SECONDS)


def hold(trial: Trial, **spec: Any) -> dict[str, Any]:
    """Begin a run that gets no answer from its source until the proxy lets it; give its pod."""
    trial.stage.source.mode = Mode.HOLD
    trial.apply(**spec)
    return trial.wait_running()


def release(trial: Trial) -> None:
    trial.stage.source.mode = Mode.PASS


def list_commits(trial: Trial, dataset: str) -> list[str]:
    stage = trial.stage
    keys = list_keys(stage.store, stage.bucket, f"/{dataset}/_delta_log/")
    return [key for key in keys if key.endswith(".json")]


def killed(point: str, is_committed: bool, trial: Trial) -> None:
    """The first try kills itself with SIGKILL at the point; the pod's processes share a namespace, or it could not."""
    seam = {"name": "DPP_KILL_AT", "value": point}
    patch = [
        {"op": "add", "path": "/spec/shareProcessNamespace", "value": True},
        {"op": "add", "path": "/spec/containers/0/env/-", "value": seam},
    ]
    trial.stage.credentials.change_pods(trial.tenant, patch=patch, first_try_only=True)
    trial.apply()
    trial.cause_when_ended("137")

    trial.expect_retry("ResourcesExhausted", 28)  # whoever killed it, more memory is tried once
    trial.wait_success()
    runs = trial.list(RUNS)
    outcomes = {unit["name"]: unit["outcome"] for unit in runs[0]["status"]["units"]}
    assert len(runs) == 1
    assert outcomes["orders"] == ("AlreadyCommitted" if is_committed else "Committed")
    assert len(list_commits(trial, "orders")) == 1
    assert len(list_commits(trial, "customers")) == 1


def evicted(trial: Trial) -> None:
    """It gets SIGTERM; Kubernetes gives the Job another pod, since a disruption does not count."""
    pod = hold(trial)["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": trial.tenant},
    }
    place = f"/api/v1/namespaces/{trial.tenant}/pods/{pod}/eviction"
    kubectl = trial.stage.cluster.kubectl
    kubectl.run("create", "--raw", place, "-f", "-", text=json.dumps(eviction))
    trial.cause()
    release(trial)

    trial.expect("LastRunSucceeded", "True", "Succeeded", "RunSucceeded", 0)
    trial.assert_equal()
    assert len(trial.list(RUNS)) == 1


def late(trial: Trial) -> None:
    """The run's own deadline: what has been read is not committed in its last minute."""
    trial.apply(schedule={"cron": ["H 2 * * *"], "firstRun": "Scheduled"})
    now = datetime.now(UTC).replace(microsecond=0)
    spec = {
        "extraction": trial.tenant,
        "createdAt": now.isoformat(),
        "deadlineAt": (now + timedelta(seconds=55)).isoformat(),
    }
    run = {
        "apiVersion": "extraction.dpp.dev/v1alpha1",
        "kind": "ExtractionRun",
        "metadata": {"name": "short", "namespace": trial.tenant},
        "spec": spec,
    }
    trial.stage.cluster.kubectl.apply(run)
    trial.cause()

    trial.expect("LastRunSucceeded", "False", "DeadlineExceeded", "RunFailed", 75)
    assert list_commits(trial, "orders") == []
    trial.ask_again("with more time")


def job_late(trial: Trial) -> None:
    """The Job's own deadline, a minute behind the run's: Kubernetes deletes the pod and its report with it."""
    hold(trial)
    job = trial.list("jobs")[0]["metadata"]["name"]
    patch = '{"spec": {"activeDeadlineSeconds": 1}}'
    trial.stage.cluster.kubectl.run(
        "patch", "job", job, "-n", trial.tenant, "--type=merge", "-p", patch
    )
    trial.cause()

    trial.expect_retry("DeadlineExceeded", 75)
    messages = [each["message"] for each in trial.list("events") if each["reason"] == "RunRetried"]
    assert "time was over" in messages[0]
    release(trial)
    trial.wait_success()


def changed(trial: Trial) -> None:
    """The run under way keeps its plan; the next one has the new one."""
    pod = hold(trial)
    datasets = trial.stage.build_extraction()["spec"]["datasets"]
    more = {"name": "again", "object": "orders", "key": ["id"]}
    trial.apply(datasets=[*datasets, more])
    trial.cause()
    release(trial)

    trial.expect("LastRunSucceeded", "True", "Succeeded", "RunSucceeded", 0)
    trial.assert_equal()
    units = [unit["name"] for unit in trial.list(RUNS)[0]["status"]["units"]]
    assert units == ["orders", "customers"]
    assert trial.list("pods")[0]["metadata"]["uid"] == pod["metadata"]["uid"]
    assert trial.read_status()["lastRun"]["generation"] == 1
    trial.ask_again("with the new plan")
    assert len(trial.stage.read_table("again")) == len(trial.stage.read_table("orders"))


def suspended(trial: Trial) -> None:
    """The run under way finishes; nothing new starts until it goes on, not by hand either."""
    hold(trial)
    trial.apply(suspend=True)
    trial.cause()

    trial.expect("Suspended", "True", "Suspended", "RunStarted")
    release(trial)
    trial.wait_success()
    trial.apply(trigger={"manual": "while suspended"})
    generation = trial.stage.cluster.kubectl.get(DX, trial.tenant, trial.tenant)["metadata"]
    trial.wait(
        lambda: trial.read_status()["observedGeneration"] == generation["generation"], "a look"
    )
    assert len(trial.list(RUNS)) == 1
    trial.ask_again("while suspended", suspend=False)
    assert len(trial.list(RUNS)) == 2


def deleted(trial: Trial) -> None:
    """What it owns goes with it, nothing half is left; made anew it begins where the tables stand."""
    hold(trial)
    trial.stage.cluster.kubectl.delete(DX, trial.tenant, trial.tenant)
    trial.cause()

    for kind in (RUNS, "jobs", "pods"):
        trial.wait(partial(_is_gone, trial, kind), f"no {kind}")
    trial.keep("gone", "", "RunStarted")
    assert list_commits(trial, "orders") == []
    release(trial)
    trial.apply()
    trial.wait_success()


def _is_gone(trial: Trial, kind: str) -> bool:
    return not trial.list(kind)


def recreated(trial: Trial) -> None:
    """The old pod may still be at it while the new one reads: one of them commits, the other is fenced or finds it."""
    hold(trial)
    trial.stage.cluster.kubectl.delete(DX, trial.tenant, trial.tenant, "--wait=false")
    trial.apply()
    trial.cause()
    release(trial)

    last = trial.wait(lambda: trial.read_status().get("lastRun"), "the end of the new run")
    if last["outcome"] == "Succeeded":
        trial.keep("LastRunSucceeded=True", "Succeeded", "RunSucceeded", 0)
    else:
        assert last["reason"] == "Fenced"
        trial.keep("lastRun Failed", "Fenced", "RunFailed", 27)
    trial.assert_equal()
    assert len(list_commits(trial, "orders")) == 1
    trial.ask_again("once more")


def rolled_back(trial: Trial) -> None:
    """A run of epoch 1 ends although git is back at epoch 0; the next one says that it must not go back."""
    trial.apply()
    trial.wait_success()
    first = trial.stage.build_extraction()["spec"]["datasets"]
    second = [{**first[0], "epoch": 1}, first[1]]
    hold(trial, datasets=second, trigger={"manual": "two"})
    trial.apply(datasets=first)
    release(trial)
    trial.wait(lambda: "activeRun" not in trial.read_status(), "the end of the run")
    trial.assert_equal()
    assert len(list_commits(trial, "orders")) == 2

    trial.apply(trigger={"manual": "three"})
    trial.cause()
    trial.expect("Stalled", "True", "EpochBehind", "RunFailed", 29)
    trial.ask_again("four", datasets=second)


def job_deleted(trial: Trial) -> None:
    hold(trial)
    job = trial.list("jobs")[0]["metadata"]["name"]
    trial.stage.cluster.kubectl.delete("job", job, trial.tenant, "--wait=false")
    trial.cause()

    trial.wait(lambda: "JobLost" in trial.list_events(), "the loss")
    trial.keep("Ready=True", "JobLost", "JobLost")
    release(trial)
    trial.wait_success()
    assert len(trial.list(RUNS)) == 1


STORIES: dict[str, Callable[[Trial], None]] = {
    "killed: a part is uploaded": partial(killed, "part_uploaded", False),
    "killed: commit sent, not answered": partial(killed, "commit_unread", True),
    "killed: committed, not recorded": partial(killed, "committed", True),
    "evicted": evicted,
    "the run's deadline": late,
    "the Job's deadline": job_late,
    "changed during a run": changed,
    "suspended during a run": suspended,
    "deleted during a run": deleted,
    "recreated in a second": recreated,
    "rolled back during a run": rolled_back,
    "Job deleted by hand": job_deleted,
}


@pytest.mark.parametrize("story", STORIES)
def test_nothing_is_lost_and_nothing_twice(trials: dict[str, Future[None]], story: str) -> None:
    trials[story].result()
