"""A small shop in a real database, and the resource that reads it.

Called by integration tests that run the real `dpp` command. The shops have the same two tables:
`customers`, read as a whole, with one column of every type; and `orders`, read incrementally.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from equality import Row, mariadb_rows, postgresql_rows, sqlite_rows
from servers.mariadb import Schema
from servers.postgres import Database

DPP = Path(sys.executable).with_name("dpp")

POSTGRESQL = """
CREATE TYPE mood AS ENUM ('content', 'furious');
CREATE TABLE customers (
    id bigint PRIMARY KEY, name text, rank smallint, credit numeric(12,2), exact numeric,
    share real, weight double precision, born date, seen timestamptz, booked timestamp,
    opens time, ok boolean, token uuid, doc jsonb, raw json, photo bytea, mood mood,
    code char(5), stay interval);
INSERT INTO customers VALUES
 (1, 'Müller & Söhne', 1, 12.30, 1234567890.12345678901234567890, 0.1, 0.1, '2023-01-02',
  '2025-03-30 01:30:00.123456+00', '2025-03-30 02:30:00', '08:15', true,
  '6ba7b810-9dad-11d1-80b4-00c04fd430c8', '{"a": [1, null, "ü"]}', '{"b":1,  "b":2}',
  '\\x00ff7f', 'content', 'DE', '1 day 02:03:04'),
 (2, E'tab\\t, "quote", \\\\ back\\nline', -32768, -9999999999.99, 0, 'NaN', 'Infinity',
  '0001-01-01', '0001-01-01 00:00:00+00', '9999-12-31 23:59:59.999999', '23:59:59.999999', false,
  '00000000-0000-0000-0000-000000000000', '"text"', 'null', '', 'furious', 'Łódź', '-3 months'),
 (3, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL),
 (4, '\\N', 32767, 0.01, 1e-20, 3.4028235e38, 5e-324, '9999-12-31', now(), now(), '00:00', true,
  NULL, '[]', '[]', NULL, NULL, '', '0');
CREATE TABLE orders (
    no integer, line smallint, item text NOT NULL, price numeric(14,4),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (no, line));
"""

SQLITE = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY, name TEXT, rank SMALLINT, credit DECIMAL(12,2), weight DOUBLE,
    born DATE, booked TIMESTAMP, ok BOOLEAN, photo BLOB, code CHAR(5));
INSERT INTO customers VALUES
 (1, 'Müller & Söhne', 1, 12.3, 0.1, '2023-01-02', '2025-03-30 02:30:00.123456', 1,
  x'00ff7f', 'DE'),
 (2, 'tab' || char(9) || ', "quote", \\ back' || char(10) || 'line', -32768, -9999999999.99, 1e308,
  '0001-01-01', '9999-12-31 23:59:59.999999', 0, x'', 'Łódź'),
 (3, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (4, '\\N', 32767, 7, 5e-324, '9999-12-31', '0001-01-01 00:00:00.000000', 1, NULL, '');
CREATE TABLE orders (
    no INTEGER NOT NULL, line INTEGER NOT NULL, item TEXT NOT NULL, price DECIMAL(14,4),
    updated_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    PRIMARY KEY (no, line));
"""


MARIADB = """
CREATE TABLE customers (
    id BIGINT PRIMARY KEY, name TEXT, `rank` SMALLINT UNSIGNED, credit DECIMAL(12,2),
    exact DECIMAL(65,30), share FLOAT, weight DOUBLE, born DATE, seen TIMESTAMP(6) NULL,
    booked DATETIME(6), opens TIME(6), ok TINYINT(1), serial BIGINT UNSIGNED, doc JSON,
    photo BLOB, mood ENUM('content', 'furious'), code CHAR(5), city VARCHAR(20) CHARACTER SET latin1,
    made YEAR, token UUID);
INSERT INTO customers VALUES
 (1, 'Müller & Söhne', 1, 12.30, 1234567890.123456789012345678901234567890, 0.1, 0.1, '2023-01-02',
  '2025-03-30 01:30:00.123456', '2025-03-30 02:30:00', '08:15', 1, 18446744073709551615,
  '{"a": [1, null, "ü"]}', x'00ff7f', 'content', 'DE', 'Köln €', 2026,
  '6ba7b810-9dad-11d1-80b4-00c04fd430c8'),
 (2, 'tab\t, "quote", \\\\ back\nline', 65535, -9999999999.99, 0, 1e-45, -1.5e308,
  '0001-01-01', '1970-01-01 00:00:01', '9999-12-31 23:59:59.999999', '-838:59:59', 0,
  9223372036854775808, '"text"', '', 'furious', 'Łódź', '', 1901, NULL),
 (3, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL),
 (4, '\\\\N', 0, 0.01, 1e-20, 3.4028234e38, 5e-324, '9999-12-31', NOW(6), NOW(6), '00:00', 127, 0,
  '[]', NULL, NULL, '', NULL, 0, NULL);
CREATE TABLE orders (
    no INT, line SMALLINT, item VARCHAR(200) NOT NULL, price DECIMAL(14,4),
    updated_at TIMESTAMP(6) NOT NULL DEFAULT NOW(6), PRIMARY KEY (no, line));
"""


