"""The composition root: what is opened is closed in reverse, and no driver is loaded that is not needed."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dpp_core.errors import StoppedError
from dpp_core.handover import (
    Credentials,
    DatabaseSource,
    Destination,
    RunRequest,
    Unit,
    build_request_bytes,
)
from dpp_extractor import wiring
from dpp_extractor.adapters import bucket, ferret
from dpp_extractor.guard.deadline import Stop
from dpp_extractor.guard.retry import ONCE, retrying
from dpp_extractor.settings import ExtractorSettings

DRIVERS = ("boto3", "botocore", "pymongo", "bson", "hvac", "requests", "psycopg", "deltalake")
HEAVY = ("pyarrow", "boto3", "sqlalchemy", "pymongo", "hvac", "psycopg", "numpy", "pandas")


def _request(folder: Path, **changes: Any) -> RunRequest:
    fields: dict[str, Any] = {
        "run_id": "acme-1",
        "correlation_id": "c" * 32,
        "cluster": "local",
        "namespace": "acme",
        "extraction": "acme",
        "distributor": "acme",
        "created_at": datetime.now(UTC),
        "deadline_at": datetime.now(UTC) + timedelta(hours=1),
        "source": DatabaseSource(engine="sqlite", database=str(folder / "erp.db")),
        "destination": Destination(kind="Folder", path=str(folder / "out")),
        "units": (Unit(dataset="orders", object="orders", key=("id",)),),
    }
    return RunRequest(**{**fields, **changes})


def _around(**environment: str) -> wiring.Surroundings:
    stop = Stop(sleep=lambda seconds: None)
    return wiring.Surroundings(environment, ExtractorSettings(), stop)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Take down what is opened and closed; secrets of source, destination and index are there."""
    told: list[str] = []

    @contextmanager
    def noted(name: str, value: Any) -> Iterator[Any]:
        told.append(f"open {name}")
        try:
            yield value
        finally:
            told.append(f"close {name}")

    def read_secret(role: str) -> Mapping[str, Any]:
        told.append(f"read {role}")
        return {"uri": "mongodb://index"} if role == "index" else {"username": "u"}

    monkeypatch.setattr(wiring, "open_secrets", lambda *given: noted("secrets", read_secret))
    monkeypatch.setattr(ferret, "open_index", lambda *given: noted("index", object()))
    return told


def test_what_was_opened_is_closed_in_reverse(opened: list[str], tmp_path: Path) -> None:
    with wiring.open_tools(_request(tmp_path), _around()):
        opened.append("run")

    assert opened == [
        "open secrets",
        "read index",
        "open index",
        "run",
        "close index",
        "close secrets",
    ]


def test_what_was_opened_is_closed_also_after_a_failure(opened: list[str], tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), wiring.open_tools(_request(tmp_path), _around()):
        raise ZeroDivisionError

    assert opened[-2:] == ["close index", "close secrets"]


def test_a_source_that_needs_a_login_has_its_secret_read_before_anything_connects(
    opened: list[str], tmp_path: Path
) -> None:
    source = DatabaseSource(engine="postgresql", host="erp.invalid", database="erp")

    with wiring.open_tools(_request(tmp_path, source=source), _around()):
        assert opened.index("read source") < opened.index("open index")


def test_a_wait_between_two_tries_ends_with_a_stop(opened: list[str], tmp_path: Path) -> None:
    around = _around()
    with wiring.open_tools(_request(tmp_path), around) as tools:
        tools.pause(3)
        around.stop.ask("SIGTERM")
        with pytest.raises(StoppedError):
            tools.pause(0)


def test_ids_are_new_and_the_clock_is_utc(opened: list[str], tmp_path: Path) -> None:
    with wiring.open_tools(_request(tmp_path), _around()) as tools:
        assert tools.new_id() != tools.new_id()
        assert tools.now().tzinfo is UTC
        assert tools.store.uri == str(tmp_path / "out")


def test_a_bucket_gets_its_keys_from_the_secret_and_its_place_from_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bucket.BucketSettings] = []
    monkeypatch.setattr(bucket, "open_bucket", lambda settings, retry, hook: asked.append(settings))
    place = Destination(
        kind="S3", bucket="lake", prefix="erp", endpoint="https://s3", region="eu-1"
    )
    secret = {"access_key_id": "id", "secret_access_key": "key", "session_token": "t"}

    wiring.open_store(place, lambda role: secret, retrying(ONCE), timeout_seconds=0.5)

    found = asked[0]
    assert found.read_seconds == 0.5
    assert (found.bucket, found.prefix, found.endpoint, found.region) == (
        "lake",
        "erp",
        "https://s3",
        "eu-1",
    )
    assert (found.access_key, found.secret_key, found.session_token) == ("id", "key", "t")


