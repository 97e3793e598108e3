"""The charts: lint, golden files, schema of values, rights, and what a real API server says to them."""

import os
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

import chart_schema
from cluster import charts
from cluster.binaries import KUBERNETES_VERSION
from cluster.charts import CHARTS, ChartError
from cluster.control_plane import Api
from cluster.kubectl import RefusedError
from servers.process import ServerMissingError

NAMES = ("dpp-operator", "dpp-tenant")
GOLDEN = Path(__file__).parent / "golden"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
SYSTEM = "dpp-system"


@pytest.fixture(scope="module", autouse=True)
def _helm() -> None:
    try:
        charts.helm("version")
    except ServerMissingError as error:
        if os.environ.get("DPP_REQUIRE_SERVERS") == "1":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=NAMES)
def rendered(request: pytest.FixtureRequest) -> tuple[str, list[dict[str, Any]]]:
    return request.param, charts.parse(charts.render(request.param))


@pytest.fixture(scope="module")
def operator() -> list[dict[str, Any]]:
    return charts.parse(charts.render("dpp-operator"))


def list_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [item for item in objects if item["kind"] in kinds]


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_passes_lint(name: str) -> None:
    values = CHARTS / name / "ci" / "test-values.yaml"

    said = charts.helm("lint", "--strict", str(CHARTS / name), "-f", str(values))

    assert "0 chart(s) failed" in said


@pytest.mark.parametrize("name", NAMES)
def test_a_rendered_chart_is_what_was_agreed(name: str) -> None:
    text = charts.render(name, *(["--set", "crds.install=false"] if name == NAMES[0] else []))

    assert text == (GOLDEN / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_of_values_is_current(name: str) -> None:
    wanted = chart_schema.render(chart_schema.build_schemas()[name])

    assert (CHARTS / name / "values.schema.json").read_text() == wanted, "run `make charts`"


def test_every_object_is_right_by_the_schemas_of_kubernetes(
    rendered: tuple[str, list[dict[str, Any]]],
) -> None:
    _, objects = rendered

    for item in objects:
        if item["kind"] != "CustomResourceDefinition":
            kubernetes_validate.validate(item, "1.35", strict=True)


def test_a_real_api_server_takes_every_object(
    rendered: tuple[str, list[dict[str, Any]]], api_cluster: Api
) -> None:
    _, objects = rendered
    api_cluster.kubectl.make_namespace(SYSTEM, RESTRICTED)

    said = api_cluster.kubectl.apply(*objects, dry_run=True)

    assert len(said.splitlines()) == len(objects)


def test_a_restricted_namespace_takes_the_pods_of_the_operator(
    operator: list[dict[str, Any]], api_cluster: Api
) -> None:
    api_cluster.kubectl.make_namespace(SYSTEM, RESTRICTED)
    template = list_kind(operator, "Deployment")[0]["spec"]["template"]
    spec = {**template["spec"], "serviceAccountName": "default"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "operator", "namespace": SYSTEM},
        "spec": spec,
    }
    test_pod = list_kind(operator, "Pod")[0]

    api_cluster.kubectl.apply(pod, test_pod, dry_run=True)

    spec["securityContext"] = {}
    with pytest.raises(RefusedError, match="restricted"):
        api_cluster.kubectl.apply(pod, dry_run=True)


def test_the_operators_rights_are_named_verb_by_verb_and_hold_no_secret(
    operator: list[dict[str, Any]],
) -> None:
    rules = [rule for role in list_kind(operator, "ClusterRole", "Role") for rule in role["rules"]]

    assert rules
    for rule in rules:
        words = [word for values in rule.values() for word in values]
        assert "*" not in words
        assert not {"secrets", "pods/exec", "pods/log", "pods/attach"} & set(rule["resources"])
        assert not {"escalate", "bind", "impersonate", "deletecollection"} & set(rule["verbs"])
        if rule["resources"] == ["distributorextractions"]:
            assert set(rule["verbs"]) == {"get", "list", "watch"}


def test_the_kinds_stay_when_the_chart_goes(operator: list[dict[str, Any]]) -> None:
    kinds = list_kind(operator, "CustomResourceDefinition")

    assert len(kinds) == len(list((CHARTS.parent / "crds").glob("*.yaml")))
    for kind in kinds:
        assert kind["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_account_of_extractions_has_no_right_and_no_token() -> None:
    objects = charts.parse(charts.render("dpp-tenant", namespace="acme"))

    account = list_kind(objects, "ServiceAccount")[0]
    assert account["metadata"]["name"] == "dpp-extractor"
    assert account["automountServiceAccountToken"] is False
    assert not list_kind(objects, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def test_a_tenants_pods_accept_nothing_and_reach_only_what_is_listed() -> None:
    objects = charts.parse(
        charts.render("dpp-tenant", "--set", "networkPolicy.metricsFromNamespaces=null")
    )

    policy = list_kind(objects, "NetworkPolicy")[0]["spec"]
    assert policy["podSelector"] == {}
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert not policy.get("ingress")
    blocks = [rule["to"][0].get("ipBlock") for rule in policy["egress"]]
    assert blocks == [None, {"cidr": "10.1.0.0/16"}, {"cidr": "10.2.3.4/32"}]


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("policy.cluster=Not A Name", "cluster"),
        ("policy.tenant=acme", "tenant"),
        ("polcy.cluster=a", "polcy"),
        ("image.digest=sha256:1", "digest"),
        ("metrics.port=70000", "port"),
        ("policy.startDeadlineSeconds=1", "startDeadlineSeconds"),
    ],
    ids=["bad-form", "unknown-policy-key", "misspelt", "digest", "port", "bound"],
)
def test_a_wrong_value_is_refused_with_its_key(setting: str, named: str) -> None:
    with pytest.raises(ChartError, match=named):
        charts.render("dpp-operator", "--set", setting)


def test_an_installation_without_a_name_is_refused() -> None:
    with pytest.raises(ChartError, match="cluster"):
        charts.helm(
            *("template", "dpp", str(CHARTS / "dpp-operator")),
            *("--kube-version", KUBERNETES_VERSION),
        )
