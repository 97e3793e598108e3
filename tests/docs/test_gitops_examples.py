"""The GitOps examples hold: health checks on statuses of the operator itself, charts' values, kinds and policy.

The Lua is run by a real interpreter of the version that Argo CD embeds, without the libraries that it leaves out. The
rule by which Flux (and `kubectl wait`-like tools) read a status is told here in a few lines of our own.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from lupa import lua51

from dpp_core.documents.loading import check_object
from dpp_core.policy import Policy
from dpp_operator.kube.client import EXTRACTIONS
from fake_world import World, build_extraction

ROOT = Path(__file__).parents[2]
GITOPS = ROOT / "docs" / "examples" / "gitops"
HEALTH = "resource.customizations.health.extraction.dpp.dev_"
FILES = {
    "DistributorExtraction": "health-extraction.lua",
    "ExtractionRun": "health-run.lua",
}
LEFT_OUT = ("string", "io", "os", "math", "debug", "coroutine")
Object = dict[str, Any]


def load(path: Path) -> list[Object]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def load_all(kind: str) -> list[Object]:
    found = [each for path in sorted(GITOPS.rglob("*.yaml")) for each in load(path)]
    return [each for each in found if each["kind"] == kind]


def ask_argocd(thing: Object) -> tuple[str, str]:
    """Run the health check of a kind as Argo CD does: `obj` is the object, the answer a table."""
    runtime = lua51.LuaRuntime(unpack_returned_tuples=True)
    for library in LEFT_OUT:
        runtime.globals()[library] = None
    plain = json.loads(json.dumps(thing))
    runtime.globals()["obj"] = runtime.table_from(plain, recursive=True)
    text = (GITOPS / "argocd" / FILES[thing["kind"]]).read_text(encoding="utf-8")
    answer = runtime.execute(text)
    return str(answer["status"]), str(answer["message"])


def ask_kstatus(thing: Object) -> str:
    """Read a status by the generic rule of kstatus: generation, deletion, then the conditions in their order."""
    metadata, status = thing["metadata"], thing.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    for kind, means in (("Reconciling", "InProgress"), ("Stalled", "Failed")):
        if conditions.get(kind) == "True":
            return means
    return "Current" if conditions.get("Ready", "True") == "True" else "InProgress"


def build_world(**changes: Any) -> World:
    world = World(has_kubelet=True)
    world.apply(**changes)
    world.step()
    return world


def unseen() -> World:
    """The API server fills in the status's default before the operator has looked."""
    world = World()
    world.apply({**build_extraction(), "status": {"observedGeneration": -1}})
    return world


def under_way() -> World:
    return build_world()


def succeeded() -> World:
    world = build_world()
    world.end_job()
    world.step()
    return world


def failed(code: int) -> Callable[[], World]:
    def build() -> World:
        world = build_world(run={"attempts": 1})
        world.end_job(code)
        world.step()
        return world

    return build


def denied() -> World:
    return build_world(distributor="somebody-else")


def not_started(seconds: int) -> Callable[[], World]:
    def build() -> World:
        world = World()
        world.apply()
        world.step()
        state = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        pod = {"containerStatuses": [{"name": "extractor", "state": state}]}
        world.start_pod(phase="Pending", **pod)
        world.wait(seconds=seconds)
        return world

    return build


def suspended() -> World:
    return build_world(suspend=True)


def changed() -> World:
    """A new commit was applied, and the operator has not looked at it yet."""
    world = succeeded()
    world.apply(suspend=True)
    return world


def stale() -> World:
    world = build_world(objectives={"freshnessSeconds": 3600}, schedule=None)
    world.wait(hours=2)
    return world


def deleted() -> World:
    world = succeeded()
    thing = world.kube.find(EXTRACTIONS)[0]
    thing["metadata"]["deletionTimestamp"] = world.stamp()
    world.kube.put(EXTRACTIONS, thing)
    return world


@pytest.mark.parametrize(
    ("build", "argocd", "says", "kstatus"),
    [
        pytest.param(unseen, "Progressing", "not looked", "InProgress", id="not seen yet"),
        pytest.param(under_way, "Healthy", "is under way", "Current", id="first run under way"),
        pytest.param(succeeded, "Healthy", "", "Current", id="last run succeeded"),
        pytest.param(failed(23), "Healthy", "last run failed", "Current", id="source away"),
        pytest.param(failed(24), "Healthy", "last run failed", "Current", id="guard blocked"),
        pytest.param(failed(22), "Degraded", "CredentialsRefused", "Failed", id="wrong password"),
        pytest.param(failed(29), "Degraded", "", "Failed", id="stream needs a person"),
        pytest.param(denied, "Degraded", "TenancyDenied", "Failed", id="policy denies"),
        pytest.param(
            not_started(21), "Progressing", "ImageUnavailable", "InProgress", id="pod waits"
        ),
        pytest.param(not_started(101), "Degraded", "ImageUnavailable", "Failed", id="given up"),
        pytest.param(suspended, "Suspended", "", "Current", id="suspended"),
        pytest.param(changed, "Progressing", "not looked", "InProgress", id="changed"),
        pytest.param(stale, "Degraded", "FreshnessBreached", "Failed", id="objective broken"),
        pytest.param(deleted, "Progressing", "deleted", "Terminating", id="being deleted"),
    ],
)
def test_an_extractions_status_means_the_same_to_argocd_and_flux(
    build: Callable[[], World], argocd: str, says: str, kstatus: str
) -> None:
    thing = build().kube.find(EXTRACTIONS)[0]

    health, message = ask_argocd(thing)

    assert health == argocd
    assert says in message
    assert ask_kstatus(thing) == kstatus


