"""The Job as the operator makes it, run by the real Job controller with the real Vault agent.

No operator runs here: the test takes the pure functions that make its objects, and applies them.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.kubectl import wait_for
from cluster.stage import CUSTOMERS, ORDERS, Stage
from dpp_core.handover import RunReport
from dpp_core.plan import new_run, resolve_bytes
from dpp_core.policy import Policy
from dpp_core.spec.extraction import Extraction
from dpp_core.termination import parse_termination_message
from dpp_operator.manifests.job import JobPlan, build_job
from dpp_operator.manifests.run import build_run

DATASETS = ("orders", "customers")


def start_job(stage: Stage, image: str, name: str) -> dict[str, Any]:
    """Apply an extraction, its run and the run's Job; give the Job."""
    kubectl = stage.cluster.kubectl
    written = stage.build_extraction()
    kubectl.apply(written)
    kept = kubectl.get("dx", stage.tenant, stage.tenant)
    extraction = Extraction.model_validate(written, by_alias=True)
    policy = Policy.model_validate(stage.build_policy(image), by_alias=True)
    run = new_run(extraction, policy, datetime.now(UTC), name)
    kubectl.apply(build_run(run, kept["metadata"]["uid"]))
    owner = kubectl.get("xrun", name, stage.tenant)["metadata"]["uid"]
    plan = JobPlan(
        run_name=name,
        run_uid=owner,
        number=1,
        request=resolve_bytes(extraction, policy, run),
        image=image,
        size="Small",
        earlier_codes=(),
        deadline_seconds=400,
    )
    job = build_job(plan, policy)
    kubectl.apply(job)
    return job


def find_end(stage: Stage, job: dict[str, Any]) -> dict[str, Any] | None:
    """Give how the extractor's container ended, once it did."""
    labels = {"job-name": job["metadata"]["name"]}
    for pod in stage.cluster.kubectl.list("pods", stage.tenant, labels):
        for status in pod["status"].get("containerStatuses", ()):
            if "terminated" in status["state"]:
                ended: dict[str, Any] = status["state"]["terminated"]
                return ended
    return None


def find_init_end(stage: Stage, job: dict[str, Any]) -> dict[str, Any] | None:
    """Give how the agent's container ended, once it did."""
    labels = {"job-name": job["metadata"]["name"]}
    for pod in stage.cluster.kubectl.list("pods", stage.tenant, labels):
        for status in pod["status"].get("initContainerStatuses", ()):
            if status["name"] == "vault-agent-init" and "terminated" in status["state"]:
                ended: dict[str, Any] = status["state"]["terminated"]
                return ended
    return None


def test_a_job_brings_its_tables_with_secrets_that_kubernetes_never_saw(
    stage: Stage, extractor_image: str
) -> None:
    job = start_job(stage, extractor_image, f"{stage.tenant}-1")

    ended = wait_for(lambda: find_end(stage, job), "the end of the extractor", 120)

    report: RunReport = parse_termination_message(ended["message"].encode(), DATASETS)
    assert ended["exitCode"] == 0, report
    assert {unit.dataset: unit.rows for unit in report.units} == {
        "orders": ORDERS,
        "customers": CUSTOMERS,
    }
    assert len(stage.read_table("orders")) == ORDERS
    assert len(stage.read_table("customers")) == CUSTOMERS
    done = wait_for(
        lambda: stage.cluster.kubectl.get("job", job["metadata"]["name"], stage.tenant)[
            "status"
        ].get("succeeded"),
        "the Job's success",
    )
    assert done == 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [("account", "403"), ("role", "400")],
    ids=["account-not-bound", "role-unknown"],
)
def test_an_agent_that_may_not_log_in_ends_soon_and_says_why(
    stage: Stage, extractor_image: str, spoil: str, said: str
) -> None:
    role = f"dpp-{stage.tenant}"
    if spoil == "account":
        stage.credentials.bind_role(role, ["elsewhere"], ["elsewhere"])
    else:
        stage.credentials.client.delete(f"auth/kubernetes/role/{role}")

    job = start_job(stage, extractor_image, f"{stage.tenant}-{spoil}")

    ended = wait_for(lambda: find_init_end(stage, job), "the end of the agent", 60)
    assert ended["exitCode"] == 1
    assert said in ended["message"]
    assert find_end(stage, job) is None
