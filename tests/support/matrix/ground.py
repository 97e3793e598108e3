"""What a matrix of faults stands on: a real PostgreSQL, the real S3 server, warm extractors, and shops that share them.

Each worker of a matrix has one ground; each case has a shop of its own on it: a schema with two tables, a resource
and a place in the bucket. `orders` is read incrementally (Append), `items` as a whole (Replace). Every write of a row
gets a number of its own (`version`) and goes into the shop's journal in the same transaction, so that the ledger can
tell afterwards what was ever true.
"""

import contextlib
import itertools
import json
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import yaml

from matrix.warm import Running, Warm, open_warm
from scene import POLICY
from servers.ferret import start_ferret
from servers.postgres import Database, Postgres, start_postgres
from servers.s3 import S3Server, start_s3

DATASETS = ("orders", "items")
PATIENCE = {
    "DPP_RETRY_ATTEMPTS": "4",
    "DPP_RETRY_BASE_SECONDS": "0.02",
    "DPP_DESTINATION_TIMEOUT_SECONDS": "10",
}
SCHEMA = """
CREATE SCHEMA {name};
SET search_path TO {name};
CREATE SEQUENCE versions;
CREATE TABLE orders (
    id bigint PRIMARY KEY, version bigint NOT NULL, tag text NOT NULL, note text, fat bytea,
    {cursor} {cursor_type} NOT NULL);
CREATE TABLE items (LIKE orders INCLUDING ALL);
CREATE TABLE journal (
    place bigserial, dataset text NOT NULL, op text NOT NULL, id bigint NOT NULL,
    version bigint NOT NULL, tag text NOT NULL, note text, stamp text NOT NULL);
GRANT USAGE ON SCHEMA {name} TO {reader};
GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {reader};
"""


@dataclass(slots=True)
class Ground:
    """The servers of one worker. Shops on it come and go; `number` tells grounds of one process apart."""

    folder: Path
    postgres: Postgres
    owner: Database
    reader: Database
    s3: S3Server
    bucket: str
    warm: Warm
    client: Any
    index_uri: str = ""
    count: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(self.owner.dsn, autocommit=True)

    def objects(self, prefix: str) -> dict[str, int]:
        """Give key and size of every object under a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix
        )
        return {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", ())}

    def read(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body


@contextlib.contextmanager
def open_ground(folder: Path, *, with_index: bool = False) -> Iterator[Ground]:
    """Start the servers; at the end they are gone with all they hold."""
    with contextlib.ExitStack() as stack:
        postgres = start_postgres()
        stack.callback(postgres.server.remove)
        # The ledger asks when a transaction was committed; this needs a restart to begin.
        postgres.admin("postgres").execute("ALTER SYSTEM SET track_commit_timestamp = on")
        postgres.stop()
        postgres.start()
        s3 = start_s3()
        stack.callback(s3.server.remove)
        index_uri = ""
        if with_index:
            ferret = start_ferret()
            stack.callback(ferret.server.remove)
            index_uri = ferret.uri
        owner = postgres.create_database()
        reader = postgres.create_reader(owner, can_monitor=True)
        warm = stack.enter_context(open_warm(folder / "runs"))
        bucket = s3.make_bucket()
        yield Ground(folder, postgres, owner, reader, s3, bucket, warm, s3.client(), index_uri)


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended: exit code (negative for a signal), its report when it left one, its log."""

    code: int
    report: Mapping[str, Any]
    log: str

    @property
    def units(self) -> dict[str, dict[str, Any]]:
        return {unit["dataset"]: unit for unit in self.report.get("units", ())}

    @property
    def reasons(self) -> set[str]:
        return {str(unit.get("reason", "")) for unit in self.units.values() if unit.get("code")}

    @property
    def rows(self) -> int:
        return sum(int(unit.get("rows", 0)) for unit in self.units.values())


