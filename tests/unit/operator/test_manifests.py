"""The objects the operator makes: golden files, Kubernetes' own schema, the restricted pod standard, one request.

The golden files are written anew by `python tests/unit/operator/test_manifests.py`.
"""

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dpp_core.cli.main import run as run_dpp
from dpp_core.errors import EXIT_CODES
from dpp_core.names import PROTOCOL
from dpp_core.policy import Policy
from dpp_operator import labels
from dpp_operator.kube.client import JOBS, RUNS
from dpp_operator.manifests.event import build_event
from dpp_operator.manifests.job import JobPlan, build_failure_rules, build_job, name_job
from dpp_operator.manifests.size import find_memory, find_size, parse_bytes
from dpp_operator.manifests.vault import find_kv_path
from fake_world import START, World, build_extraction, build_policy

GOLDEN = Path(__file__).parent / "golden"
RICH: dict[str, Any] = {
    "index": {"credentials": "platform/index"},
    "destinations": {
        "lake": {"bucket": "acme-lake", "endpoint": "https://s3.example", "credentials": "distributors/acme/lake"}
    },
    "pods": {
        "tolerations": [{"key": "extract", "operator": "Exists", "effect": "NoSchedule"}],
        "nodeSelector": {"pool": "extract"},
        "priorityClass": "batch",
        "imagePullSecrets": ["pull"],
        "proxy": "http://proxy.example:3128",
        "caBundle": "company-ca",
    },
    "vault": {"address": "https://vault.example:8200", "authMount": "k8s-eu", "kvMount": "kv", "audience": "vault"},
}  # fmt: skip
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "agent": ({}, {}),
    "agent-rich": (RICH, {"run": {"size": "Large"}}),
    "direct": ({"vault": RICH["vault"]}, {"credentials": {"path": "distributors/acme/erp", "delivery": "Direct"}}),
}  # fmt: skip


def make(case: str) -> World:
    policy, changes = CASES[case]
    world = World(policy=build_policy(**policy))
    world.apply(**changes)
    world.step()
    return world


def render(case: str) -> str:
    job = make(case).kube.find(JOBS)[0]
    for name in ("uid", "creationTimestamp", "generation", "resourceVersion"):
        del job["metadata"][name]
    job["metadata"]["ownerReferences"][0]["uid"] = "(the run's)"
    note = job["spec"]["template"]["metadata"]["annotations"]
    note[labels.REQUEST] = json.dumps(json.loads(note[labels.REQUEST]), indent=1)
    return yaml.safe_dump(job, sort_keys=True, width=120)


@pytest.mark.parametrize("case", CASES)
def test_the_job_is_as_the_golden_file_says(case: str) -> None:
    assert render(case) == (GOLDEN / f"job-{case}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", ["1.31", "1.34"])
def test_kubernetes_knows_every_field(case: str, version: str) -> None:
    kubernetes_validate.validate(make(case).kube.find(JOBS)[0], version, strict=True)


def test_an_event_is_one() -> None:
    about = {**build_extraction(), "metadata": {"name": "acme", "namespace": "acme", "uid": "u"}}
    event = build_event(about, ("Warning", "RunFailed", "m" * 5000, ""), "pod-1", START)

    kubernetes_validate.validate(event, "1.34", strict=True)
    assert len(event["message"]) == 1024


@pytest.mark.parametrize("case", CASES)
def test_the_pod_meets_the_restricted_standard(case: str) -> None:
    pod = make(case).kube.find(JOBS)[0]["spec"]["template"]["spec"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "dpp-extractor"
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
    kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"downwardAPI", "emptyDir", "projected", "configMap"}
    assert all(
        "sizeLimit" in volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume
    )


def test_every_code_of_the_table_has_one_rule() -> None:
    rules = build_failure_rules()
    listed = [code for rule in rules[1:] for code in rule["onExitCodes"]["values"]]

    assert rules[0]["action"] == "Ignore"
    assert sorted(listed) == sorted([*(code for code in EXIT_CODES if code >= 20), 137])
    assert len(listed) == len(set(listed))
    assert all(rule["onExitCodes"]["containerName"] == labels.CONTAINER for rule in rules[1:])


def test_the_jobs_deadline_leaves_the_agent_its_five_minutes() -> None:
    job = make("agent").kube.find(JOBS)[0]["spec"]

    assert job["activeDeadlineSeconds"] > 330
    assert job["backoffLimit"] == 0
    assert job["podReplacementPolicy"] == "Failed"


def test_the_operator_hands_over_the_bytes_that_dpp_plan_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make("agent-rich")
    run = world.kube.find(RUNS)[0]
    extraction = world.kube.find(world_kind())[0]
    files = {"dx.yaml": extraction, "run.yaml": run, "policy.yaml": dump(world.policy)}
    for name, content in files.items():
        (tmp_path / name).write_text(yaml.safe_dump(content, sort_keys=False))

    named = [str(tmp_path / name) for name in files]
    options = [
        each for pair in zip(("-f", "--run", "--policy"), named, strict=True) for each in pair
    ]
    code = run_dpp(["plan", *options, "-o", "json"])

    annotations = world.find_job()["spec"]["template"]["metadata"]["annotations"]
    assert code == 0
    assert capsys.readouterr().out.rstrip("\n") == annotations[labels.REQUEST]
    assert json.loads(annotations[labels.REQUEST])["protocol"] == PROTOCOL


def world_kind() -> Any:
    from dpp_operator.kube.client import EXTRACTIONS

    return EXTRACTIONS


def dump(policy: Policy) -> Any:
    return policy.model_dump(mode="json", by_alias=True, exclude_none=True)


@pytest.mark.parametrize("name", ["a" * 63, "a" * 60, "with.dots", "plain"])
def test_names_of_jobs_fit_and_do_not_meet(name: str) -> None:
    names = {name_job(name, number) for number in (1, 2, 10)}

    assert len(names) == 3
    assert all(len(each) <= 63 and "." not in each for each in names)


def test_more_memory_is_doubled_up_to_the_cap() -> None:
    size = find_size(build_policy(), "Small")

    assert [find_memory(size, times) for times in (0, 1, 2, 5)] == ["512Mi", "1024Mi", "2048Mi", "2048Mi"]  # fmt: skip
    assert parse_bytes("1Gi") == 2**30


@pytest.mark.parametrize("before", ["", "secret/", "secret/data/"])
def test_a_path_is_spelt_as_the_kv_engine_reads_it(before: str) -> None:
    assert (
        find_kv_path(f"{before}distributors/acme/erp", None) == "secret/data/distributors/acme/erp"
    )


def test_labels_of_others_are_never_copied() -> None:
    world = World()
    thing = build_extraction()
    thing["metadata"]["labels"] = {
        "app.kubernetes.io/instance": "argo",
        "argocd.argoproj.io/x": "y",
    }
    thing["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    world.apply(thing)
    world.step()

    for made in (*world.kube.find(RUNS), *world.kube.find(JOBS)):
        metadata = made["metadata"]
        assert "app.kubernetes.io/instance" not in metadata["labels"]
        assert not any("kubectl" in name for name in metadata.get("annotations", {}))


def test_the_plan_is_all_a_job_is_made_from() -> None:
    request = make("agent").find_job()["spec"]["template"]["metadata"]["annotations"]
    plan = JobPlan("r", "u", 2, request[labels.REQUEST].encode(), "i", "Small", (23,), 400)

    assert build_job(plan, build_policy()) == build_job(plan, build_policy())


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name in CASES:
        (GOLDEN / f"job-{name}.yaml").write_text(render(name), encoding="utf-8")
