"""Read Delta tables with Spark, in a process and an environment of its own (`make test-spark`)."""

import os
import pickle
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-spark" / "bin" / "python"


def why_missing() -> str | None:
    """Say why Spark cannot be had here, or None."""
    if not PYTHON.exists():
        return "Spark is not installed; run `make test-spark`"
    if shutil.which("java") is None:
        return "Spark needs Java 17 or newer on the PATH"
    return None


def read_with_spark(tables: Sequence[str | Path]) -> list[list[dict[str, Any]]]:
    """Give the rows of each table; one Spark reads them all, since its start takes seconds."""
    script = Path(__file__).with_name("spark_rows.py")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "rows.pickle"
        ended = subprocess.run(
            [str(PYTHON), str(script), str(target), *map(str, tables)],
            env={**os.environ, "TZ": "UTC"},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if ended.returncode != 0:
            raise RuntimeError(f"Spark ended with {ended.returncode}: {ended.stderr[-3000:]}")
        read: list[list[dict[str, Any]]] = pickle.loads(target.read_bytes())
    return read
