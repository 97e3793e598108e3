"""Fixtures that every test may ask for: the real servers, one of each a session.

A server is started by the first test that needs it and ended with the session, also after failures.
Where it cannot be had, the test is skipped with the reason; with DPP_REQUIRE_SERVERS=1 it fails, but
for a Kubernetes node on a machine that does not let us make one (no root, no namespaces).
A test that stops a server starts it again: `stopped` does both.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from hypothesis import settings

from cluster.binaries import KUBECTL, require
from cluster.control_plane import Api, ForeignApi, start_control_plane
from cluster.kubectl import Kubectl
from cluster.node import Cluster, start_cluster
from servers.ferret import Ferret, start_ferret
from servers.mariadb import MariaDb, Schema, start_mariadb
from servers.postgres import Database, Postgres, start_postgres
from servers.process import MachineLacksError, Server, ServerMissingError, sweep
from servers.s3 import S3Server, start_s3
from servers.vault import VaultServer, start_vault

settings.register_profile("suite", deadline=None)  # how long an example takes is no property of it
settings.load_profile("suite")


class Breakable(Protocol):
    """A handle with a server process behind it."""

    server: Server


Handle = TypeVar("Handle", bound=Breakable)
Started = TypeVar("Started")


class Removable(Protocol):
    """Several processes behind one handle, ended together."""

    def remove(self) -> None: ...


Held = TypeVar("Held", bound=Removable)


def _serve(start: Callable[[], Handle]) -> Iterator[Handle]:
    handle = _start(start)
    try:
        yield handle
    finally:
        handle.server.remove()


def _hold(start: Callable[[], Held]) -> Iterator[Held]:
    handle = _start(start)
    try:
        yield handle
    finally:
        handle.remove()


def _start(start: Callable[[], Started]) -> Started:
    sweep()
    try:
        return start()
    except MachineLacksError as error:
        pytest.skip(str(error))
    except ServerMissingError as error:
        if os.environ.get("DPP_REQUIRE_SERVERS") == "1":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give a real PostgreSQL; see `servers.postgres.Postgres`."""
    yield from _serve(start_postgres)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """Give a fresh, empty PostgreSQL database as its owner sees it; dropped after the test."""
    fresh = postgres.create_database()
    yield fresh
    postgres.server.start()
    postgres.drop_database(fresh)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """Give a real MariaDB; see `servers.mariadb.MariaDb`."""
    yield from _serve(start_mariadb)


@pytest.fixture
def schema(mariadb: MariaDb) -> Iterator[Schema]:
    """Give a fresh, empty MariaDB database as its owner sees it; dropped after the test."""
    fresh = mariadb.create_schema()
    yield fresh
    mariadb.server.start()
    mariadb.drop_schema(fresh)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Give a real S3 server; see `servers.s3.S3Server`."""
    yield from _serve(start_s3)


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """Give the name of a fresh, empty bucket on the real S3 server."""
    return s3_server.make_bucket()


@pytest.fixture(scope="session")
def ferret() -> Iterator[Ferret]:
    """Give a real FerretDB; see `servers.ferret.Ferret`."""
    yield from _serve(start_ferret)


@pytest.fixture(scope="session")
def vault_server() -> Iterator[VaultServer]:
    """Give a real Vault API server; see `servers.vault.VaultServer`."""
    yield from _serve(start_vault)


@pytest.fixture(scope="session")
def api_cluster() -> Iterator[Api]:
    """Give the API of a real cluster without a node; see `cluster.control_plane.ControlPlane`.

    With DPP_KUBECONFIG it is the cluster that this file leads to, whatever made it.
    """
    given = os.environ.get("DPP_KUBECONFIG")
    if given:
        yield from _hold(lambda: ForeignApi(Kubectl(require(KUBECTL), Path(given))))
    else:
        yield from _hold(start_control_plane)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Give a real cluster with one node; see `cluster.node.Cluster`. Needs root."""
    yield from _hold(start_cluster)


@pytest.fixture
def stopped() -> Callable[[Breakable], AbstractContextManager[None]]:
    """Give a context manager in which a server is down, and after which it answers again."""

    @contextmanager
    def _stopped(handle: Breakable) -> Iterator[None]:
        handle.server.stop()
        try:
            yield
        finally:
            handle.server.start()

    return _stopped
