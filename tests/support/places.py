"""One database in each engine as the product opens it, and as its owner writes to it."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dpp_core.handover import DatabaseSource
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.extract.database.limits import DEFAULT_LIMITS, Limits
from dpp_extractor.ports import Source
from servers.mariadb import MariaDb, Schema
from servers.postgres import Database, Postgres

ENGINES = ("sqlite", "postgresql", "mariadb")
INSTANTS = {"sqlite": "TIMESTAMP", "postgresql": "timestamp", "mariadb": "DATETIME(6) NULL"}
"""A timestamp without zone, which the three write alike."""


@dataclass(frozen=True, slots=True)
class Place:
    """`execute` runs one statement of the owner's and commits it."""

    engine: str
    open: Callable[[], AbstractContextManager[Source]]
    execute: Callable[[str], Any]


def make_place(request: pytest.FixtureRequest, engine: str, folder: Path) -> Place:
    """Give an empty database; the account that reads sees other sessions."""
    if engine == "sqlite":
        return _make_file(folder / "shop.sqlite")
    reader: Database | Schema
    if engine == "mariadb":
        maria: MariaDb = request.getfixturevalue("mariadb")
        schema: Schema = request.getfixturevalue("schema")
        execute, reader = schema.execute, maria.create_reader(schema, can_monitor=True)
    else:
        server: Postgres = request.getfixturevalue("postgres")
        database: Database = request.getfixturevalue("database")
        execute, reader = database.execute, server.create_reader(database, can_monitor=True)
    return Place(engine, lambda: open_server(engine, reader), execute)


def open_server(
    engine: str, account: Database | Schema, limits: Limits = DEFAULT_LIMITS, run_id: str = "r"
) -> AbstractContextManager[Source]:
    """Open a server's database as this account sees it."""
    fields = {
        "engine": engine,
        "host": account.host,
        "port": account.port,
        "database": account.name,
        "tls": "Disable",
    }
    secret = {"username": account.user, "password": account.password}
    source = DatabaseSource.model_validate(fields)
    return open_database(source, secret, run_id=run_id, limits=limits)


def _make_file(path: Path) -> Place:
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode = wal")

    def execute(statement: str) -> None:
        with closing(sqlite3.connect(path)) as file:
            file.executescript(statement)
            file.commit()

    source = DatabaseSource(engine="sqlite", database=str(path))
    return Place("sqlite", lambda: open_database(source, {}, run_id="r"), execute)
