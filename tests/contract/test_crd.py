"""The committed CRDs are what the models say, and keep the promises that kubectl and Argo CD rely
on.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dpp_core.crd import build_crd, list_files
from dpp_core.names import KIND_EXTRACTION, KIND_RUN

CRDS = Path(__file__).parents[2] / "crds"
KINDS = (KIND_EXTRACTION, KIND_RUN)
ALLOWED = {
    "type", "description", "properties", "required", "items", "additionalProperties", "enum",
    "default", "format", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "maxProperties", "x-kubernetes-validations", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}  # fmt: skip


def get_version(kind: str) -> dict[str, Any]:
    version: dict[str, Any] = build_crd(kind)["spec"]["versions"][0]
    return version


def list_parts(schema: dict[str, Any]) -> list[dict[str, Any]]:
    parts = [schema]
    below = [*schema.get("properties", {}).values(), schema.get("items")]
    below.append(schema.get("additionalProperties"))
    for each in below:
        if isinstance(each, dict):
            parts.extend(list_parts(each))
    return parts


@pytest.mark.parametrize("name", sorted(list_files()))
def test_the_committed_file_is_current(name: str) -> None:
    committed = (CRDS / name).read_text(encoding="utf-8")

    assert committed == list_files()[name], "run `make crds` and commit"


def test_nothing_else_lies_in_the_folder() -> None:
    assert {path.name for path in CRDS.iterdir()} == set(list_files())


@pytest.mark.parametrize("name", sorted(list_files()))
def test_a_file_reads_back_as_it_was_built(name: str) -> None:
    kind = KIND_EXTRACTION if name.startswith("distributor") else KIND_RUN

    assert yaml.safe_load(list_files()[name]) == build_crd(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_structural_and_speaks_in_rules(kind: str) -> None:
    root = get_version(kind)["schema"]["openAPIV3Schema"]

    for part in list_parts(root):
        assert set(part) <= ALLOWED
        assert part["type"] in {"object", "array", "string", "integer", "boolean"}
        for rule in part.get("x-kubernetes-validations", ()):
            assert rule["message"].endswith((".", ")")), rule
            path = rule.get("fieldPath", "")
            assert not path or path[1:] in part["properties"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_status_begins_unobserved_so_that_nobody_takes_it_for_healthy(kind: str) -> None:
    version = get_version(kind)

    assert version["schema"]["openAPIV3Schema"]["properties"]["status"]["default"] == {
        "observedGeneration": -1
    }
    assert version["subresources"] == {"status": {}}


def test_a_list_of_named_things_is_merged_by_name() -> None:
    spec = get_version(KIND_EXTRACTION)["schema"]["openAPIV3Schema"]["properties"]["spec"]

    datasets = spec["properties"]["datasets"]
    assert datasets["x-kubernetes-list-type"] == "map"
    assert datasets["x-kubernetes-list-map-keys"] == ["name"]
    assert datasets["maxItems"] == 100


def test_the_columns_of_kubectl_get_are_those_of_the_api_page() -> None:
    columns = get_version(KIND_EXTRACTION)["additionalPrinterColumns"]

    narrow = [column["name"] for column in columns if "priority" not in column]
    wide = [column["name"] for column in columns if column.get("priority") == 1]
    assert narrow[:5] == ["Distributor", "Mode", "Schedule", "Ready", "Reason"]
    assert narrow[5:] == ["Last Success", "Next Run", "Age"]
    assert wide == ["Watermark", "Rows", "Active", "Image", "Suspend"]


def test_a_run_is_immutable_but_for_cancel() -> None:
    spec = get_version(KIND_RUN)["schema"]["openAPIV3Schema"]["properties"]["spec"]
    rule = spec["x-kubernetes-validations"][-1]["rule"]

    for name in spec["properties"]:
        assert (f"oldSelf.{name})" in rule or f"oldSelf.{name}\n" in rule) is (name != "cancel")


def test_the_distributor_is_immutable() -> None:
    spec = get_version(KIND_EXTRACTION)["schema"]["openAPIV3Schema"]["properties"]["spec"]
    rules = [rule["rule"] for rule in spec["x-kubernetes-validations"]]

    assert "self.distributor == oldSelf.distributor" in rules
