"""Upkeep by the real deltalake, on a folder and on a real S3 server: rows stay, runs go on, only old files go."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dpp_core.errors import DeadlineError, ResourcesError, StoppedError, StreamError, UsageError
from dpp_core.handover import Destination
from dpp_core.names import Reason
from dpp_extractor.ports import Store
from dpp_extractor.publish.claim import Owner, claim
from dpp_extractor.publish.head import read_versions
from dpp_extractor.publish.keys import log_prefix, table_prefix
from dpp_extractor.upkeep import child
from dpp_extractor.upkeep.child import Bounds, Work, carry_out
from dpp_extractor.upkeep.maintain import Plan, Step, Yard, maintain
from dpp_extractor.upkeep.place import Place, build_place
from dpp_extractor.upkeep.verify import Depth, verify
from equality import READERS
from servers.s3 import S3Server
from shops import DPP
from table import QUIET, STREAM, TableWriter, number_rows
from upkeep_writer import APPEND_IDENTITY, ROWS, add_some, open_place

WRITER = Path(__file__).parents[1] / "support" / "upkeep_writer.py"


@dataclass(frozen=True, slots=True)
class Lake:
    """A destination: how the product, a plain reader and the command find it, and where its bytes lie."""

    store: Store
    place: dict[str, Any]
    to: tuple[str, ...]
    environment: dict[str, str]
    options: dict[str, str]
    files: Path

    @property
    def uri(self) -> str:
        return f"{self.store.uri}/{table_prefix(STREAM)}"

    def writer(self) -> TableWriter:
        return TableWriter(self.store)

    def dpp(self, *arguments: str, expect: int = 0) -> Any:
        done = subprocess.run(
            [str(DPP), *arguments, *self.to, "-o", "json"],
            env={"PATH": os.environ["PATH"], "HOME": str(self.files), **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return json.loads(done.stdout or "null")

    def maintain(self, *steps: str, **plan: Any) -> dict[str, Step]:
        """Do these steps as the command does, in this process."""
        wanted = {name: name in steps for name in ("checkpoint", "compact", "vacuum")}
        yard = Yard(self.store, self.root, Bounds(os.environ), lambda: datetime.now(UTC))
        done = maintain(yard, (STREAM,), Plan(**wanted, **plan))
        return {step.step: step for step in done}

    @property
    def root(self) -> Place:
        if "folder" in self.place:
            return Place(self.store.uri)
        destination = Destination(
            kind="S3", bucket=self.place["bucket"], endpoint=self.place["endpoint"]
        )
        secret = {
            "access_key_id": self.place["access_key"],
            "secret_access_key": self.place["secret_key"],
        }
        return build_place(destination, secret, self.store.uri)

    def checkpoint(self) -> None:
        carry_out(Work("checkpoint", self.root.table(table_prefix(STREAM))), Bounds(os.environ))

    def ids(self, reader: str = "deltalake") -> list[int]:
        return sorted(row["id"] for row in READERS[reader](self.uri, self.options))

    def age(self, part: str, days: float) -> list[Path]:
        """Make files older, where they lie."""
        found = [path for path in self.files.rglob("*.parquet") if part in str(path)]
        for path in found:
            os.utime(path, (time.time() - days * 86_400,) * 2)
        return found

    def assert_whole(self, rows: int, readers: Iterable[str] = ("deltalake",)) -> None:
        """The readers see the rows, and verify finds nothing."""
        for reader in readers:
            assert self.ids(reader) == list(range(rows)), reader
        verdict = verify(self.store, STREAM, Depth(deep=True), now=self.store.now())
        assert verdict.findings == ()
        assert verdict.digests == verdict.files


@pytest.fixture(params=["folder", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """Give an empty destination whose one stream is claimed."""
    if request.param == "folder":
        root = tmp_path / "lake"
        place: dict[str, Any] = {"folder": str(root)}
        opened = Lake(open_place(place), place, ("--to", str(root)), {}, {}, root)
    else:
        server: S3Server = request.getfixturevalue("s3_server")
        opened = _open_bucket(server, server.make_bucket(), tmp_path)
    claim(opened.store, STREAM, Owner("local", "acme", "shop", "shop"), hooks=QUIET)
    return opened


def _open_bucket(server: S3Server, bucket: str, folder: Path) -> Lake:
    place = {
        "bucket": bucket,
        "endpoint": server.endpoint,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
    }
    policy = folder / "policy.yaml"
    policy.write_text(
        json.dumps(
            {
                "cluster": "local",
                "tenants": [{"namespaces": ["*"], "distributors": ["*"], "hosts": ["*"]}],
                "destinations": {
                    "lake": {
                        "bucket": bucket,
                        "endpoint": server.endpoint,
                        "region": server.region,
                        "credentials": "Ambient",
                    }
                },
            }
        )
    )
    environment = {
        "DPP_DESTINATION_ACCESS_KEY_ID": server.access_key,
        "DPP_DESTINATION_SECRET_ACCESS_KEY": server.secret_key,
    }
    files = server.server.folder / "buckets" / bucket
    to = ("--policy", str(policy))
    return Lake(open_place(place), place, to, environment, server.storage_options(), files)


def test_compaction_keeps_every_row_and_the_next_run_goes_on(lake: Lake) -> None:
    add_some(lake.writer(), 0, 12)
    before = [commit.sha256 for commit in read_versions(lake.store, STREAM)]

    first = lake.maintain("compact")["compact"]
    again = lake.maintain("compact")["compact"]
    add_some(lake.writer(), 12 * ROWS, 2, name="after")

    assert (first.state, again.state) == ("Done", "NotDue")
    assert first.facts == {"version": 12, "files_before": 12, "files_after": 1, "rows": 120}
    commits = list(read_versions(lake.store, STREAM))
    assert [commit.sha256 for commit in commits[:12]] == before
    rewrite = commits[12]
    assert not (rewrite.adds_data or rewrite.removes_data or rewrite.txns or rewrite.metadata)
    assert lake.writer().head().trouble is None
    assert lake.writer().head().live.seq == 14  # type: ignore[union-attr]
    lake.assert_whole(140, READERS)


def test_a_checkpoint_is_written_when_due_and_everybody_reads_on(lake: Lake) -> None:
    add_some(lake.writer(), 0, 4)
    assert lake.maintain("checkpoint")["checkpoint"].state == "NotDue"
    lake.checkpoint()

    add_some(lake.writer(), 40, 2, name="after")

    names = [entry.key.rsplit("/", 1)[-1] for entry in lake.store.list(log_prefix(STREAM))]
    assert "00000000000000000003.checkpoint.parquet" in names
    assert len([name for name in names if name.endswith(".json")]) == 6
    lake.assert_whole(60, READERS)


def test_a_vacuum_deletes_what_is_old_and_only_when_told(lake: Lake) -> None:
    writer = lake.writer()
    add_some(writer, 0, 10)
    lake.maintain("compact")
    writer.upload("old-orphan", number_rows([900]))
    writer.upload("young-orphan", number_rows([901]))
    lake.age("old-orphan", 8)
    lake.age("/data/w-0-", 30)

    listed = lake.maintain("vacuum")["vacuum"]
    assert (listed.state, listed.facts["paths"]) == (
        "DryRun",
        ["data/old-orphan/part-00000.parquet"],
    ), "a file that left the table just now is kept, however old it is"
    assert listed.facts["bytes"] > 0
    assert list(lake.files.rglob("old-orphan/*"))

    done = lake.maintain("vacuum", apply=True)["vacuum"]

    assert (done.state, done.facts["files"]) == ("Done", 1)
    assert not list(lake.files.rglob("old-orphan/*"))
    assert list(lake.files.rglob("young-orphan/*"))
    assert lake.maintain("vacuum")["vacuum"].facts["files"] == 0
    add_some(writer, 100, 1, name="after")
    lake.assert_whole(110)


def test_files_that_left_the_table_long_ago_are_vacuumed(lake: Lake) -> None:
    writer = lake.writer()
    add_some(writer, 0, 10)
    lake.maintain("compact")
    _make_removes_older(lake, version=10, days=9)
    lake.age("/data/w-", 10)

    done = lake.maintain("vacuum", apply=True)["vacuum"]

    assert done.facts["files"] == 10
    assert lake.ids() == list(range(100))
    operations = [commit.operation for commit in read_versions(lake.store, STREAM)]
    assert operations[-2:] == ["VACUUM START", "VACUUM END"]
    add_some(writer, 100, 1, name="after")
    lake.assert_whole(110)


def _make_removes_older(lake: Lake, version: int, days: float) -> None:
    """Let the compaction lie back, as if it had been made then."""
    (path,) = lake.files.rglob(f"_delta_log/{version:020d}.json")
    actions = [json.loads(line) for line in path.read_text().splitlines()]
    for action in actions:
        if "remove" in action:
            action["remove"]["deletionTimestamp"] -= int(days * 86_400_000)
    path.write_text("\n".join(map(json.dumps, actions)) + "\n")


def test_the_command_does_all_steps_and_deletes_nothing_by_itself(lake: Lake) -> None:
    add_some(lake.writer(), 0, 10)
    lake.writer().upload("old-orphan", number_rows([900]))
    lake.age("old-orphan", 8)

    steps = lake.dpp("maintain")

    assert [(step["step"], step["state"]) for step in steps] == [
        ("compact", "Done"),
        ("checkpoint", "NotDue"),
        ("vacuum", "DryRun"),
        ("control", "DryRun"),
    ]
    assert list(lake.files.rglob("old-orphan/*"))
    assert lake.dpp("maintain", "--vacuum", "--retention-hours", "100", expect=2) is None


def test_upkeep_beside_writing_processes_loses_and_doubles_nothing(lake: Lake) -> None:
    """Two processes commit, a third compacts, checkpoints and vacuums all the while."""
    add_some(lake.writer(), 0, 3)
    commits = 8
    started = [
        subprocess.Popen(
            [
                sys.executable,
                str(WRITER),
                json.dumps({"place": lake.place, "first": first, "commits": commits, "name": name}),
            ]
        )
        for name, first in (("one", 30), ("two", 30 + commits * ROWS))
    ]
    rounds = states = 0
    while any(process.poll() is None for process in started) or rounds < 3:
        steps = lake.maintain("compact", "vacuum", apply=True, least_files=2)
        states += steps["compact"].state == "Done"
        lake.checkpoint()
        rounds += 1

    assert [process.wait() for process in started] == [0, 0]
    assert states >= 1
    assert {step.state for step in steps.values()} <= {"Done", "NotDue", "DryRun"}
    lake.assert_whole(30 + 2 * commits * ROWS, READERS)


def test_a_compaction_that_is_killed_at_any_moment_leaves_the_table_whole(lake: Lake) -> None:
    add_some(lake.writer(), 0, 10)
    killed = 0
    for tenths in range(1, 9):
        process = subprocess.Popen(
            [sys.executable, "-m", child.MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        place = lake.root.table(table_prefix(STREAM))
        asked = {
            "work": "compact",
            "uri": place.uri,
            "options": dict(place.options),
            "arguments": {"target_bytes": 1 << 28, "code_version": "x"},
            "seconds": 60,
        }
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked).encode())
        process.stdin.close()
        try:
            process.wait(timeout=tenths / 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        assert lake.ids() == list(range(100))
        assert lake.writer().head().trouble is None

    assert killed >= 1
    lake.maintain("compact", least_files=2)
    add_some(lake.writer(), 100, 1, name="after")
    verdict = verify(lake.store, STREAM, Depth(deep=True), now=lake.store.now())
    assert verdict.is_whole
    assert (verdict.rows, lake.ids()) == (110, list(range(110)))


# --- the child process ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = open_place({"folder": str(tmp_path / "lake")})
    add_some(TableWriter(store), 0, 2)
    return tmp_path / "lake" / table_prefix(STREAM)


def test_a_work_that_takes_too_long_is_ended(folder: Path) -> None:
    with pytest.raises(DeadlineError, match=r"longer than 0\.01 s"):
        carry_out(Work("checkpoint", Place(str(folder))), Bounds(os.environ, seconds=0.01))


def test_a_work_that_takes_too_much_memory_is_ended_and_the_table_stays(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    bounds = Bounds(os.environ, memory_bytes=1024 * 1024)

    with pytest.raises(ResourcesError, match="more than 1 MiB"):
        carry_out(Work("checkpoint", Place(str(folder))), bounds)

    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_stop_ends_the_work(folder: Path) -> None:
    with pytest.raises(StoppedError):
        carry_out(
            Work("checkpoint", Place(str(folder))), Bounds(os.environ, is_stopped=lambda: True)
        )


def test_a_place_without_a_table_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(StreamError) as caught:
        carry_out(Work("checkpoint", Place(str(tmp_path / "empty"))), Bounds(os.environ))

    assert caught.value.reason is Reason.TABLE_MISSING


def test_without_deltalake_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "find_spec", lambda name: None)

    with pytest.raises(UsageError, match=r"dpp-extractor\[maintain\]"):
        carry_out(Work("checkpoint", Place(str(folder))), Bounds(os.environ))


def test_secrets_are_in_no_argument_and_in_no_variable_of_the_child(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []
    start = subprocess.Popen

    def note(command: list[str], **options: Any) -> Any:
        seen.append((command, options["env"]))
        return start(command, **options)

    monkeypatch.setattr(child.subprocess, "Popen", note)
    place = Place(str(folder), {"aws_secret_access_key": "planted-secret"})
    environment = {**os.environ, "DPP_DESTINATION_SECRET_ACCESS_KEY": "planted-secret"}

    carry_out(Work("checkpoint", place), Bounds(environment))

    assert "planted-secret" not in str(seen)
    assert len(seen) == 1


def test_this_process_never_loads_deltalake(folder: Path) -> None:
    code = (
        "import sys; from dpp_extractor.upkeep import maintain, checkpoint, verify, rebuild;"
        "sys.exit('deltalake' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert APPEND_IDENTITY.write == "Append"
