"""The tests of the kinds and charts on a cluster of kind, for people who have Docker.

The fixture `api_cluster` takes any cluster that DPP_KUBECONFIG leads to; here that is one of kind.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ON_ANY_CLUSTER = ("test_kinds.py", "test_charts.py")


def has_docker() -> bool:
    """Say whether a Docker daemon answers, not only whether its command is there."""
    docker = shutil.which("docker")
    return (
        docker is not None
        and subprocess.run(
            [docker, "info"], capture_output=True, timeout=30, check=False
        ).returncode
        == 0
    )


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    if not has_docker():
        pytest.skip("no Docker answers here; the same tests run on the built-in cluster")
    from pytest_kind import KindCluster

    cluster = KindCluster(f"dpp-{os.getpid()}", kubeconfig=tmp_path / "kubeconfig")
    cluster.create()
    yield Path(cluster.kubeconfig_path)
    cluster.delete()


@pytest.mark.kind
@pytest.mark.timeout(900)
def test_the_same_tests_pass_on_kind(kubeconfig: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(str(HERE / name) for name in ON_ANY_CLUSTER)],
        env={**os.environ, "DPP_KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout[-4000:]
