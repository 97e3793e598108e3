"""Pages of the cluster hold: columns, conditions and names as shown, and a row for each failure that is tried."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dpp_core.names import Reason
from fake_world import World

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "first-distributor.md").read_text(encoding="utf-8")


def list_columns(file: str) -> list[str]:
    """List what `kubectl get` shows of a kind without `-o wide`, in its spelling."""
    crd = yaml.safe_load((ROOT / "crds" / file).read_text(encoding="utf-8"))
    columns: list[dict[str, Any]] = crd["spec"]["versions"][0]["additionalPrinterColumns"]
    return ["NAME", *(each["name"].upper() for each in columns if not each.get("priority"))]


@pytest.fixture
def world() -> World:
    """Give the sample of the page after its first run."""
    world = World(has_kubelet=True)
    world.apply(schedule={"cron": ["H 2 * * *"], "timeZone": "Europe/Berlin"})
    world.step()
    world.end_job()
    world.step()
    return world


@pytest.mark.parametrize("file", ["distributorextractions.yaml", "extractionruns.yaml"])
def test_the_shown_columns_are_those_of_the_kind(file: str) -> None:
    headings = [re.split(r"\s{2,}", line) for line in PAGE.splitlines() if line.startswith("NAME ")]

    assert list_columns(file) in headings


def test_the_shown_conditions_are_those_after_a_good_first_run(world: World) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (True|False|Unknown) \| `(\w+)` \|$", PAGE, flags=re.M)

    told = world.status["conditions"]
    assert rows == [(each["type"], each["status"], each["reason"]) for each in told]


def test_the_shown_names_and_times_are_those_the_operator_gives(world: World) -> None:
    first = world.runs[0]["metadata"]["name"]
    next_at = world.status["nextRunAt"]

    world.wait(hours=16)

    assert first in PAGE
    assert next_at in PAGE
    assert world.runs[1]["metadata"]["name"] in PAGE


def test_the_reasons_of_the_first_hour_exist() -> None:
    section = PAGE.partition("## 9.")[2]
    named = re.findall(r"^\| `(\w+)` \|", section, flags=re.M)

    assert len(named) > 5
    assert set(named) <= {reason.value for reason in Reason}


def list_stories(file: str) -> list[str]:
    """List the stories that a module of the cluster tests tells, without importing it."""
    for node in ast.walk(ast.parse((ROOT / "tests" / "cluster" / file).read_text())):
        target = getattr(node, "target", None) or next(iter(getattr(node, "targets", ())), None)
        if getattr(target, "id", "") == "STORIES" and isinstance(node, ast.Assign | ast.AnnAssign):
            assert isinstance(node.value, ast.Dict)
            return [key.value for key in node.value.keys if isinstance(key, ast.Constant)]
    return []


@pytest.mark.parametrize("file", ["test_failures_node.py", "test_failures_life_cycle.py"])
def test_every_failure_that_is_tried_on_a_node_has_its_row_and_no_other(file: str) -> None:
    page = (ROOT / "docs" / "cluster-failures.md").read_text(encoding="utf-8")
    section = page.partition(file)[2].partition("\n## ")[0]

    rows = re.findall(r"^\| ([^|]+) \|", section, flags=re.M)

    assert sorted(set(rows) - {"Broken", "What happens"}) == sorted(list_stories(file))
