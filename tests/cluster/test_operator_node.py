"""The operator on a real cluster with one node: from apply to tables, and how each failure is told.

Jobs run the real image with the real Vault agent, reading a real PostgreSQL into a real bucket. The operator is a
process of this machine with the rights of the chart, but in the first test, where the chart installs its image.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import deltalake
import pytest
import yaml

from cluster import charts
from cluster.kubectl import RefusedError, wait_for
from cluster.operator_process import OperatorProcess, install_account, start_operator
from cluster.stage import CUSTOMERS, ORDERS, Stage
from servers.proxy import Mode

DX = "distributorextractions"
TOLD_WITHIN_SECONDS = 130
pytestmark = pytest.mark.timeout(600)  # the first test waits for the images
Begin = Callable[..., OperatorProcess]


@pytest.fixture
def begin(stage: Stage, extractor_image: str) -> Iterator[Begin]:
    """Give a call that starts an operator for this stage's tenant alone."""
    started: list[OperatorProcess] = []

    def _begin(**policy: Any) -> OperatorProcess:
        kubeconfig = install_account(stage.cluster.plane)
        process = start_operator(
            kubeconfig, stage.build_policy(extractor_image, **policy), DPP_NAMESPACES=stage.tenant
        )
        started.append(process)
        return process

    yield _begin
    for process in started:
        print(process.read_log()[-2000:])
        process.server.remove()


def apply(stage: Stage, **spec: Any) -> None:
    thing = stage.build_extraction()
    thing["spec"] |= spec
    stage.cluster.kubectl.apply(thing)


def condition(stage: Stage, kind: str) -> dict[str, Any]:
    found = stage.cluster.kubectl.get(DX, stage.tenant, stage.tenant).get("status", {})
    return next((each for each in found.get("conditions", ()) if each["type"] == kind), {})


def wait_condition(
    stage: Stage, kind: str, status: str, reason: str = "", seconds: float = TOLD_WITHIN_SECONDS
) -> dict[str, Any]:
    """Wait until a condition has this status and reason, and give it."""

    def look() -> Any:
        found = condition(stage, kind)
        is_it = found.get("status") == status and (not reason or found.get("reason") == reason)
        return found if is_it else None

    found: dict[str, Any] = wait_for(look, f"{kind}={status} {reason}", seconds)
    return found


def events(stage: Stage) -> set[str]:
    return {each["reason"] for each in stage.cluster.kubectl.list("events", stage.tenant)}


def run_status(stage: Stage) -> dict[str, Any]:
    runs = stage.cluster.kubectl.list("extractionruns", stage.tenant)
    first = min(runs, key=lambda run: str(run["metadata"]["creationTimestamp"]))
    status: dict[str, Any] = first.get("status", {})
    return status


def count_rows(stage: Stage, dataset: str) -> int:
    uri = f"s3://{stage.bucket}/erp/{stage.tenant}/{stage.tenant}/{dataset}"
    table = deltalake.DeltaTable(uri, storage_options=stage.store.storage_options())
    return int(table.to_pyarrow_table().num_rows)


def show_operator(stage: Stage) -> None:
    """Print what the installed operator says, for whoever reads a failure."""
    kubectl = stage.cluster.kubectl
    print(kubectl.run("get", "pods,events", "-n", "dpp-chart"))
    print(kubectl.run("logs", "-n", "dpp-chart", "deploy/dpp-operator", "--tail=60"))


def test_chart_and_resource_become_tables_within_a_minute(
    stage: Stage, extractor_image: str, operator_image: str, tmp_path: Path
) -> None:
    repository, _, tag = operator_image.rpartition(":")
    values = {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "policy": stage.build_policy(extractor_image),
        "crds": {"install": False},
    }
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    kubeconfig = stage.cluster.plane.kubeconfig
    try:
        charts.install("dpp-operator", kubeconfig, "dpp-chart", file)
        began = time.monotonic()
        apply(stage)
        wait_condition(stage, "LastRunSucceeded", "True")
        seconds = time.monotonic() - began
        print(f"apply to last row: {seconds:.1f} s")

        assert seconds <= 60
        assert count_rows(stage, "orders") == ORDERS
        assert count_rows(stage, "customers") == CUSTOMERS
        assert condition(stage, "Ready")["status"] == "True"
        assert {"RunStarted", "RunSucceeded"} <= events(stage)
    finally:
        show_operator(stage)
        charts.helm("uninstall", "dpp-operator", "-n", "dpp-chart", "--wait", kubeconfig=kubeconfig)


