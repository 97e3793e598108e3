"""A small shop in a real PostgreSQL, its resource, a destination, and the real `dpp` command on them, to be broken.

Called by the fault and performance tests. `orders` is read incrementally by a whole number, so that no test waits for a
lag; `items` is read whole. Runs get short waits between tries, and nothing in their environment but what is given here.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import boto3
import yaml

from equality import Form, Row, assert_table_equals, postgresql_rows, read_with_deltalake
from servers.postgres import Database, Postgres
from shops import DPP

TABLES = """
CREATE TABLE orders (
    id bigint PRIMARY KEY, item text NOT NULL, price numeric(12,2), at timestamptz, rev bigint NOT NULL);
CREATE TABLE items (id bigint PRIMARY KEY, name text, weight integer);
INSERT INTO orders SELECT n, 'Rohr ⌀ ' || n, n / 4.0, now(), n FROM generate_series(1, 200) n;
INSERT INTO items SELECT n, 'Müller ' || n, n % 7 FROM generate_series(1, 120) n;
"""
CHANGE = """
UPDATE orders SET price = 0.01, rev = 1000 + id WHERE id <= 20;
INSERT INTO orders SELECT n, 'neu', NULL, now(), 1000 + n FROM generate_series(201, 230) n;
UPDATE items SET name = 'moved' WHERE id <= 10;
DELETE FROM items WHERE id > 110;
"""
SLOW = """
CREATE OR REPLACE VIEW shelf AS SELECT * FROM items WHERE id <= 20 OR pg_sleep({seconds})::text = '';
"""
"""The items as a view: at first 20 rows at once, then each after a pause."""
ORDERS = {"name": "orders", "key": ["id"], "incremental": {"cursor": "rev"}}
ITEMS = {"name": "items", "key": ["id"]}
FORMS: Mapping[str, Form] = {"orders": "current", "items": "full"}
IMPATIENT = {"DPP_RETRY_ATTEMPTS": "3", "DPP_RETRY_BASE_SECONDS": "0.05"}
POLICY: dict[str, Any] = {
    "cluster": "local",
    "tenants": [{"namespaces": ["*"], "distributors": ["*"], "hosts": ["*"]}],
    "sources": {"engines": ["postgresql", "sqlite"], "allowLoopback": True},
}


class S3Keys(Protocol):
    """An S3 server and the keys of its account: the real one, or moto."""

    @property
    def endpoint(self) -> str: ...

    @property
    def access_key(self) -> str: ...

    @property
    def secret_key(self) -> str: ...

    @property
    def region(self) -> str: ...


class Place(Protocol):
    """A destination as a test sees it, around the product: by key, relative to its root."""

    @property
    def destination(self) -> dict[str, Any]: ...

    @property
    def environment(self) -> dict[str, str]: ...

    @property
    def options(self) -> dict[str, str]: ...

    def uri(self, dataset: str) -> str: ...

    def files(self) -> dict[str, bytes]: ...

    def copy(self) -> "Place": ...


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A folder of the machine."""

    root: Path

    @property
    def destination(self) -> dict[str, Any]:
        return {"folder": str(self.root)}

    @property
    def environment(self) -> dict[str, str]:
        return {}

    @property
    def options(self) -> dict[str, str]:
        return {}

    def uri(self, dataset: str) -> str:
        return str(self.root / "shop" / "shop" / dataset)

    def files(self) -> dict[str, bytes]:
        """Give every file by key, what lies in the store's own temporary folder included."""
        found = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in found}

    def copy(self) -> "FolderPlace":
        """Give a second destination with the same content, as if all had happened there."""
        other = self.root.with_name(f"{self.root.name}-{time.monotonic_ns()}")
        shutil.copytree(self.root, other)
        return FolderPlace(other)


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """A bucket of an S3 server; the product may reach it through a proxy, the test looks past it."""

    server: "S3Keys"
    bucket: str
    through: str = ""

    @property
    def destination(self) -> dict[str, Any]:
        endpoint = self.through or self.server.endpoint
        return {"bucket": self.bucket, "endpoint": endpoint, "region": self.server.region}

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DPP_DESTINATION_ACCESS_KEY_ID": self.server.access_key,
            "DPP_DESTINATION_SECRET_ACCESS_KEY": self.server.secret_key,
        }

    @property
    def options(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.server.endpoint,
            "AWS_ACCESS_KEY_ID": self.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
            "AWS_REGION": self.server.region,
            "AWS_ALLOW_HTTP": "true",
        }

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.server.endpoint,
            region_name=self.server.region,
            aws_access_key_id=self.server.access_key,
            aws_secret_access_key=self.server.secret_key,
        )

    def uri(self, dataset: str) -> str:
        return f"s3://{self.bucket}/shop/shop/{dataset}"

    def files(self) -> dict[str, bytes]:
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return {key: client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def copy(self) -> "BucketPlace":
        other = replace(self, bucket=f"{self.bucket}-{time.monotonic_ns()}")
        client = self.client()
        client.create_bucket(Bucket=other.bucket)
        for key, body in self.files().items():
            client.put_object(Bucket=other.bucket, Key=key, Body=body)
        return other


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished process: its code and everything it said."""

    code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.stdout)
        return parsed

    @property
    def units(self) -> dict[str, dict[str, Any]]:
        return {unit["dataset"]: unit for unit in self.report["units"]}

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]

    @property
    def error(self) -> dict[str, Any]:
        """The error of a run that ended before there was a report."""
        found: dict[str, Any] = next(
            line["error"] for line in self.lines if isinstance(line.get("error"), dict)
        )
        return found

    @property
    def outcomes(self) -> dict[str, str]:
        return {name: unit["outcome"] for name, unit in self.units.items()}

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.stdout}\n{self.stderr}"


@dataclass(slots=True)
class Scene:
    """The shop and what is done to it. `spec` is the resource's; change it, the next run writes it anew."""

    folder: Path
    owner: Database
    reader: Database
    watcher: Database
    place: Place
    spec: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)

    def execute(self, statements: str) -> None:
        self.owner.execute(statements)

    def dataset(self, name: str) -> dict[str, Any]:
        """Give a dataset of the resource, to be changed."""
        found: dict[str, Any] = next(each for each in self.spec["datasets"] if each["name"] == name)
        return found

    def at(self, place: Place) -> "Scene":
        """Give the same shop with another destination."""
        return replace(self, place=place, spec=deepcopy(self.spec))

    def command(self, *options: str) -> list[str]:
        """Write resource and policy down; give the command line of a run."""
        stamp = time.monotonic_ns()
        file, policy = self.folder / f"shop-{stamp}.yaml", self.folder / f"policy-{stamp}.yaml"
        resource = {
            "apiVersion": "extraction.dpp.dev/v1alpha1",
            "kind": "DistributorExtraction",
            "metadata": {"name": "shop", "namespace": "shop"},
            "spec": self.spec,
        }
        file.write_text(yaml.safe_dump(resource, allow_unicode=True), encoding="utf-8")
        policy.write_text(
            yaml.safe_dump({**POLICY, "destinations": {"lake": self.place.destination}})
        )
        line = [str(DPP), "run", "-f", str(file), "--policy", str(policy), "-o", "json"]
        return [*line, *options]

    def start(
        self,
        *options: str,
        before: Callable[[], object] | None = None,
        through: Sequence[str] = (),
        **environment: str,
    ) -> subprocess.Popen[str]:
        """Start a run and leave it alone; `finish` waits for it.

        `before` runs in the process itself, before the command; `through` is a command that starts it.
        """
        bare = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        login = {
            "DPP_SOURCE_USERNAME": self.reader.user,
            "DPP_SOURCE_PASSWORD": self.reader.password,
        }
        given = bare | IMPATIENT | login | self.place.environment | self.environment | environment
        return subprocess.Popen(
            [*through, *self.command(*options)],
            cwd=self.folder,
            env={name: value for name, value in given.items() if value},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
        )

    def run(
        self,
        *options: str,
        expect: int | None = 0,
        before: Callable[[], object] | None = None,
        **environment: str,
    ) -> Ended:
        """Run to the end. Fails on another exit code than `expect`; None takes any."""
        return finish(self.start(*options, before=before, through=(), **environment), expect)

    def make_slow(self, seconds: float) -> None:
        """Have the items read as the view `shelf`, whose rows come slowly; 0 for at once."""
        self.execute(SLOW.format(seconds=seconds))
        self.dataset("items").update(object="shelf", key=[])

    def reading(self, runs: int = 1) -> Callable[[], bool]:
        """Say whether that many runs are reading the slow view right now."""
        asked = (
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname = current_database()"
            " AND query LIKE 'COPY%shelf%'"
        )
        return lambda: bool(self.watcher.execute(asked)[0][0] == runs)

    def rows(self, dataset: str) -> list[Row]:
        """Read the source plainly."""
        return postgresql_rows(self.owner.dsn, dataset)

    def seen(self, dataset: str) -> list[Row] | None:
        """Read the table as a stranger; None when there is none."""
        if not self.log(dataset):
            return None
        return read_with_deltalake(self.place.uri(dataset), self.place.options)

    def log(self, dataset: str) -> dict[str, bytes]:
        """Give the bytes of the table's log by version: equal logs are equal tables."""
        prefix = f"shop/shop/{dataset}/_delta_log/"
        return {k: v for k, v in self.place.files().items() if k.startswith(prefix)}

    def commits(self, dataset: str) -> list[dict[str, Any]]:
        """Give `commitInfo.dpp` of each of our commits, oldest first."""
        log = self.log(dataset)
        actions = [json.loads(line) for key in sorted(log) for line in log[key].splitlines()]
        infos = [action["commitInfo"] for action in actions if "commitInfo" in action]
        return [info["dpp"] for info in infos if "dpp" in info]

    def assert_equal(self, *datasets: str) -> None:
        """Hold the tables against the source, value by value, through every reader."""
        for dataset in datasets or ("orders", "items"):
            assert_table_equals(
                self.place.uri(dataset),
                self.rows(dataset),
                key=["id"],
                form=FORMS[dataset],
                options=self.place.options,
            )

    def records(self, run_id: str) -> list[dict[str, Any]]:
        """Give the records of each try of a run."""
        prefix = f"shop/shop/_dpp/runs/{run_id}/"
        return [json.loads(v) for k, v in self.place.files().items() if k.startswith(prefix)]