@dataclass(slots=True)
class Shop:
    """One case's source and destination, and how it is run. `datasets` may be reordered or cut."""

    ground: Ground
    name: str
    cursor: str
    datasets: tuple[str, ...] = DATASETS
    endpoint: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    epoch: int = 0
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def prefix(self) -> str:
        return f"shop/{self.name}/"

    def uri(self, dataset: str) -> str:
        return f"s3://{self.ground.bucket}/{self.prefix}{dataset}"

    @property
    def options(self) -> dict[str, str]:
        """Give what delta-rs needs to reach the bucket, past any proxy, with conditional writes."""
        return {**self.ground.s3.storage_options(), "aws_conditional_put": "etag"}

    def only(self, *datasets: str) -> "Shop":
        return replace(self, datasets=datasets)

    def start(self, run_id: str = "", **environment: str) -> Running:
        """Start a run; without a name it is a new one."""
        stem = self.ground.folder / f"{self.name}-{next(self.numbers)}"
        files = Path(f"{stem}.yaml"), Path(f"{stem}-policy.yaml")
        files[0].write_text(json.dumps(self._resource()))
        files[1].write_text(yaml.safe_dump({**POLICY, "destinations": {"lake": self._place()}}))
        arguments = ["run", "-f", str(files[0]), "--policy", str(files[1]), "-o", "json"]
        named = ["--run-id", run_id] if run_id else []
        login = {
            "DPP_SOURCE_USERNAME": self.ground.reader.user,
            "DPP_SOURCE_PASSWORD": self.ground.reader.password,
            "DPP_DESTINATION_ACCESS_KEY_ID": self.ground.s3.access_key,
            "DPP_DESTINATION_SECRET_ACCESS_KEY": self.ground.s3.secret_key,
            "DPP_INDEX_URI": self.ground.index_uri,
        }
        bare = {"PATH": os.environ["PATH"], "HOME": str(self.ground.folder), "TZ": "UTC"}
        given = bare | PATIENCE | login | self.environment | environment
        present = {name: value for name, value in given.items() if value}
        return self.ground.warm.start([*arguments, *named], present)

    def run(self, run_id: str = "", **environment: str) -> Ended:
        """Run to the end, whatever it is."""
        return ended(self.start(run_id, **environment))

    def drop(self) -> None:
        """Forget the source; what lies in the bucket goes with the ground."""
        with self.ground.connect() as connection:
            connection.execute(f"DROP SCHEMA {self.name} CASCADE".encode())

    def _place(self) -> dict[str, str]:
        s3 = self.ground.s3
        endpoint = self.endpoint or s3.endpoint
        return {"bucket": self.ground.bucket, "endpoint": endpoint, "region": s3.region}

    def _resource(self) -> dict[str, Any]:
        reader = self.ground.reader
        database = {
            "engine": "postgresql",
            "host": reader.host,
            "port": reader.port,
            "database": reader.name,
            "tls": {"mode": "Disable"},
        }
        spec = {
            "distributor": "shop",
            "source": {"erp": "generic-sql", "database": database},
            "credentials": {"path": "distributors/shop/erp"},
            "datasets": [self._dataset(name) for name in self.datasets],
            "destination": {"profile": "lake"},
        }
        return {
            "apiVersion": "extraction.dpp.dev/v1alpha1",
            "kind": "DistributorExtraction",
            "metadata": {"name": self.name, "namespace": "shop"},
            "spec": spec,
        }

    def _dataset(self, name: str) -> dict[str, Any]:
        dataset: dict[str, Any] = {"name": name, "object": f"{self.name}.{name}", "key": ["id"]}
        if name == "orders":
            dataset["incremental"] = {"cursor": self.cursor}
        if self.epoch:
            dataset["epoch"] = self.epoch
        return dataset


def ended(running: Running) -> Ended:
    """Wait for a run and take down how it ended."""
    code = running.wait()
    text = running.stdout.read_text()
    report = json.loads(text) if text.startswith("{") else {}
    return Ended(code, report, running.stderr.read_text())


def make_shop(ground: Ground, kind: str, *, cursor: str = "updated_at") -> Shop:
    """Make an empty shop. The cursor is an instant, or with the name `rev` a number."""
    name = f"{kind}{next(ground.count)}"
    cursor_type = "bigint" if cursor == "rev" else "timestamptz"
    statements = SCHEMA.format(
        name=name, reader=ground.reader.user, cursor=cursor, cursor_type=cursor_type
    )
    with ground.connect() as connection:
        connection.execute(statements.encode())
    return Shop(ground, name, cursor)


def chance(*parts: object) -> random.Random:
    """Give the generator of one case, so that its printed name gives the same choices again."""
    return random.Random(":".join(str(part) for part in parts))