@pytest.mark.parametrize(
    ("build", "argocd", "says"),
    [
        pytest.param(under_way, "Progressing", "", id="under way"),
        pytest.param(succeeded, "Healthy", "", id="succeeded"),
        pytest.param(failed(23), "Degraded", "", id="failed"),
        pytest.param(not_started(21), "Progressing", "ImageUnavailable", id="pod waits"),
    ],
)
def test_a_runs_health_follows_its_outcome(
    build: Callable[[], World], argocd: str, says: str
) -> None:
    run = build().runs[0]

    health, message = ask_argocd(run)

    assert health == argocd
    assert says in message


def test_the_config_map_holds_the_very_lua_of_the_files() -> None:
    (config,) = load(GITOPS / "argocd" / "argocd-cm.yaml")

    for kind, name in FILES.items():
        text = (GITOPS / "argocd" / name).read_text(encoding="utf-8")
        assert config["data"][HEALTH + kind] == text


def test_every_resource_of_the_gitops_examples_is_valid_under_the_policies_beside_it() -> None:
    extractions = load_all("DistributorExtraction")
    policies = [Policy.model_validate(values["policy"]) for values in find_values("dpp-operator")]

    assert extractions
    assert len(policies) == 2
    for policy in policies:
        for extraction in extractions:
            assert check_object(extraction, policy)[1] == ()


def find_values(chart: str) -> list[Object]:
    """Find the values that the examples give a chart, by Argo CD and by Flux."""
    sources = [each["spec"]["source"] for each in load_all("Application")]
    values = [
        source["helm"]["valuesObject"] for source in sources if source["path"] == f"charts/{chart}"
    ]
    for each in load_all("HelmRelease"):
        if each["spec"]["chart"]["spec"]["chart"] == f"charts/{chart}":
            values.append(each["spec"]["values"])
    return values


@pytest.mark.parametrize("chart", ["dpp-operator", "dpp-tenant"])
def test_values_of_the_gitops_examples_fit_the_charts_schema(chart: str) -> None:
    schema = json.loads((ROOT / "charts" / chart / "values.schema.json").read_text())
    found = find_values(chart)

    assert len(found) == 2
    for values in found:
        jsonschema.validate(values, schema)


def test_kinds_come_before_tenants_and_tenants_before_extractions() -> None:
    waves = {
        each["metadata"]["name"]: int(each["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
        for each in load_all("Application")
        if each["metadata"]["name"] != "dpp"
    }  # fmt: skip
    after = {
        (each["kind"], each["metadata"]["name"]): [
            before["name"] for before in each["spec"].get("dependsOn", ())
        ]
        for each in (*load_all("Kustomization"), *load_all("HelmRelease"))
    }

    assert waves["dpp-operator"] < waves["dpp-tenant-acme"] < waves["acme"]
    assert after["HelmRelease", "dpp-tenant-acme"] == ["dpp"]
    assert after["Kustomization", "acme"] == ["dpp"]
    assert after["Kustomization", "dpp"] == ["dpp-kinds"]


def test_flux_applies_the_kinds_from_their_own_folder_and_never_prunes_them() -> None:
    """Flux leaves symbolic links out of what it fetches, and the chart has the kinds by one."""
    (kinds,) = [each for each in load_all("Kustomization") if each["metadata"]["name"] == "dpp-kinds"]  # fmt: skip
    (operator,) = [each for each in load_all("HelmRelease") if each["metadata"]["name"] == "dpp"]

    assert (ROOT / "charts" / "dpp-operator" / "files" / "crds").is_symlink()
    assert (ROOT / kinds["spec"]["path"]).resolve() == ROOT / "crds"
    assert kinds["spec"]["prune"] is False
    assert operator["spec"]["values"]["crds"] == {"install": False}


def test_extractions_are_compared_by_the_server_because_it_fills_in_datasets() -> None:
    """A comparison that replaces whole lists would call each extraction out of sync for ever."""
    crd = yaml.safe_load((ROOT / "crds" / "distributorextractions.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    fields = schema["properties"]["datasets"]["items"]["properties"]
    filled_in = [name for name, field in fields.items() if "default" in field]
    (application,) = [each for each in load_all("Application") if each["metadata"]["name"] == "acme"]  # fmt: skip

    assert filled_in
    options = application["metadata"]["annotations"]["argocd.argoproj.io/compare-options"]
    assert options == "ServerSideDiff=true"