def test_the_next_run_brings_only_the_change(stage: Stage, begin: Begin) -> None:
    begin()
    apply(stage)
    wait_condition(stage, "LastRunSucceeded", "True")
    stage.database.execute(
        "INSERT INTO orders SELECT n, 1, 1, now() - interval '10 seconds' FROM generate_series(900, 902) n"
    )

    apply(stage, trigger={"manual": "more"})
    wait_for(
        lambda: (
            stage.cluster.kubectl.get(DX, stage.tenant, stage.tenant)["status"].get(
                "lastManualTrigger"
            )
            == "more"
        ),
        "the trigger's echo",
        60,
    )

    runs = stage.cluster.kubectl.list("extractionruns", stage.tenant)
    rows = {
        unit["name"]: unit["rows"]
        for run in runs
        if run["spec"]["type"] == "Manual"
        for unit in run["status"]["units"]
    }
    assert rows["orders"] <= 3
    assert rows["customers"] == CUSTOMERS or rows["customers"] == 0


def test_a_wrong_password_opens_the_circuit(stage: Stage, begin: Begin) -> None:
    stage.credentials.put_secret(
        f"distributors/{stage.tenant}/erp", {"username": "nobody", "password": "wrong"}
    )
    begin()

    apply(stage, schedule={"cron": ["* * * * *"]})

    wait_condition(stage, "CredentialsValid", "False", "CredentialsRefused")
    assert run_status(stage)["exitCode"] == 22
    assert condition(stage, "Stalled")["status"] == "True"
    job = stage.cluster.kubectl.list("jobs", stage.tenant)[0]
    assert job["status"]["conditions"][0]["reason"] == "PodFailurePolicy"


def test_a_source_that_is_away_is_waited_for(stage: Stage, begin: Begin) -> None:
    stage.source.mode = Mode.REFUSE
    begin()
    apply(stage, run={"attempts": 5})
    wait_for(lambda: run_status(stage).get("exitCode") == 23, "the first try's end", 120)

    stage.source.mode = Mode.PASS

    wait_condition(stage, "LastRunSucceeded", "True")
    assert count_rows(stage, "orders") == ORDERS


@pytest.mark.parametrize(
    "spoil", ["account", "role", "secret"], ids=["account not bound", "role unknown", "secret gone"]
)
def test_missing_credentials_are_told(stage: Stage, begin: Begin, spoil: str) -> None:
    role = f"dpp-{stage.tenant}"
    if spoil == "account":
        stage.credentials.bind_role(role, ["elsewhere"], ["elsewhere"])
    elif spoil == "role":
        stage.credentials.client.delete(f"auth/kubernetes/role/{role}")
    begin()

    path = "nothing-here" if spoil == "secret" else "erp"
    apply(stage, credentials={"path": f"distributors/{stage.tenant}/{path}"})

    found = wait_condition(stage, "Ready", "False", "CredentialsUnavailable")
    assert "vault-agent-init" in found["message"]


def test_a_missing_image_is_told(stage: Stage, begin: Begin) -> None:
    missing = "localhost/there-is-no-such-image:1"
    begin(images={"allowTags": True, "allowed": [missing], "default": missing})

    apply(stage)

    found = wait_condition(stage, "Ready", "False", "ImageUnavailable")
    assert condition(stage, "Reconciling")["status"] == "True"
    assert found["message"]


def test_a_pod_that_no_node_takes_is_told(stage: Stage, begin: Begin) -> None:
    begin(pods={"nodeSelector": {"there-is": "no-such-node"}})

    apply(stage)

    found = wait_condition(stage, "Ready", "False", "Unschedulable")
    assert "node" in found["message"]


def test_a_refused_pod_is_told_with_the_api_servers_word(stage: Stage, begin: Begin) -> None:
    begin()
    stage.cluster.kubectl.delete("serviceaccount", "dpp-extractor", stage.tenant)

    apply(stage)

    found = wait_condition(stage, "Ready", "False", "AdmissionDenied")
    assert "dpp-extractor" in found["message"]


def test_too_little_memory_gets_more_once(stage: Stage, begin: Begin) -> None:
    sizes = {"Small": {"memory": "24Mi", "mostMemory": "1Gi"}}
    begin(defaults={"sizes": sizes})

    apply(stage)

    wait_for(
        lambda: len(stage.cluster.kubectl.list("jobs", stage.tenant)) == 2, "the second try", 90
    )
    limits = [
        job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
        for job in stage.cluster.kubectl.list("jobs", stage.tenant)
    ]
    assert sorted(limits) == ["24Mi", "48Mi"]


def test_no_secret_is_seen_by_kubernetes(stage: Stage, begin: Begin) -> None:
    begin()
    apply(stage)
    wait_condition(stage, "LastRunSucceeded", "True")

    kinds = "distributorextractions,extractionruns,jobs,pods,events,configmaps"
    seen = stage.cluster.kubectl.run("get", kinds, "-n", stage.tenant, "-o", "yaml")

    assert stage.database.password not in seen
    assert stage.store.secret_key not in seen