def make_scene(
    folder: Path, postgres: Postgres, owner: Database, place: Place, port: int | None = None
) -> Scene:
    """Fill a fresh database with the shop and write the resource that reads it; `port` may be a proxy's."""
    reader = postgres.create_reader(owner, can_monitor=True)
    owner.execute(TABLES)
    database = {
        "engine": "postgresql",
        "host": reader.host,
        "port": port or reader.port,
        "database": reader.name,
        "tls": {"mode": "Disable"},
    }
    spec = {
        "distributor": "shop",
        "source": {"erp": "generic-sql", "database": database},
        "credentials": {"path": "distributors/shop/erp"},
        "datasets": [deepcopy(ORDERS), deepcopy(ITEMS)],
        "destination": {"profile": "lake"},
    }
    return Scene(folder, owner, reader, postgres.admin(owner.name), place, spec)


def finish(
    process: subprocess.Popen[str], expect: int | None = 0, timeout_seconds: float = 120
) -> Ended:
    """Wait for a run and take down what it said; kill it when it takes too long."""
    try:
        stdout, stderr = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
    ended = Ended(process.returncode, stdout, stderr)
    assert expect is None or ended.code == expect, f"expected {expect}: {ended}"
    return ended


def killed(process: subprocess.Popen[str]) -> Ended:
    """Wait for a run that kills itself at a hook."""
    ended = finish(process, expect=None)
    assert ended.code == -signal.SIGKILL, f"was not killed: {ended}"
    return ended


def wait_until(condition: Callable[[], bool], what: str, timeout_seconds: float = 60) -> None:
    """Wait for something outside to happen; fail with its name when it does not."""
    ends_at = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < ends_at, f"{what} did not happen in {timeout_seconds} s"
        time.sleep(0.02)
