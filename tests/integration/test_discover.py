"""`dpp discover` on a real PostgreSQL, up to the file that its block completes; SQLite is in the unit tests."""

import json
import textwrap
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dpp_core.documents.loading import load_extraction
from dpp_extractor.cli import discover
from servers.postgres import Database, Postgres

SCHEMA = """
CREATE TABLE orders (
    id int PRIMARY KEY, number text NOT NULL UNIQUE, updated_at timestamptz NOT NULL
);
CREATE INDEX ON orders (updated_at);
INSERT INTO orders SELECT n, n::text, now() FROM generate_series(1, 500) n;
CREATE TABLE lines (
    order_id int, line int, modified timestamp(0), PRIMARY KEY (order_id, line)
);
CREATE TABLE notes (body text);
CREATE SCHEMA sales;
CREATE DOMAIN moment AS timestamptz;
CREATE TABLE sales."Price List" ("Id" bigint PRIMARY KEY, "LastChange" moment NOT NULL);
CREATE TABLE parted (id int, day date NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parted_2026 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE odd (
    id int PRIMARY KEY, name text, updated_at timestamptz NOT NULL, changed_at timestamptz NOT NULL,
    modified_at timestamptz NOT NULL, touched_at timestamptz NOT NULL);
CREATE INDEX odd_expression ON odd (lower(name), updated_at);
CREATE INDEX odd_partial ON odd (changed_at) WHERE id > 7;
CREATE INDEX odd_hash ON odd USING hash (modified_at);
CREATE INDEX odd_brin ON odd USING brin (touched_at);
CREATE VIEW open_orders AS SELECT * FROM orders;
ANALYZE;
"""


def run(file: Path, *arguments: str) -> str:
    app = typer.Typer()
    discover.register(app)
    done = CliRunner().invoke(app, ["-f", str(file), *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.stdout)


@pytest.fixture
def outline(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a file with a source and no datasets, and the secret beside it."""
    database.execute(SCHEMA)
    file = tmp_path / "acme.yaml"
    file.write_text(
        textwrap.dedent(f"""\
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
              port: {database.port}
              database: {database.name}
              tls: {{mode: Disable}}
          credentials: {{path: distributors/acme/erp}}
          destination: {{profile: local}}
        """)
    )
    monkeypatch.setenv("DPP_SOURCE_USERNAME", database.user)
    monkeypatch.setenv("DPP_SOURCE_PASSWORD", database.password)
    return file


def test_tables_come_with_key_size_cursor_and_doubts(outline: Path):
    found = {each["object"]: each for each in json.loads(run(outline, "-o", "json"))["objects"]}

    assert set(found) == {
        *("lines", "notes", "odd", "open_orders", "orders", "parted", "sales.Price List")
    }
    orders = found["orders"]
    assert (orders["rows"], orders["key"]) == (500, ["id"])
    assert orders["sizeBytes"] > 0
    assert orders["cursors"] == [
        {
            "name": "updated_at",
            "type": "timestamp with time zone",
            "indexes": ["orders_updated_at_idx"],
            "doubts": [],
        }
    ]
    assert found["lines"]["key"] == ["order_id", "line"]
    assert len(found["lines"]["cursors"][0]["doubts"]) == 2
    assert found["sales.Price List"]["cursors"][0]["name"] == "LastChange"
    assert found["open_orders"]["kind"] == "view"
    assert "no unique key" in found["notes"]["note"]
    assert found["parted"]["rows"] == 0
    assert found["parted"]["key"] == ["id", "day"]


def test_an_index_counts_only_when_a_window_can_use_it(outline: Path):
    found = json.loads(run(outline, "-o", "json", "--select", "odd"))["objects"]

    cursors = {each["name"]: each["indexes"] for each in found[0]["cursors"]}
    assert cursors == {
        "touched_at": ["odd_brin"],
        "changed_at": [],
        "modified_at": [],
        "updated_at": [],
    }


def test_a_table_that_may_not_be_read_comes_with_its_grant(
    outline: Path, postgres: Postgres, database: Database, monkeypatch: pytest.MonkeyPatch
):
    reader = postgres.create_reader(database)
    monkeypatch.setenv("DPP_SOURCE_USERNAME", reader.user)
    monkeypatch.setenv("DPP_SOURCE_PASSWORD", reader.password)

    found = json.loads(run(outline, "-o", "json", "--select", "sales.*"))

    (prices,) = found["objects"]
    assert prices["grant"] == (
        f'GRANT USAGE ON SCHEMA "sales" TO "{reader.user}"; '
        f'GRANT SELECT ON TABLE "sales"."Price List" TO "{reader.user}";'
    )
    assert found["datasets"] == []


def test_the_list_is_written_into_the_file(outline: Path):
    run(outline, "--write", "--select", "public.orders", "--select", "sales.*")
    once = outline.read_text()
    run(outline, "--write")

    assert outline.read_text() == once
    datasets = load_extraction(outline).spec.datasets
    assert [each.name for each in datasets] == ["orders", "sales_price_list"]
    assert datasets[1].object == "sales.Price List"
    assert datasets[0].incremental is not None
    assert datasets[0].incremental.cursor == "updated_at"
