"""Every wrong resource of the committed table is refused, with field, received form and fix.

The API server's half of the same table is asked on a real one in the cluster tests.
"""

from pathlib import Path

import pytest

import wrong_resources
from dpp_core.documents.loading import check_paths, load_policy
from dpp_core.errors import PolicyError
from dpp_core.policy import Policy
from wrong_resources import Row

ROWS = wrong_resources.list_rows()
POLICIES = wrong_resources.list_policies()
LAYERS = ("schema", "cel", "operator", "policy", "loader")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.model_validate(wrong_resources.build_base("policy"), by_alias=True)


def write(folder: Path, row: Row) -> Path:
    path = folder / "resource.yaml"
    path.write_bytes(row.body)
    return path


def test_the_table_is_large_and_names_each_row_once() -> None:
    ids = [row.id for row in (*ROWS, *POLICIES)]

    assert len(ids) >= 60
    assert len(set(ids)) == len(ids)
    assert {row.layer for row in ROWS} == set(LAYERS)


@pytest.mark.parametrize("base", ["database", "sqlite", "run"])
def test_the_samples_that_the_rows_change_are_right(base: str, tmp_path: Path) -> None:
    body = wrong_resources._render(wrong_resources.build_base(base)).encode()
    path = write(tmp_path, Row(base, "", "", "", "", body, None))

    checked = check_paths([path])

    assert checked.findings == ()
    assert len(checked.objects) == 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_wrong_resource_is_refused_with_field_and_fix(
    row: Row, tmp_path: Path, policy: Policy
) -> None:
    path = write(tmp_path, row)

    findings = check_paths([path], policy if row.layer == "policy" else None).findings

    matching = [finding for finding in findings if finding.field == row.field]
    assert matching, [f"{finding.field}: {finding.message}" for finding in findings]
    finding = matching[0]
    assert row.says in f"{finding.message} {finding.fix}"
    assert finding.received
    assert finding.fix
    assert finding.file == str(path)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.layer == "policy"], ids=lambda row: row.id
)
def test_what_only_the_policy_refuses_is_right_without_it(row: Row, tmp_path: Path) -> None:
    assert check_paths([write(tmp_path, row)]).findings == ()


@pytest.mark.parametrize("row", POLICIES, ids=lambda row: row.id)
def test_a_wrong_policy_file_is_refused_with_its_key(row: Row, tmp_path: Path) -> None:
    path = write(tmp_path, row)

    with pytest.raises(PolicyError) as caught:
        load_policy(path)

    assert caught.value.field == row.field
    assert row.says in str(caught.value)
    assert caught.value.exit_code == 20
    assert str(path) in str(caught.value)
    assert not row.hides or row.hides not in str(caught.value)


@pytest.mark.parametrize("row", [row for row in ROWS if row.hides], ids=lambda row: row.id)
def test_a_secret_written_by_mistake_is_not_repeated(row: Row, tmp_path: Path) -> None:
    findings = check_paths([write(tmp_path, row)]).findings

    assert row.hides not in repr(findings)
