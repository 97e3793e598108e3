"""`dpp verify` on tables that real runs wrote: a report, an exit code, and digests of every form."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import upkeep_writer
from dpp_extractor.adapters.bucket import BucketSettings, open_bucket
from dpp_extractor.publish.claim import Owner, claim
from dpp_extractor.publish.head import read_versions
from dpp_extractor.publish.keys import table_prefix
from dpp_extractor.publish.upload import open_part
from dpp_extractor.upkeep.child import Bounds, Work, carry_out
from dpp_extractor.upkeep.contents import compute_checksum
from dpp_extractor.upkeep.findings import Problem
from dpp_extractor.upkeep.maintain import Plan, Yard, maintain
from dpp_extractor.upkeep.place import Place
from dpp_extractor.upkeep.verify import Depth, verify
from servers.s3 import S3Server
from shops import Extraction, make_extraction, make_sqlite_shop
from table import QUIET, STREAM, TableWriter
from upkeep_writer import add_some, open_place

DATASETS = [
    {"name": "customers", "key": ["id"]},
    {"name": "orders", "key": ["no", "line"], "incremental": {"cursor": "updated_at"}},
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    """Give a shop that was run twice, with a change between."""
    folder = tmp_path_factory.mktemp("ran")
    extraction = make_extraction(make_sqlite_shop(folder), folder, DATASETS)
    for number in (1, 2):
        extraction.shop.execute(
            f"INSERT INTO orders (no, line, item, price) VALUES ({number}, 1, 'pen', 2)"
        )
        extraction.wait_for_lag()
        extraction.run()
    return extraction


@pytest.fixture
def shop(ran: Extraction, tmp_path: Path) -> Extraction:
    """Give the same in a folder of its own."""
    shutil.copytree(ran.out, tmp_path / "out")
    return replace(ran, out=tmp_path / "out")


def verdicts(shop: Extraction, *options: str, expect: int = 0) -> dict[str, dict[str, Any]]:
    said = shop.dpp("verify", "--to", str(shop.out), "-o", "json", *options, expect=expect)
    return {verdict["dataset"]: verdict for verdict in json.loads(said)}


def test_tables_of_real_runs_are_whole(shop: Extraction) -> None:
    found = verdicts(shop, "--deep")

    assert {name: each["findings"] for name, each in found.items()} == {
        "customers": [],
        "orders": [],
    }
    assert all(each["whole"] and each["digests"] == each["files"] for each in found.values())
    assert found["orders"]["commits"] == 2


def test_the_report_names_the_damage_and_the_exit_code_is_29(shop: Extraction) -> None:
    (part, *_) = Path(shop.table("orders")).rglob("*.parquet")
    part.unlink()

    said = shop.dpp("verify", "shop/shop/orders", "--to", str(shop.out), expect=29)

    assert said.startswith("shop/shop/orders: NOT WHOLE. 2 versions, 2 commits of ours, 2 files")
    assert "error  FileMissing  data/" in said
    assert "The table needs this file; it is not there." in said
    assert verdicts(shop, "--dataset", "customers")["customers"]["whole"]


def test_json_says_problem_place_and_severity(shop: Extraction) -> None:
    (copy, *_) = sorted(shop.out.rglob("_dpp/datasets/orders/commits/live/*.json"))
    copy.unlink()

    found = verdicts(shop, expect=29)["orders"]

    assert found["whole"] is False
    assert [(each["problem"], each["severity"]) for each in found["findings"]] == [
        ("CopyMissing", "error")
    ]
    assert found["findings"][0]["where"].endswith("commits/live/00000000000000000001.json")


def test_an_unknown_stream_is_wrong_use(shop: Extraction) -> None:
    said = shop.dpp("verify", "shop/shop/nothing", "--to", str(shop.out), expect=2)

    assert "There is no stream 'shop/shop/nothing'." in said


def test_looking_changes_no_byte(shop: Extraction) -> None:
    def all_bytes() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in shop.out.rglob("*") if path.is_file()}

    before = all_bytes()

    verdicts(shop, "--deep")

    assert all_bytes() == before


# --- what only stores and strangers bring ---


@pytest.mark.parametrize(
    "size_bytes", [100, 8 * 1024 * 1024, 17 * 1024 * 1024 + 5], ids=["small", "a piece", "pieces"]
)
def test_a_digest_is_computed_in_the_form_the_store_answered(
    size_bytes: int, s3_server: S3Server, bucket: str
) -> None:
    settings = BucketSettings(
        bucket=bucket,
        endpoint=s3_server.endpoint,
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
    )
    store = open_bucket(settings)
    sink = open_part(store, STREAM, attempt_id="a", number=0, metadata={})
    body = os.urandom(1024) * (size_bytes // 1024 + 1)
    for start in range(0, size_bytes, 1_000_000):
        sink.write(body[start : min(start + 1_000_000, size_bytes)])

    stored = sink.finish()

    assert compute_checksum(store, stored.key, stored.checksum) == stored.checksum
    assert ("-" in stored.checksum) == (size_bytes >= 8 * 1024 * 1024)


@pytest.fixture
def table(tmp_path: Path) -> TableWriter:
    writer = TableWriter(open_place({"folder": str(tmp_path / "lake")}))
    claim(writer.store, STREAM, Owner("local", "acme", "shop", "shop"), hooks=QUIET)
    add_some(writer, 0, 6)
    return writer


def _table_folder(table: TableWriter) -> Path:
    return Path(table.store.uri) / "acme" / "shop" / "orders"


def _checkpoint(table: TableWriter) -> Path:
    carry_out(Work("checkpoint", Place(str(_table_folder(table)))), Bounds(os.environ))
    (found,) = _table_folder(table).rglob("*.checkpoint.parquet")
    return found


def _look(table: TableWriter) -> set[Problem]:
    verdict = verify(table.store, STREAM, Depth(deep=True), now=table.store.now())
    return {finding.problem for finding in verdict.findings}


def test_a_checkpoint_is_held_against_the_log(table: TableWriter) -> None:
    path = _checkpoint(table)
    assert _look(table) == set()
    later = path.with_name(path.name.replace("5.checkpoint", "4.checkpoint"))

    path.rename(later)
    assert _look(table) == {Problem.CHECKPOINT_DIFFERS}

    later.write_bytes(b"PAR1 no more PAR1")
    assert _look(table) == {Problem.CHECKPOINT_UNREADABLE}


def test_a_log_that_was_cleaned_behind_a_checkpoint_is_whole_and_said(table: TableWriter) -> None:
    _checkpoint(table)
    add_some(table, 60, 2, name="after")
    for version in range(4):
        (_table_folder(table) / "_delta_log" / f"{version:020d}.json").unlink()

    verdict = verify(table.store, STREAM, Depth(deep=True), now=table.store.now())

    assert [finding.problem for finding in verdict.findings] == [Problem.LOG_CLEANED]
    assert verdict.is_whole
    assert (verdict.files, verdict.digests, verdict.rows) == (8, 8, 80)
    (_table_folder(table) / "data" / "w-0-1" / "part-00000.parquet").unlink()
    assert _look(table) == {Problem.LOG_CLEANED, Problem.FILE_MISSING}


def test_a_compacted_file_is_held_against_the_digest_beside_the_table(table: TableWriter) -> None:
    yard = Yard(table.store, Place(table.store.uri), Bounds(os.environ), lambda: datetime.now(UTC))
    plan = Plan(checkpoint=False, vacuum=False, least_files=2)
    assert [step.state for step in maintain(yard, (STREAM,), plan)] == ["Done"]
    assert _look(table) == set()
    (path,) = _table_folder(table).glob("part-*.parquet")
    body = path.read_bytes()

    path.write_bytes(body[:40] + bytes([body[40] ^ 1]) + body[41:])
    assert Problem.FILE_DIGEST_DIFFERS in _look(table)


def test_a_compaction_killed_before_its_digests_leaves_a_warning_and_a_whole_table(
    table: TableWriter,
) -> None:
    place = Place(table.store.uri).table(table_prefix(STREAM))
    arguments = {"target_bytes": 1 << 28, "code_version": "x"}
    carry_out(Work("compact", place, arguments), Bounds(os.environ))  # all that a killed one did

    verdict = verify(table.store, STREAM, Depth(deep=True), now=table.store.now())

    assert verdict.is_whole
    assert {finding.problem for finding in verdict.findings} == {Problem.NO_DIGEST}


def test_beside_a_live_run_nothing_is_found(table: TableWriter) -> None:
    asked = {
        "place": {"folder": table.store.uri},
        "first": 60,
        "commits": 15,
        "name": "live",
    }
    program = upkeep_writer.__file__
    writing = subprocess.Popen([sys.executable, program, json.dumps(asked)])
    looks = 0
    while writing.poll() is None:
        assert _look(table) <= {Problem.LAST_COPY_MISSING}
        looks += 1
        time.sleep(0.01)

    assert writing.returncode == 0
    assert looks >= 1
    assert len(list(read_versions(table.store, STREAM))) == 21
    assert _look(table) == set()
