"""What looking commands look at: found by claims, or named by a file; what is not there is said."""

from pathlib import Path

import pytest

from dpp_core.errors import UsageError
from dpp_extractor.cli.target import open_target
from dpp_extractor.publish.keys import Stream
from fake_source import START, FakeTable
from run_bench import APPEND, Bench, dump, unit_of

RESOURCE = """
apiVersion: extraction.dpp.dev/v1alpha1
kind: DistributorExtraction
metadata: {name: shop, namespace: acme}
spec:
  distributor: acme
  source: {erp: generic-sql, database: {engine: sqlite, database: erp.db}}
  datasets:
    - {name: stock, key: [id]}
    - {name: returns, key: [id]}
  destination: {profile: lake}
"""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Give a folder with two streams."""
    bench = Bench()
    bench.source.tables["stock"] = FakeTable()
    bench.source.put("orders", {"id": 1, "item": "pen", "updated_at": START})
    bench.tick()
    bench.run(APPEND, unit_of("stock"))
    return dump(bench.store, tmp_path / "out")


def _streams(to: Path, *datasets: str, file: Path | None = None) -> list[Stream]:
    with open_target(file, None, str(to), datasets, None) as target:
        return list(target.streams)


def test_without_a_file_every_claimed_stream_of_the_destination_is_found(out: Path) -> None:
    assert _streams(out) == [Stream("acme", "shop", "orders"), Stream("acme", "shop", "stock")]


def test_a_dataset_can_be_chosen(out: Path) -> None:
    assert _streams(out, "stock") == [Stream("acme", "shop", "stock")]


def test_a_file_names_its_own_streams_also_those_without_a_table(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(RESOURCE)

    assert [each.dataset for each in _streams(out, file=file)] == ["stock", "returns"]


def test_an_unknown_dataset_is_wrong_use_and_the_known_ones_are_named(out: Path) -> None:
    with pytest.raises(UsageError, match="'ordres'") as refused:
        _streams(out, "ordres")
    assert refused.value.exit_code == 2
    assert "orders, stock" in refused.value.fix


def test_a_folder_that_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        _streams(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_policy_of_two_destinations_needs_one_named(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "cluster: here\n"
        "tenants: [{namespaces: [acme], distributors: [acme]}]\n"
        "destinations:\n"
        f"  lake: {{folder: {tmp_path}}}\n"
        f"  pond: {{folder: {tmp_path}}}\n"
    )

    with (
        pytest.raises(UsageError, match="2 destinations"),
        open_target(None, policy, None, (), None),
    ):
        pass
