"""`dpp discover` and `dpp plan --connect` on a SQLite file: from nothing listed to a list that runs."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dpp_core.cli.main import run
from dpp_core.documents.loading import load_extraction
from dpp_core.names import ANNOTATION_SELECT

Capture = pytest.CaptureFixture[str]
RESOURCE = """\
apiVersion: extraction.dpp.dev/v1alpha1
kind: DistributorExtraction
metadata: {name: shop}
spec:
  distributor: shop
  source: {erp: generic-sql, database: {engine: sqlite, database: erp.db}}
  destination: {profile: local}  # the lake
"""
TABLES = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, updated_at TIMESTAMP NOT NULL);
CREATE INDEX by_change ON orders (updated_at);
CREATE TABLE order_lines (id INTEGER PRIMARY KEY, modified TIMESTAMP);
CREATE TABLE notes (body TEXT);
CREATE VIEW open_orders AS SELECT * FROM orders;
INSERT INTO orders VALUES (1, '2026-01-01 00:00:00'), (2, '2026-01-02 00:00:00');
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give a folder with a resource without datasets and its database, and work in it."""
    (tmp_path / "shop.yaml").write_text(RESOURCE)
    execute(tmp_path, TABLES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def execute(folder: Path, statements: str) -> None:
    with closing(sqlite3.connect(folder / "erp.db")) as shop:
        shop.executescript(statements)


def dpp(capsys: Capture, *arguments: str, code: int = 0) -> str:
    assert run([arguments[0], "-f", "shop.yaml", *arguments[1:]]) == code
    return capsys.readouterr().out


def as_json(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dpp(capsys, *arguments, "-o", "json", code=code))
    return found


def test_people_get_a_table_with_cursors_and_their_indexes(folder: Path, capsys: Capture) -> None:
    lines = dpp(capsys, "discover").splitlines()

    assert lines[0].split() == [
        "OBJECT",
        "KIND",
        "ROWS",
        "SIZE",
        "KEY",
        "CURSORS",
        "DATASET",
        "NOTE",
    ]
    assert "updated_at (by_change)" in next(each for each in lines if each.startswith("orders "))
    assert "modified (no index)" in next(each for each in lines if each.startswith("order_lines"))


def test_programs_get_every_column_and_candidate(folder: Path, capsys: Capture) -> None:
    found = {each["object"]: each for each in as_json(capsys, "discover")["objects"]}

    assert found["orders"]["cursors"] == [
        {"name": "updated_at", "type": "TIMESTAMP", "indexes": ["by_change"], "doubts": []}
    ]
    assert found["orders"]["columns"][0]["indexes"] == ["rowid"]
    assert len(found["order_lines"]["cursors"][0]["doubts"]) == 2
    assert found["open_orders"]["kind"] == "view"


def test_a_view_that_is_named_is_proposed(folder: Path, capsys: Capture) -> None:
    block = dpp(capsys, "discover", "--select", "open_orders,notes", "-o", "yaml")

    assert block.splitlines() == [
        "  datasets:",
        "    - {name: notes}  # no unique key: read in full",
        "    - {name: open_orders}  # no unique key: read in full",
    ]


def test_writing_adds_to_the_file_and_twice_adds_nothing(folder: Path, capsys: Capture) -> None:
    file = folder / "shop.yaml"

    dpp(capsys, "discover", "--select", "order*", "--write")
    once = file.read_text()
    dpp(capsys, "discover", "--write")

    extraction = load_extraction(file)
    assert [each.name for each in extraction.spec.datasets] == ["order_lines", "orders"]
    assert extraction.metadata.annotations == {ANNOTATION_SELECT: "order*"}
    assert "# the lake" in once
    assert file.read_text() == once


def test_a_table_that_came_later_is_told_by_plan_and_added_by_discover(
    folder: Path, capsys: Capture
) -> None:
    dpp(capsys, "discover", "--select", "order*", "--write")
    execute(folder, "CREATE TABLE order_taxes (id INTEGER PRIMARY KEY);")

    selected = as_json(capsys, "plan", "--connect")["forecast"]["selected"]
    dpp(capsys, "discover", "--write")

    assert [(each["object"], each.get("dataset", "")) for each in selected] == [
        ("order_lines", "order_lines"),
        ("order_taxes", ""),
        ("orders", "orders"),
    ]
    assert selected[1]["entry"] == {"name": "order_taxes", "key": ["id"]}
    names = [each.name for each in load_extraction(folder / "shop.yaml").spec.datasets]
    assert names == ["order_lines", "orders", "order_taxes"]


def test_a_form_that_fits_nothing_is_refused_by_discover_and_told_by_plan(
    folder: Path, capsys: Capture
) -> None:
    dpp(capsys, "discover", "--select", "Order*", code=2)
    dpp(capsys, "discover", "--select", "orders", "--write")

    told = as_json(capsys, "plan", "--connect", "--select", "orders,nothing.*")["forecast"]

    assert [each["about"] for each in told["cautions"]] == ["Selection"]
    assert "'nothing.*'" in told["cautions"][0]["message"]


def test_a_wildcard_is_resolved_to_a_plan_before_anything_is_listed(
    folder: Path, capsys: Capture
) -> None:
    shown = dpp(capsys, "plan", "--connect", "--select", "order*")

    assert "changes by updated_at" in shown
    assert "order_lines  not listed  {name: order_lines" in shown
    assert sorted(path.name for path in folder.iterdir()) == ["erp.db", "shop.yaml"]


def test_plan_tells_the_window_of_the_next_run_from_the_last_commit(
    folder: Path, capsys: Capture
) -> None:
    dpp(capsys, "discover", "--select", "orders", "--write")
    (first,) = as_json(capsys, "plan", "--connect")["forecast"]["units"]
    assert run(["run", "-f", "shop.yaml", "--to", "out", "-o", "json"]) == 0
    high = json.loads(capsys.readouterr().out)["units"][0]["high"]

    (second,) = as_json(capsys, "plan", "--connect", "--to", "out")["forecast"]["units"]

    assert ("low" in first, first["estimatedRows"]) == (False, 2)
    assert second["low"] == high
    assert second["estimatedRows"] == 0
    assert second["cautions"] == []


def test_more_than_an_extraction_holds_is_not_written(folder: Path, capsys: Capture) -> None:
    execute(folder, "".join(f"CREATE TABLE t{n} (id INTEGER PRIMARY KEY);" for n in range(101)))
    before = (folder / "shop.yaml").read_text()

    dpp(capsys, "discover", "--write", code=2)

    assert (folder / "shop.yaml").read_text() == before
