"""The operator's process against a real API server without a node: rights, writes, kills, and what a person sees.

The controller-manager makes the pods of its Jobs; a small kubelet of the test's own ends them.
"""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.control_plane import Api, ControlPlane
from cluster.kubectl import Kubectl, wait_for
from cluster.operator_process import OperatorProcess, install_account, start_operator
from dpp_core.handover import parse_request
from dpp_operator import labels
from fake_world import build_extraction, build_policy, build_report

DX, XRUN = "distributorextractions", "extractionruns"


def policy_fields(namespaces: list[str]) -> dict[str, Any]:
    policy = build_policy().model_dump(mode="json", by_alias=True, exclude_none=True)
    policy["tenants"][0]["namespaces"] = namespaces
    return policy


@pytest.fixture(scope="module")
def plane(api_with_kinds: Api) -> ControlPlane:
    if not isinstance(api_with_kinds, ControlPlane):
        pytest.skip("needs a control plane of its own")
    return api_with_kinds


@pytest.fixture(scope="module")
def kubeconfig(plane: ControlPlane) -> Path:
    return install_account(plane)


@pytest.fixture(scope="module")
def operator(kubeconfig: Path) -> Iterator[OperatorProcess]:
    process = start_operator(kubeconfig, policy_fields([f"op-{n}" for n in range(40)]))
    try:
        yield process
    finally:
        print(process.read_log()[-3000:])
        process.server.remove()


@pytest.fixture
def tenant(plane: ControlPlane, request: pytest.FixtureRequest) -> str:
    number = len(plane.kubectl.list("namespaces"))
    name = plane.kubectl.make_namespace(f"op-{number}")
    plane.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": labels.SERVICE_ACCOUNT, "namespace": name},
        }
    )
    return name


