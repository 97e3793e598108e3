"""Every test in this folder talks to a real Kubernetes API and carries the marker `cluster`."""

import os
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane
from cluster.images import EXTRACTOR, OPERATOR, Image, build_image
from cluster.kubectl import wait_for
from cluster.node import Cluster
from servers.process import ServerMissingError

HERE = Path(__file__).parent
CRDS = HERE.parent.parent / "crds"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def api_with_kinds(api_cluster: ControlPlane) -> ControlPlane:
    """Give the API with the project's kinds established in it."""
    api_cluster.kubectl.apply(CRDS)
    for path in CRDS.glob("*.yaml"):
        name = f"{path.stem}.extraction.dpp.dev"
        wait_for(lambda name=name: _is_established(api_cluster, name), f"{name} established")
    return api_cluster


def _is_established(plane: ControlPlane, name: str) -> bool:
    found = plane.kubectl.get("crd", name)
    conditions = {c["type"]: c["status"] for c in found.get("status", {}).get("conditions", [])}
    return conditions.get("Established") == "True"


@pytest.fixture(scope="session")
def extractor_image(cluster: Cluster) -> str:
    """Give the reference of the extractor's image, which is on the node."""
    return _load(cluster, EXTRACTOR)


@pytest.fixture(scope="session")
def operator_image(cluster: Cluster) -> str:
    """Give the reference of the operator's image, which is on the node."""
    return _load(cluster, OPERATOR)


def _load(cluster: Cluster, image: Image) -> str:
    try:
        build = build_image(image)
    except ServerMissingError as error:
        if os.environ.get("DPP_REQUIRE_SERVERS") == "1":
            raise
        pytest.skip(str(error))
    cluster.load_image(build.archive)
    return build.reference
