"""`dpp plan --connect` on a real PostgreSQL: the bounds are those of the run that follows, and what is missing is named
so that doing what it says makes it go away.
"""

import json
import textwrap
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dpp_core.cli.main import run
from servers.postgres import Database, Postgres

SCHEMA = """
CREATE TABLE orders (id int PRIMARY KEY, updated_at timestamptz NOT NULL);
CREATE INDEX ON orders (updated_at);
INSERT INTO orders SELECT n, now() - interval '1 day' - n * interval '1 s' FROM generate_series(1, 1000) n;
CREATE TABLE slow (id int PRIMARY KEY, updated_at timestamptz);
CREATE TABLE loose (body text);
INSERT INTO loose SELECT n::text FROM generate_series(1, 300) n;
CREATE SCHEMA hidden;
CREATE TABLE hidden."Price:List %s" (id int PRIMARY KEY);
ANALYZE;
"""
DATASETS = """\
  datasets:
    - {name: orders, key: [id], incremental: {cursor: updated_at}}
    - {name: slow, key: [id], incremental: {cursor: updated_at}}
    - {name: loose}
    - {name: prices, object: "hidden.Price:List %s", key: [id]}
"""

Plan = Callable[..., dict[str, Any]]


@pytest.fixture
def reader(postgres: Postgres, database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Give a role that reads `public`, sees no other session, and is what the secret holds."""
    database.execute(SCHEMA)
    made = postgres.create_reader(database)
    monkeypatch.setenv("DPP_SOURCE_USERNAME", made.user)
    monkeypatch.setenv("DPP_SOURCE_PASSWORD", made.password)
    return made


@pytest.fixture
def file(reader: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the resource, in a folder that is worked in."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "acme.yaml"
    head = f"""\
        apiVersion: extraction.dpp.dev/v1alpha1
        kind: DistributorExtraction
        metadata: {{name: acme, namespace: acme}}
        spec:
          distributor: acme
          source:
            erp: generic-sql
            database:
              engine: postgresql
              host: 127.0.0.1
              port: {reader.port}
              database: {reader.name}
              tls: {{mode: Disable}}
          credentials: {{path: distributors/acme/erp}}
          destination: {{profile: local}}
        """
    path.write_text(textwrap.dedent(head) + DATASETS)
    return path


@pytest.fixture
def plan(file: Path, capsys: pytest.CaptureFixture[str]) -> Plan:
    def _plan(*arguments: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert run(["plan", "-f", str(file), "--connect", "-o", "json", *arguments]) == code
        found: dict[str, Any] = json.loads(capsys.readouterr().out)["forecast"]
        found["units"] = {each["dataset"]: each for each in found["units"]}
        return found

    return _plan


def about(unit: dict[str, Any]) -> set[str]:
    return {each["about"] for each in unit["cautions"]}


def test_what_is_missing_is_named_and_goes_when_it_is_given(
    plan: Plan, database: Database, reader: Database, postgres: Postgres
) -> None:
    before = plan(code=31)
    units = before["units"]
    (horizon,) = before["cautions"]

    assert units["orders"]["reads"] == "Window"
    assert units["orders"]["estimatedRows"] == pytest.approx(1000, rel=0.02)
    assert about(units["orders"]) == set()
    assert about(units["slow"]) == {"Index", "Nulls"}
    assert (units["loose"]["reads"], units["loose"]["estimatedRows"]) == ("Full", 300)
    assert about(units["loose"]) == {"Key"}
    assert (units["prices"]["code"], units["prices"]["reason"]) == (31, "SourceObjectDenied")
    assert horizon["fix"] == f"GRANT pg_monitor TO {reader.user};"

    # Each grant is carried out as it was told.
    grant = units["prices"]["fix"].removeprefix("Run as its owner: ")
    database.execute(grant)
    postgres.admin("postgres").execute(horizon["fix"])
    database.execute("CREATE INDEX ON slow (updated_at)")
    after = plan()

    assert after["cautions"] == []
    assert about(after["units"]["slow"]) == {"Nulls"}
    assert after["units"]["prices"]["reads"] == "Full"
    assert after["units"]["prices"]["estimatedRows"] is not None


def test_a_window_begins_where_the_last_run_ended_and_nothing_is_written(
    plan: Plan, file: Path, database: Database
) -> None:
    arguments = ["--dataset", "orders", "--to", "out"]
    first = plan(*arguments)["units"]["orders"]
    assert not Path("out").exists()
    assert "low" not in first

    assert run(["run", "-f", str(file), *arguments]) == 0
    logs = sorted(Path("out").rglob("*"))
    database.execute("INSERT INTO orders VALUES (2001, now() - interval '10 min'); ANALYZE orders")
    second = plan(*arguments)["units"]["orders"]

    assert first["high"] <= second["low"] < second["high"]
    assert second["estimatedRows"] <= 10
    assert sorted(Path("out").rglob("*")) == logs


def test_an_open_transaction_is_named_with_its_age(
    plan: Plan, postgres: Postgres, database: Database, reader: Database
) -> None:
    postgres.admin("postgres").execute(f"GRANT pg_monitor TO {reader.user}")
    with psycopg.connect(database.dsn) as writer:
        began = writer.execute("SELECT now()").fetchone()
        unit = plan("--dataset", "orders")["units"]["orders"]

    (caution,) = unit["cautions"]
    assert caution["about"] == "Holder"
    assert database.user in caution["message"]
    assert began is not None
    assert datetime.fromisoformat(unit["high"]) < began[0]


def test_a_selection_becomes_a_list_of_what_there_is(plan: Plan, database: Database) -> None:
    database.execute("CREATE TABLE orders_archive (id int PRIMARY KEY)")

    told = plan("--dataset", "orders", "--select", "public.o*,hidden.*")

    assert [(each["object"], each["dataset"]) for each in told["selected"]] == [
        ("hidden.Price:List %s", "prices"),
        ("orders", "orders"),
        ("orders_archive", ""),
    ]
    assert told["selected"][2]["entry"] == {"name": "orders_archive", "key": ["id"]}