def place(thing: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Put the sample in a namespace, with a secret of its own: a circuit holds for all that share one."""
    thing["metadata"]["namespace"] = namespace
    thing["spec"]["credentials"] = {"path": f"distributors/acme/{namespace}"}
    return thing


def end_pod(kubectl: Kubectl, namespace: str, code: int = 0, message: str | None = None) -> None:
    """End the one pod that has not ended, as a kubelet would."""

    def find() -> Any:
        pods = kubectl.list("pods", namespace, {labels.MANAGED_BY: labels.OPERATOR})
        return [pod for pod in pods if pod["status"].get("phase") not in ("Succeeded", "Failed")]

    pod = wait_for(find, f"a pod in {namespace}")[0]
    request = parse_request(pod["metadata"]["annotations"][labels.REQUEST].encode())
    now = datetime.now(UTC)
    said = build_report(request, code, now) if message is None else message
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    terminated = {"exitCode": code, "message": said, "startedAt": stamp, "finishedAt": stamp}
    status = {
        "phase": "Succeeded" if code == 0 else "Failed",
        "containerStatuses": [
            {
                "name": labels.CONTAINER,
                "image": "x",
                "imageID": "x",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": terminated},
            }
        ],
    }
    patch = json.dumps({"status": status})
    name = pod["metadata"]["name"]
    kubectl.run(
        "patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch
    )


def condition(kubectl: Kubectl, namespace: str, kind: str) -> dict[str, Any]:
    found = kubectl.get(DX, "acme", namespace).get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), {})


def test_an_extraction_is_run_and_its_end_is_seen(
    plane: ControlPlane, operator: OperatorProcess, tenant: str
) -> None:
    kubectl = plane.kubectl

    kubectl.apply(place(build_extraction(), tenant))
    end_pod(kubectl, tenant)

    ready = wait_for(
        lambda: (
            condition(kubectl, tenant, "LastRunSucceeded").get("status") == "True"
            and condition(kubectl, tenant, "Ready")
        ),
        "a good end",
    )
    status = kubectl.get(DX, "acme", tenant)["status"]
    assert ready["status"] == "True"
    assert status["lastRun"]["rows"] == 30
    assert status["observedGeneration"] == 1
    said = kubectl.run("get", "dx", "acme", "-n", tenant)
    assert "True" in said
    events = [each["reason"] for each in kubectl.list("events", tenant)]
    assert {"RunStarted", "RunSucceeded"} <= set(events)


def test_writes_are_few_and_none_when_idle(
    plane: ControlPlane, operator: OperatorProcess, tenant: str
) -> None:
    kubectl = plane.kubectl
    kubectl.apply(place(build_extraction(), tenant))
    end_pod(kubectl, tenant)
    wait_for(lambda: condition(kubectl, tenant, "LastRunSucceeded").get("status") == "True", "end")

    writes = list_writes(plane, tenant)

    dx = [write for write in writes if write[1] == DX]
    starts = [write for write in writes if write[1] in (XRUN, "jobs") and write[0] == "create"]
    assert len(dx) <= 4, writes
    assert len(starts) == 2, writes
    before = kubectl.get(DX, "acme", tenant)["metadata"]["resourceVersion"]
    kubectl.run("annotate", DX, "acme", "-n", tenant, "touched=yes")
    threading.Event().wait(2)
    after = kubectl.get(DX, "acme", tenant)
    assert len(list_writes(plane, tenant)) == len(writes)
    assert before != after["metadata"]["resourceVersion"]


def list_writes(plane: ControlPlane, namespace: str) -> list[tuple[str, str]]:
    """List (verb, resource) of the operator's writes in a namespace, Events left out."""
    found = []
    for line in plane.audit_log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        about = entry.get("objectRef", {})
        is_ours = "dpp-operator" in entry["user"]["username"]
        if is_ours and about.get("namespace") == namespace and about["resource"] != "events":
            found.append((entry["verb"], about["resource"]))
    return found


def test_what_the_policy_denies_is_stalled(
    plane: ControlPlane, operator: OperatorProcess, tenant: str
) -> None:
    plane.kubectl.apply(place(build_extraction(distributor="other"), tenant))

    stalled = wait_for(
        lambda: (
            (found := condition(plane.kubectl, tenant, "Stalled")).get("status") == "True" and found
        ),
        "Stalled",
    )

    assert stalled["reason"] == "TenancyDenied"
    assert stalled["message"].startswith("spec.distributor: ")


def test_an_exit_code_fails_the_job_at_once_and_is_told(
    plane: ControlPlane, operator: OperatorProcess, tenant: str
) -> None:
    plane.kubectl.apply(place(build_extraction(), tenant))

    end_pod(plane.kubectl, tenant, 22)

    wait_for(
        lambda: condition(plane.kubectl, tenant, "CredentialsValid").get("status") == "False",
        "the refusal",
    )
    job = plane.kubectl.list("jobs", tenant)[0]
    failed = [each for each in job["status"]["conditions"] if each["type"] == "Failed"]
    assert failed[0]["reason"] == "PodFailurePolicy"


def test_a_temporary_code_gets_another_job(
    plane: ControlPlane, operator: OperatorProcess, tenant: str
) -> None:
    plane.kubectl.apply(place(build_extraction(), tenant))

    end_pod(plane.kubectl, tenant, 23)
    end_pod(plane.kubectl, tenant)

    wait_for(
        lambda: condition(plane.kubectl, tenant, "LastRunSucceeded").get("status") == "True",
        "the second try",
    )
    names = sorted(job["metadata"]["name"] for job in plane.kubectl.list("jobs", tenant))
    assert [name[-2:] for name in names] == ["-1", "-2"]


def test_a_hundred_commits_make_one_maintain_job_and_its_end_is_recorded(
    plane: ControlPlane, operator: OperatorProcess, tenant: str
) -> None:
    kubectl = plane.kubectl
    kubectl.apply(place(build_extraction(), tenant))
    job = wait_for(lambda: kubectl.list("jobs", tenant), "a Job")[0]
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    request = parse_request(annotations[labels.REQUEST].encode())
    end_pod(kubectl, tenant, message=build_report(request, 0, datetime.now(UTC), first_seq=100))

    asked = wait_for(lambda: find_upkeep(kubectl, tenant), "a Maintain run")[0]
    operator.server.kill()
    operator.server.start()
    end_pod(kubectl, tenant)

    wait_for(
        lambda: find_upkeep(kubectl, tenant)[0].get("status", {}).get("outcome") == "Succeeded",
        "the end of upkeep",
    )
    wait_for(lambda: "activeRun" not in kubectl.get(DX, "acme", tenant)["status"], "rest")
    run = asked["metadata"]["name"]
    jobs = kubectl.list("jobs", tenant, {labels.RUN: run})
    assert [each["metadata"]["name"] for each in jobs] == [f"{run}-1"]
    assert kubectl.get(DX, "acme", tenant)["status"]["lastRun"]["type"] == "Scheduled"
    assert len(kubectl.list(XRUN, tenant)) == 2


def find_upkeep(kubectl: Kubectl, namespace: str) -> list[dict[str, Any]]:
    return [run for run in kubectl.list(XRUN, namespace) if run["spec"]["type"] == "Maintain"]


def test_deleting_an_extraction_leaves_nothing(
    plane: ControlPlane, operator: OperatorProcess, tenant: str
) -> None:
    plane.kubectl.apply(place(build_extraction(), tenant))
    wait_for(lambda: plane.kubectl.list("jobs", tenant), "a Job")

    plane.kubectl.delete(DX, "acme", tenant)

    wait_for(lambda: not plane.kubectl.list(XRUN, tenant), "no runs")
    wait_for(lambda: not plane.kubectl.list("jobs", tenant), "no Jobs")


def test_an_operator_that_is_killed_goes_on_where_it_was(
    plane: ControlPlane, operator: OperatorProcess, tenant: str
) -> None:
    plane.kubectl.apply(place(build_extraction(), tenant))
    wait_for(lambda: plane.kubectl.list("jobs", tenant), "a Job")

    operator.server.kill()
    end_pod(plane.kubectl, tenant)
    operator.server.start()

    wait_for(
        lambda: condition(plane.kubectl, tenant, "LastRunSucceeded").get("status") == "True",
        "the end",
    )
    assert len(plane.kubectl.list(XRUN, tenant)) == 1
    assert len(plane.kubectl.list("jobs", tenant)) == 1


WRITES_OF_A_RUN = 8


@pytest.mark.parametrize("write", range(1, WRITES_OF_A_RUN + 1))
def test_killed_right_after_any_write_nothing_is_made_twice_or_lost(
    plane: ControlPlane, operator: OperatorProcess, kubeconfig: Path, tenant: str, write: int
) -> None:
    """The process ends itself behind the n-th write (Events count); a fresh one goes on."""
    operator.server.stop()
    one = {"DPP_NAMESPACES": tenant}
    doomed = start_operator(
        kubeconfig, policy_fields([tenant]), DPP_KILL_AFTER_WRITES=str(write), **one
    )
    fresh = start_operator(kubeconfig, None, **one)
    try:
        plane.kubectl.apply(place(build_extraction(), tenant))
        if write <= 3:
            wait_for(lambda: not doomed.server.is_running, "the kill", 30)
            fresh.write_policy(policy_fields([tenant]))
        end_pod(plane.kubectl, tenant)
        if write > 3:
            wait_for(lambda: not doomed.server.is_running, "the kill", 30)
            fresh.write_policy(policy_fields([tenant]))

        wait_for(
            lambda: condition(plane.kubectl, tenant, "LastRunSucceeded").get("status") == "True",
            "the end",
            60,
        )
        assert len(plane.kubectl.list(XRUN, tenant)) == 1
        assert len(plane.kubectl.list("jobs", tenant)) == 1
        wait_for(lambda: "activeRun" not in plane.kubectl.get(DX, "acme", tenant)["status"], "rest")
    finally:
        doomed.server.remove()
        fresh.server.remove()
        operator.server.start()


def test_an_idle_fleet_is_not_written_through_two_listings(
    plane: ControlPlane, operator: OperatorProcess, kubeconfig: Path, tenant: str
) -> None:
    operator.server.stop()  # two operators with two policies would each write theirs
    process = start_operator(
        kubeconfig, policy_fields([tenant]), DPP_NAMESPACES=tenant, DPP_RESYNC_SECONDS="3"
    )
    try:
        fleet = []
        for number in range(50):
            thing = place(build_extraction(), tenant)
            thing["metadata"]["name"] = f"acme-{number}"
            thing["spec"]["schedule"]["firstRun"] = "Scheduled"
            fleet.append(thing)
        plane.kubectl.apply(*fleet)
        wait_for(lambda: len(list_writes(plane, tenant)) >= 50, "a status each", 60)
        listings = count(process, "dpp_resyncs_total")
        before = list_writes(plane, tenant)

        wait_for(lambda: count(process, "dpp_resyncs_total") >= listings + 2, "two listings", 60)

        assert list_writes(plane, tenant) == before
        assert len(before) == 50
    finally:
        process.server.remove()
        operator.server.start()


def count(process: OperatorProcess, metric: str) -> float:
    lines = process.ask("/metrics")[1].splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric))


def test_probes_and_metrics_answer(operator: OperatorProcess) -> None:
    wait_for(lambda: operator.ask("/readyz")[0] == 200, "ready")

    assert operator.ask("/healthz")[0] == 200
    assert "dpp_policy_valid 1.0" in operator.ask("/metrics")[1]


def test_a_bad_policy_at_the_start_is_not_ready_and_names_the_key(kubeconfig: Path) -> None:
    process = start_operator(kubeconfig, {"cluster": "test", "tenant": []})
    try:
        status, said = wait_for(
            lambda: (answer := process.ask("/readyz"))[0] == 503 and answer, "not ready"
        )
        assert (status, "tenant" in said) == (503, True)
        process.write_policy(policy_fields(["nowhere"]))
        wait_for(lambda: process.ask("/readyz")[0] == 200, "ready")
    finally:
        process.server.remove()
