"""`helm` for tests: lint, render, install and test the charts of this repository."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from cluster.binaries import HELM, KUBERNETES_VERSION, require

CHARTS = Path(__file__).resolve().parents[3] / "charts"


class ChartError(Exception):
    """helm ended with an error; the message is what it said."""


def helm(*arguments: str, kubeconfig: Path | None = None, timeout_seconds: float = 300) -> str:
    """Run helm and give what it prints; raise `ChartError` with its words when it fails."""
    where = ["--kubeconfig", str(kubeconfig)] if kubeconfig else []
    ended = subprocess.run(
        [str(require(HELM)), *arguments, *where],
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    if ended.returncode != 0:
        raise ChartError(f"helm {' '.join(arguments)}: {ended.stdout}{ended.stderr}")
    return ended.stdout


def render(chart: str, *extra: str, namespace: str = "dpp-system") -> str:
    """Give the chart's YAML for its own example values."""
    values = CHARTS / chart / "ci" / "test-values.yaml"
    arguments = ("template", chart, str(CHARTS / chart), "-n", namespace, "-f", str(values))
    return helm(*arguments, "--kube-version", KUBERNETES_VERSION, *extra)


def parse(text: str) -> list[dict[str, Any]]:
    """Give the objects of a rendered chart."""
    return [item for item in yaml.safe_load_all(text) if item]


def install(
    chart: str,
    kubeconfig: Path,
    namespace: str,
    values: Path | None = None,
    extra: Sequence[str] = (),
) -> str:
    """Install a chart, or upgrade it, and wait until it is there."""
    given = ["-f", str(values)] if values else []
    return helm(
        *("upgrade", "--install", chart, str(CHARTS / chart), "-n", namespace),
        *("--create-namespace", "--wait", "--timeout", "120s", *given, *extra),
        kubeconfig=kubeconfig,
    )
