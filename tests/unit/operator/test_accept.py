"""The operator refuses what `dpp validate` refuses, with the same field and the same words."""

from pathlib import Path
from typing import Any

import pytest

import wrong_resources
from dpp_core.documents.loading import check_paths
from dpp_core.names import KIND_EXTRACTION, Reason
from dpp_core.policy import Policy
from dpp_operator.reconcile.accept import accept
from fake_world import build_extraction, build_policy
from wrong_resources import Row

POLICY = Policy.model_validate(wrong_resources.build_base("policy"), by_alias=True)


def is_one_extraction(row: Row) -> bool:
    content = row.content
    return (
        isinstance(content, dict)
        and content.get("kind") == KIND_EXTRACTION
        and row.layer != "loader"
        and isinstance(content.get("metadata"), dict)
        and bool(content["metadata"].get("name"))
    )


ROWS = [row for row in wrong_resources.list_rows() if is_one_extraction(row)]


def dress(content: dict[str, Any]) -> dict[str, Any]:
    """Add what the API server adds."""
    metadata = {"uid": "u", "generation": 3, "creationTimestamp": "2026-03-02T10:00:00Z"}
    namespace = content["metadata"].get("namespace", "default")
    return {**content, "metadata": {**metadata, **content["metadata"], "namespace": namespace}}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_wrong_resource_is_refused_as_dpp_validate_refuses_it(row: Row, tmp_path: Path) -> None:
    file = tmp_path / "resource.yaml"
    file.write_bytes(row.body)
    first = check_paths([file], POLICY).findings[0]

    accepted = accept(dress(row.content), POLICY)

    assert not accepted.may_run
    assert accepted.refusal.startswith(f"{first.field}: {first.message}")


def test_a_right_one_is_accepted_with_all_that_the_api_server_adds() -> None:
    accepted = accept(dress(build_extraction()), build_policy())

    assert accepted.may_run
    assert (accepted.generation, accepted.uid, accepted.reason) == (3, "u", Reason.ACCEPTED)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"images": {}}, "images.default", id="no image"),
        pytest.param({"destinations": {"lake": {"folder": "/lake"}}}, "destinations.lake", id="a folder"),
    ],
)  # fmt: skip
def test_what_only_a_cluster_refuses_names_the_policys_key(
    changes: dict[str, Any], says: str
) -> None:
    accepted = accept(dress(build_extraction()), build_policy(**changes))

    assert accepted.reason is Reason.INVALID_POLICY
    assert accepted.refusal.startswith(says)


def test_an_object_that_is_being_deleted_may_not_run() -> None:
    thing = dress(build_extraction())
    thing["metadata"]["deletionTimestamp"] = "2026-03-02T11:00:00Z"

    assert not accept(thing, build_policy()).may_run