@dataclass(frozen=True, slots=True)
class Shop:
    """A source: how to run statements there, how to read its rows plainly, its `database` block."""

    engine: str
    database: Mapping[str, Any]
    environment: Mapping[str, str]
    execute: Callable[[str], object]
    rows: Callable[[str], list[Row]]
    now: str
    """The SQL of the present instant, as the shop stamps it."""


def make_sqlite_shop(folder: Path) -> Shop:
    path = folder / "shop.sqlite"

    def execute(statements: str) -> None:
        with closing(sqlite3.connect(path)) as shop:
            shop.executescript(statements)

    execute(SQLITE)
    return Shop(
        engine="sqlite",
        database={"engine": "sqlite", "database": str(path)},
        environment={},
        execute=execute,
        rows=lambda table: sqlite_rows(path, table),
        now="strftime('%Y-%m-%d %H:%M:%f000', 'now')",
    )


def make_postgresql_shop(owner: Database, reader: Database) -> Shop:
    owner.execute(POSTGRESQL)
    return Shop(
        engine="postgresql",
        database={
            "engine": "postgresql",
            "host": reader.host,
            "port": reader.port,
            "database": reader.name,
            "tls": {"mode": "Disable"},
        },
        environment={"DPP_SOURCE_USERNAME": reader.user, "DPP_SOURCE_PASSWORD": reader.password},
        execute=owner.execute,
        rows=lambda table: postgresql_rows(owner.dsn, table),
        now="clock_timestamp()",
    )


def make_mariadb_shop(owner: Schema, reader: Schema) -> Shop:
    owner.execute("SET time_zone = '+00:00'; " + MARIADB)
    return Shop(
        engine="mariadb",
        database={
            "engine": "mariadb",
            "host": reader.host,
            "port": reader.port,
            "database": reader.name,
            "tls": {"mode": "Disable"},
        },
        environment={"DPP_SOURCE_USERNAME": reader.user, "DPP_SOURCE_PASSWORD": reader.password},
        # else || would mean "or"
        execute=lambda statements: owner.execute(
            f"SET sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT'); {statements}"
        ),
        rows=lambda table: mariadb_rows(owner.connect, table),
        now="NOW(6)",
    )


@dataclass(frozen=True, slots=True)
class Extraction:
    """A shop, its resource in a file, and the folder its tables go to."""

    shop: Shop
    file: Path
    out: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def table(self, dataset: str) -> str:
        return str(self.out / "shop" / "shop" / dataset)

    def run(self, *options: str, expect: int = 0) -> str:
        """Run `dpp run` as a user would; give back what it wrote. Fails on another exit code."""
        return self.dpp("run", "-f", str(self.file), "--to", str(self.out), *options, expect=expect)

    def dpp(self, *arguments: str, expect: int = 0) -> str:
        """Run any `dpp` command in this shop's environment."""
        environment = {**self.shop.environment, **self.environment}
        return run_dpp(*arguments, environment=environment, expect=expect)

    def commits(self, dataset: str) -> list[dict[str, Any]]:
        return read_commits(Path(self.table(dataset)))

    def wait_for_lag(self) -> None:
        """Let the smallest lag pass, so that what was just stamped lies below the next `high`."""
        if self.shop.engine == "sqlite":
            wait_for_the_next_second()
        else:
            time.sleep(1.3)


def make_extraction(shop: Shop, folder: Path, datasets: Sequence[Mapping[str, Any]]) -> Extraction:
    """Write the resource of a shop and say where its tables go."""
    resource = {
        "apiVersion": "extraction.dpp.dev/v1alpha1",
        "kind": "DistributorExtraction",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {
            "distributor": "shop",
            "source": {"erp": "generic-sql", "database": dict(shop.database)},
            "credentials": {"path": "distributors/shop/erp"},
            "datasets": [dict(dataset) for dataset in datasets],
            "destination": {"profile": "lake"},
        },
    }
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(resource, allow_unicode=True), encoding="utf-8")
    return Extraction(shop, file, folder / "out")


def run_dpp(*arguments: str, environment: Mapping[str, str] | None = None, expect: int = 0) -> str:
    """Run the real command with nothing in its environment but what is given here."""
    bare = {"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir()}
    done = subprocess.run(
        [str(DPP), *arguments],
        env=bare | dict(environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = done.stdout + done.stderr
    assert done.returncode == expect, f"exit code {done.returncode}, not {expect}:\n{said}"
    return said


def read_commits(table: Path) -> list[dict[str, Any]]:
    """Read `commitInfo.dpp` of each of our commits, oldest first."""
    log = sorted((table / "_delta_log").glob("*.json"))
    actions = [json.loads(line) for entry in log for line in entry.read_text().splitlines()]
    infos = [action["commitInfo"] for action in actions if "commitInfo" in action]
    return [info["dpp"] for info in infos if "dpp" in info]


def wait_for_the_next_second() -> None:
    """Wait as SQLite's windows need it: they end at a whole second, as it may stamp no finer."""
    time.sleep(1.01 - time.time() % 1)
