"""`make demo` tells its story to the end, and ends with an error when a table is wrong."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wholesaler import FOLDER, load_erp


def tell(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "docs" / "examples" / "wholesaler" / "demo.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(FOLDER, tmp_path / "docs" / "examples" / "wholesaler")
    return tmp_path


def test_the_story_is_told_to_the_end_and_every_figure_is_right(root: Path) -> None:
    told = tell(root)

    assert told.returncode == 0, told.stdout + told.stderr
    assert "7. The current state" in told.stdout
    assert "DIFFERENT" not in told.stdout
    quarantined = list(root.glob("out/wholesaler/wholesaler/_dpp/datasets/*/quarantine/*/*.jsonl"))
    lines = [line for file in quarantined for line in file.read_text().splitlines()]
    assert len(lines) == sum(map(load_erp().bad_rows, load_erp().TABLES))
    assert all(json.loads(line)["column"] for line in lines)


def test_a_table_that_is_not_what_it_should_be_ends_the_demo_with_an_error(root: Path) -> None:
    erp = root / "docs" / "examples" / "wholesaler" / "erp.py"
    text = erp.read_text(encoding="utf-8")
    lying = text.replace("return self.inserted + self.updated", "return self.inserted")
    erp.write_text(lying, encoding="utf-8")

    told = tell(root)

    assert told.returncode == 1
    assert "orders               120       145  DIFFERENT" in told.stdout
    assert "FAILED: rows expected and rows arrived differ in orders, customers" in told.stderr
