"""What a real server is asked to bear: bounds that each session sets for itself, and what is measured."""

from dataclasses import dataclass
from typing import Any

import pytest

from dpp_core.errors import DppError
from dpp_core.handover import Unit
from dpp_extractor.extract.database.limits import Limits
from places import open_server
from servers.mariadb import Schema
from servers.postgres import Database

T = Unit(dataset="t", object="t")
LIMITS = Limits(connect_seconds=3, statement_seconds=77, lock_seconds=11, idle_seconds=99)


@dataclass(frozen=True, slots=True)
class Place:
    """A fresh database of one of the servers."""

    engine: str
    database: Database | Schema

    @property
    def execute(self) -> Any:
        return self.database.execute

    def open(self, limits: Limits = LIMITS) -> Any:
        return open_server(self.engine, self.database, limits, run_id="run")


@pytest.fixture(params=["postgresql", "mariadb"])
def place(request: pytest.FixtureRequest) -> Place:
    """Give a fresh database of each server in turn."""
    fixture = "database" if request.param == "postgresql" else "schema"
    return Place(request.param, request.getfixturevalue(fixture))


def read_all(view: Any, unit: Unit = T) -> list[dict[str, Any]]:
    table = view.describe(unit)
    return [row for batch in view.read(table, None, None) for row in batch.rows.to_pylist()]


SEEN = {
    "postgresql": "SELECT name, setting AS value FROM pg_settings",
    "mariadb": "SELECT LOWER(variable_name) AS name, variable_value AS value"
    " FROM information_schema.session_variables",
}
WANTED = {
    "postgresql": {
        "application_name": "dpp/run",
        "statement_timeout": "77000",
        "lock_timeout": "11000",
        "idle_in_transaction_session_timeout": "99000",
        "transaction_read_only": "on",
        "transaction_isolation": "repeatable read",
        "default_transaction_read_only": "on",
    },
    "mariadb": {
        "max_statement_time": "77.000000",
        "lock_wait_timeout": "11",
        "innodb_lock_wait_timeout": "11",
        "idle_transaction_timeout": "99",
        "net_write_timeout": "99",
        "wait_timeout": "99",
        "tx_read_only": "ON",
        "tx_isolation": "REPEATABLE-READ",
    },
}


def test_every_session_bounds_itself_and_may_not_write(place: Place) -> None:
    place.execute(f"CREATE VIEW t AS {SEEN[place.engine]}")

    with place.open() as source, source.snapshot() as view:
        seen = {row["name"]: row["value"] for row in read_all(view)}

    wanted = WANTED[place.engine]
    assert {name: seen.get(name) for name in wanted} == wanted


SLOW = {
    "postgresql": "CREATE VIEW t AS SELECT 1 AS n FROM pg_sleep(0.4)",
    "mariadb": "CREATE VIEW t AS SELECT SLEEP(0.4) AS n",
}


def test_the_longest_statement_and_the_snapshots_age_are_measured(place: Place) -> None:
    place.execute(SLOW[place.engine])

    with place.open() as source, source.snapshot() as view:
        table = view.describe(T)
        view.take_load()
        list(view.read(table, None, None))
        first = view.take_load()
        view.describe(T)
        second = view.take_load()

    assert 0.4 <= first.longest_statement_seconds <= first.snapshot_age_seconds
    assert first.longest_statement == "Reading 't'"
    assert first.statements == 1
    assert second.longest_statement == "Describing 't'"
    assert first.snapshot_age_seconds <= second.snapshot_age_seconds


ENDLESS = {
    "postgresql": "CREATE VIEW t AS SELECT 1 AS n FROM pg_sleep(600)",
    "mariadb": "CREATE VIEW t AS SELECT SUM(a.seq) AS n FROM seq_1_to_1000000 a, seq_1_to_1000000 b",
}


def test_a_statement_that_lives_too_long_is_ended_by_the_server(place: Place) -> None:
    place.execute(ENDLESS[place.engine])

    limits = Limits(connect_seconds=3, statement_seconds=1)
    with place.open(limits) as source, source.snapshot() as view:
        with pytest.raises(DppError) as ended:
            read_all(view)
        load = view.take_load()

    assert ended.value.exit_code == 23
    assert 0.9 <= load.longest_statement_seconds < 30
