"""The operator on a real cluster with one node: from apply to tables. How failures are told is in test_failures_*.py.

Jobs run the real image with the real Vault agent, reading a real PostgreSQL into a real bucket. The operator is a
process of this machine with the rights of the chart, but in the first test, where the chart installs its image.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import deltalake
import pytest
import yaml

from cluster import charts
from cluster.kubectl import wait_for
from cluster.operator_process import (
    OperatorProcess,
    install_account,
    remove_account,
    start_operator,
)
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
    remove_account(stage.cluster.plane)
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


def test_a_refused_pod_is_told_with_the_api_servers_word(stage: Stage, begin: Begin) -> None:
    begin()
    stage.cluster.kubectl.delete("serviceaccount", "dpp-extractor", stage.tenant)

    apply(stage)

    found = wait_condition(stage, "Ready", "False", "AdmissionDenied")
    assert "dpp-extractor" in found["message"]


def test_direct_delivery_logs_in_with_the_pods_own_token(stage: Stage, begin: Begin) -> None:
    begin()

    path = f"distributors/{stage.tenant}/erp"
    apply(stage, credentials={"path": path, "delivery": "Direct"})

    wait_condition(stage, "LastRunSucceeded", "True")
    assert count_rows(stage, "orders") == ORDERS
    pod = stage.cluster.kubectl.list("pods", stage.tenant)[0]
    assert "initContainers" not in pod["spec"]


def test_tables_are_looked_after_by_a_pod_of_the_smallest_size(stage: Stage, begin: Begin) -> None:
    begin()
    apply(stage, run={"size": "Small"})
    wait_condition(stage, "LastRunSucceeded", "True")
    run = {
        "apiVersion": "extraction.dpp.dev/v1alpha1",
        "kind": "ExtractionRun",
        "metadata": {"name": "upkeep", "namespace": stage.tenant},
        "spec": {
            "extraction": stage.tenant,
            "type": "Maintain",
            "createdAt": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }

    stage.cluster.kubectl.apply(run)

    kubectl = stage.cluster.kubectl
    ended = wait_for(
        lambda: (
            (status := kubectl.get("xrun", "upkeep", stage.tenant).get("status", {})).get("outcome")
            and status
        ),
        "the end of the upkeep",
        TOLD_WITHIN_SECONDS,
    )
    assert (ended["outcome"], ended["exitCode"]) == ("Succeeded", 0), ended
    assert count_rows(stage, "orders") == ORDERS


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