@pytest.mark.parametrize(
    ("credentials", "paths"),
    [
        ("Ambient", {"source": "distributors/acme/erp"}),
        ("", {"source": "distributors/acme/erp"}),
        ("lake/writer", {"source": "distributors/acme/erp", "destination": "lake/writer"}),
    ],
)
def test_secrets_lie_where_request_and_settings_say(
    tmp_path: Path, credentials: str, paths: dict[str, str]
) -> None:
    request = _request(
        tmp_path,
        credentials=Credentials(path="distributors/acme/erp"),
        destination=Destination(kind="S3", bucket="b", credentials=credentials),
    )

    places = wiring.secret_places(request, _around(DPP_SOURCE_USERNAME="u"))

    assert places.vault_paths == paths
    assert places.environment == {"DPP_SOURCE_USERNAME": "u"}
    assert places.agent_dir == Path("/vault/secrets")


# --- the seams by which tests kill or pause a process ---


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Take down who would have been signalled."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


@pytest.mark.parametrize(
    ("place", "passed", "happens_at"),
    [
        ("", ["committed"] * 3, None),
        ("committed", ["claimed", "committed"], 2),
        ("committed:1", ["committed"], 1),
        ("committed:3", ["committed", "claimed", "committed", "committed", "committed"], 4),
        ("nowhere", ["committed"] * 3, None),
    ],
    ids=["off", "first", "one", "third", "another point"],
)
@pytest.mark.parametrize(
    ("name", "number"), [("kill_at", signal.SIGKILL), ("pause_at", signal.SIGSTOP)]
)
def test_the_process_is_signalled_the_nth_time_it_passes_the_point_and_once(
    signalled: list[tuple[int, int]],
    name: str,
    number: int,
    place: str,
    passed: list[str],
    happens_at: int | None,
) -> None:
    hook = wiring.build_hook(ExtractorSettings(**{name: place}))
    counts = []
    for point in passed:
        hook(point)
        counts.append(len(signalled))

    expected = [int(happens_at is not None and n + 1 >= happens_at) for n in range(len(passed))]
    assert counts == expected
    assert set(signalled) <= {(os.getpid(), number)}


# --- what is loaded ---

Loaded = Callable[..., set[str]]


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Run a line of Python in a new process and give the top-level modules it has loaded."""

    def run(code: str, **environment: str) -> set[str]:
        lines = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
        done = subprocess.run(
            [sys.executable, "-c", lines],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        names: list[str] = json.loads(done.stdout.splitlines()[-1])
        return {name.partition(".")[0] for name in names}

    return run


def test_a_run_from_a_file_into_a_folder_loads_no_driver(loaded: Loaded, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "erp.db")) as shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        shop.commit()
    (tmp_path / "request.json").write_bytes(build_request_bytes(_request(tmp_path)))

    modules = loaded(
        "from dpp_extractor.__main__ import main\nassert main() == 0",
        DPP_REQUEST_FILE=str(tmp_path / "request.json"),
        DPP_TERMINATION_FILE=str(tmp_path / "message"),
        DPP_SECRETS_DIR=str(tmp_path / "secrets"),
    )

    assert (tmp_path / "out/acme/acme/orders/_delta_log").is_dir()
    assert modules & {"pyarrow"}
    assert modules & set(DRIVERS) == set()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["show", "--help"], ["validate", "shop.yaml"]],
    ids=" ".join,
)
def test_help_and_validate_are_light(loaded: Loaded, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "shop.yaml").write_text(
        "apiVersion: extraction.dpp.dev/v1alpha1\n"
        "kind: DistributorExtraction\n"
        "metadata: {name: shop, namespace: acme}\n"
        "spec:\n"
        "  distributor: acme\n"
        "  source: {erp: generic-sql, database: {engine: sqlite, database: erp.db}}\n"
        "  datasets: [{name: orders, key: [id]}]\n"
        "  destination: {profile: lake}\n"
    )

    modules = loaded(f"from dpp_core.cli.main import run\nassert run({arguments!r}) == 0")

    assert modules & set(HEAVY) == set()
