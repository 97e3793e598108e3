"""Every test in this folder talks to a real Kubernetes API and carries the marker `cluster`.

The stories of test_failures_*.py mostly wait, so they begin early and run beside the other tests, and are asked for
last. The operator's chart is installed before they begin: it serves every namespace.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from cluster.control_plane import Api
from cluster.credentials import Credentials, connect_vault
from cluster.images import EXTRACTOR, OPERATOR, Image, build_image
from cluster.kubectl import wait_for
from cluster.node import Cluster
from cluster.stage import Stage, set_stage
from cluster.trial import Told, format_told, list_asked, open_trials
from servers.postgres import Database, Postgres
from servers.process import MachineLacksError, ServerMissingError
from servers.s3 import S3Server
from servers.vault import VaultServer

HERE = Path(__file__).parent
CRDS = HERE.parent.parent / "crds"
TOLD = pytest.StashKey[list[Told]]()
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    own = [item for item in items if HERE in item.path.parents]
    for item in own:
        item.add_marker(pytest.mark.cluster)
    others = [item for item in items if HERE not in item.path.parents]
    items[:] = [*others, *sorted(own, key=_order)]


def _order(item: pytest.Item) -> int:
    if item.name.startswith("test_chart_and_resource"):
        return 0
    name = item.path.stem
    return 1 if name == "test_operator_node" else 3 if name.startswith("test_failures") else 2


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TOLD] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what was told of each failure, and after how many seconds."""
    if config.stash[TOLD]:
        terminalreporter.section("from cause to status")
        for line in format_told(config.stash[TOLD]):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def told(request: pytest.FixtureRequest) -> list[Told]:
    """Give the list of what was told, printed at the end of the session."""
    return request.config.stash[TOLD]


@pytest.fixture(autouse=True)
def begun(request: pytest.FixtureRequest) -> None:
    """Let the stories that are asked for begin, once the chart's test has ended."""
    if _order(request.node) and list_asked(request.session.items):
        with contextlib.suppress(pytest.skip.Exception):  # the stories' own tests tell the reason
            request.getfixturevalue("trials")


@pytest.fixture(scope="session")
def trials(
    make_stage: Callable[[], Stage],
    extractor_image: str,
    told: list[Told],
    request: pytest.FixtureRequest,
) -> Iterator[dict[str, Future[None]]]:
    """Run those of the module's STORIES that are asked for, several at a time."""
    asked = list_asked(request.session.items)
    modules = {item.path: getattr(item, "module", None) for item in request.session.items}
    told_of = [getattr(module, "STORIES", {}) for module in modules.values()]
    stories = {name: each[name] for each in told_of for name in each if name in asked}
    with open_trials(stories, make_stage, extractor_image, told) as running:
        yield running


@pytest.fixture(scope="session")
def api_with_kinds(api_cluster: Api) -> Api:
    """Give the API with the project's kinds established in it."""
    _establish(api_cluster)
    return api_cluster


def _establish(plane: Api) -> None:
    plane.kubectl.apply(CRDS)
    for path in CRDS.glob("*.yaml"):
        name = f"{path.stem}.extraction.dpp.dev"
        wait_for(lambda name=name: _is_established(plane, name), f"{name} established")


def _is_established(plane: Api, name: str) -> bool:
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
    except MachineLacksError as error:
        pytest.skip(str(error))
    except ServerMissingError as error:
        if os.environ.get("DPP_REQUIRE_SERVERS") == "1":
            raise
        pytest.skip(str(error))
    cluster.load_image(build.archive)
    return build.reference


@pytest.fixture(scope="session")
def cluster_with_kinds(cluster: Cluster) -> Cluster:
    """Give the cluster with the project's kinds established in it."""
    _establish(cluster.plane)
    return cluster


@pytest.fixture(scope="session")
def credentials(cluster_with_kinds: Cluster, vault_server: VaultServer) -> Credentials:
    """Give Vault with Kubernetes authentication, and the injector before every pod."""
    return connect_vault(cluster_with_kinds, vault_server)


@pytest.fixture
def stage(
    cluster_with_kinds: Cluster, credentials: Credentials, database: Database, s3_server: S3Server
) -> Stage:
    """Give a tenant of its own, ready to extract; see `cluster.stage.Stage`."""
    tenant = f"acme-{next(_numbers)}"
    return set_stage(cluster_with_kinds, credentials, database, s3_server, tenant)


@pytest.fixture(scope="session")
def make_stage(
    cluster_with_kinds: Cluster, credentials: Credentials, postgres: Postgres, s3_server: S3Server
) -> Callable[[], Stage]:
    """Give a call that makes a tenant; its database goes with the server."""

    def make() -> Stage:
        tenant, database = f"acme-{next(_numbers)}", postgres.create_database()
        return set_stage(cluster_with_kinds, credentials, database, s3_server, tenant)

    return make