def test_direct_delivery_logs_in_with_the_pods_own_token(stage: Stage, begin: Begin) -> None:
    begin()

    path = f"distributors/{stage.tenant}/erp"
    apply(stage, credentials={"path": path, "delivery": "Direct"})

    wait_condition(stage, "LastRunSucceeded", "True")
    assert count_rows(stage, "orders") == ORDERS
    pod = stage.cluster.kubectl.list("pods", stage.tenant)[0]
    assert "initContainers" not in pod["spec"]


def test_a_bucket_that_is_away_is_waited_for(stage: Stage, begin: Begin) -> None:
    stage.store_proxy.mode = Mode.REFUSE
    begin()
    apply(stage, run={"attempts": 5})
    wait_for(lambda: run_status(stage).get("exitCode") == 26, "the first try's end", 120)

    stage.store_proxy.mode = Mode.PASS

    wait_condition(stage, "LastRunSucceeded", "True")


def test_a_run_whose_pod_is_evicted_goes_on(stage: Stage, begin: Begin) -> None:
    """Kubernetes gives it another pod; was it done before it went, its lost report is asked for by another try."""
    stage.source.mode = Mode.HANG
    begin()
    apply(stage)
    kubectl = stage.cluster.kubectl
    pod = wait_for(
        lambda: [
            p for p in kubectl.list("pods", stage.tenant) if p["status"]["phase"] == "Running"
        ],
        "a running pod",
        60,
    )[0]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod["metadata"]["name"], "namespace": stage.tenant},
    }

    place = f"/api/v1/namespaces/{stage.tenant}/pods/{pod['metadata']['name']}/eviction"
    kubectl.run("create", "--raw", place, "-f", "-", text=json.dumps(eviction))
    stage.source.mode = Mode.PASS

    wait_condition(stage, "LastRunSucceeded", "True")
    assert count_rows(stage, "orders") == ORDERS
    assert len(kubectl.list("extractionruns", stage.tenant)) == 1


def test_a_cancelled_run_stops_its_pod(stage: Stage, begin: Begin) -> None:
    stage.source.mode = Mode.HANG
    begin()
    apply(stage)
    kubectl = stage.cluster.kubectl
    run = wait_for(
        lambda: (
            condition(stage, "Running").get("status") == "True"
            and kubectl.list("extractionruns", stage.tenant)
        ),
        "a run",
        60,
    )[0]["metadata"]["name"]

    patch = '{"spec": {"cancel": "not now"}}'
    kubectl.run("patch", "xrun", run, "-n", stage.tenant, "--type=merge", "-p", patch)

    wait_for(lambda: run_status(stage).get("reason") == "Cancelled", "the end", 60)
    wait_for(lambda: not kubectl.list("pods", stage.tenant), "no pods", 90)


def test_two_tenants_cannot_reach_each_other(stage: Stage, begin: Begin) -> None:
    """Every attempt to name what belongs to another is refused before anything starts."""
    begin()
    attempts: list[dict[str, Any]] = [
        {"distributor": "other"},
        {"credentials": {"path": "distributors/other/erp"}},
        {"credentials": {"path": f"distributors/{stage.tenant}"}},
        {"credentials": {"path": f"distributors/{stage.tenant}x/erp"}},
        {"destination": {"profile": "lake-of-other"}},
        *(
            {"source": {"erp": "generic-sql", "database": {**database(stage), "host": host}}}
            for host in ("erp.other.example", "169.254.169.254", "127.0.0.1", "10.96.0.1")
        ),
        {"source": {"erp": "generic-sql", "database": {**database(stage), "engine": "sqlite"}}},
    ]
    for number, spec in enumerate(attempts):
        thing = stage.build_extraction(f"try-{number}")
        thing["spec"] |= spec
        try:
            stage.cluster.kubectl.apply(thing)
        except RefusedError:
            continue
        wait_for(
            lambda name=f"try-{number}": is_stalled(stage, name), f"attempt {number} refused", 30
        )

    assert stage.cluster.kubectl.list("jobs", stage.tenant) == []


def database(stage: Stage) -> dict[str, Any]:
    found: dict[str, Any] = stage.build_extraction()["spec"]["source"]["database"]
    return found


def is_stalled(stage: Stage, name: str) -> bool:
    found = stage.cluster.kubectl.get(DX, name, stage.tenant).get("status", {})
    return any(
        each["type"] == "Stalled" and each["status"] == "True"
        for each in found.get("conditions", ())
    )
