"""The import contracts hold, and each catches the sin it was written against."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("core", "operator", "extractor_image")
SINS = [
    pytest.param(
        "core/dpp_core/drawer.py", "", "Floors of the core", id="a new module without a floor"
    ),
    pytest.param(
        "core/dpp_core/names.py", "import dpp_core.plan", "Floors of the core", id="upwards"
    ),
    pytest.param(
        "core/dpp_core/plan.py", "import pyarrow", "The core loads no driver", id="driver in core"
    ),
    pytest.param(
        "core/dpp_core/plan.py", "import time", "What decides reads no clock", id="clock in plan"
    ),
    pytest.param(
        "extractor_image/dpp_extractor/check/rules.py",
        "import dpp_extractor.publish",
        "Floors of the extractor",
        id="one stage knows another",
    ),
    pytest.param(
        "extractor_image/dpp_extractor/publish/commit.py",
        "import dpp_extractor.adapters.bucket",
        "Floors of the extractor",
        id="a stage knows an adapter",
    ),
    pytest.param(
        "extractor_image/dpp_extractor/run.py", "import hvac", "hvac lives in", id="hvac abroad"
    ),
    pytest.param(
        "extractor_image/dpp_extractor/run.py",
        "import kubernetes",
        "The extractor knows no Kubernetes",
        id="kubernetes in the extractor",
    ),
    pytest.param(
        "operator/dpp_operator/__init__.py",
        "import dpp_extractor",
        "The two images",
        id="one image imports the other",
    ),
    pytest.param(
        "operator/dpp_operator/__init__.py",
        "import pyarrow",
        "The operator loads no data library",
        id="data library in the operator",
    ),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("floors")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", folder)
    return folder


def lint(folder: Path) -> tuple[int, str]:
    path = os.pathsep.join(str(folder / name) for name in FOLDERS)
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout


def test_floors_hold(copy: Path) -> None:
    code, said = lint(copy)

    assert code == 0, said


@pytest.mark.slow
@pytest.mark.parametrize(("file", "line", "contract"), SINS)
def test_planted_sin_breaks_its_contract(copy: Path, file: str, line: str, contract: str) -> None:
    path = copy / file
    before = path.read_text() if path.exists() else None
    path.write_text(f"{before or ''}\n{line}\n")
    try:
        code, said = lint(copy)
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before)

    broken = [row for row in said.splitlines() if " BROKEN" in row]
    assert code == 1
    assert any(row.startswith(contract) for row in broken), said
