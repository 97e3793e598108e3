"""Logs that are torn, cut, taken over or led on to what we cannot read: refused with 29 and nothing written.

Each case starts from a good table of three commits, does its harm by hand and carries out `dpp run`.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from dpp_core.cli.output import Output
from dpp_extractor.cli import run as command
from shops import Extraction, make_extraction, make_sqlite_shop

CUSTOMERS = {"name": "customers", "key": ["id"]}
LAST = 2
Run = Callable[[], tuple[int, dict[str, Any]]]
FEATURES = {"minReaderVersion": 3, "minWriterVersion": 7}


class Log:
    """The `_delta_log` of the customers' table, as a stranger's hand reaches it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.table = out / "shop" / "shop" / "customers"
        self.folder = self.table / "_delta_log"

    def name(self, version: int) -> Path:
        return self.folder / f"{version:020d}.json"

    def put(self, *actions: dict[str, Any], version: int = LAST + 1) -> None:
        lines = [{"commitInfo": {"operation": "WRITE", "timestamp": 1}}, *actions]
        self.name(version).write_text("".join(json.dumps(line) + "\n" for line in lines))

    def metadata(self, **configuration: str) -> dict[str, Any]:
        lines = map(json.loads, self.name(0).read_text().splitlines())
        metadata = next(line["metaData"] for line in lines if "metaData" in line)
        return metadata | {"configuration": metadata["configuration"] | configuration}

    def set_property(self, **configuration: str) -> None:
        self.put({"metaData": self.metadata(**configuration)})

    def set_feature(self, name: str, **configuration: str) -> None:
        protocol = {**FEATURES, "readerFeatures": [name], "writerFeatures": [name]}
        self.put({"protocol": protocol}, {"metaData": self.metadata(**configuration)})


def a_torn_commit_of_a_stranger(log: Log) -> None:
    log.name(LAST + 1).write_text('{"add":{"path":"x","si')


def a_torn_commit_of_ours(log: Log) -> None:
    body = log.name(LAST).read_bytes()
    log.name(LAST).write_bytes(body[: len(body) // 2])


def an_empty_commit(log: Log) -> None:
    log.name(LAST + 1).write_bytes(b"")


def a_commit_that_is_no_object(log: Log) -> None:
    log.name(LAST + 1).write_text("[1, 2]\n")


def a_commit_of_other_bytes(log: Log) -> None:
    log.name(LAST + 1).write_bytes(b"PK\x03\x04\xff\xfe")


def a_gap_before_the_last(log: Log) -> None:
    log.name(1).unlink()


def a_gap_behind_the_last(log: Log) -> None:
    log.put(version=LAST + 2)


def a_log_without_its_beginning(log: Log) -> None:
    log.name(0).unlink()


def no_log_but_copies(log: Log) -> None:
    shutil.rmtree(log.folder)


def a_table_of_a_stranger(log: Log) -> None:
    shutil.rmtree(log.out / "shop")
    deltalake.write_deltalake(str(log.table), pa.table({"id": [1]}))


def a_table_of_a_stranger_in_our_place(log: Log) -> None:
    shutil.rmtree(log.table)
    deltalake.write_deltalake(str(log.table), pa.table({"id": [1]}))


def another_table_id(log: Log) -> None:
    log.put({"metaData": log.metadata() | {"id": "another"}})


def v2_checkpoints(log: Log) -> None:
    log.set_feature("v2Checkpoint", **{"delta.checkpointPolicy": "v2"})


def v2_checkpoints_by_property(log: Log) -> None:
    log.set_property(**{"delta.checkpointPolicy": "v2"})


def column_mapping(log: Log) -> None:
    protocol = {"minReaderVersion": 2, "minWriterVersion": 5}
    log.put(
        {"protocol": protocol}, {"metaData": log.metadata(**{"delta.columnMapping.mode": "name"})}
    )


def column_mapping_by_property(log: Log) -> None:
    log.set_property(**{"delta.columnMapping.mode": "name"})


def deletion_vectors(log: Log) -> None:
    log.set_feature("deletionVectors", **{"delta.enableDeletionVectors": "true"})


def deletion_vectors_by_property(log: Log) -> None:
    log.set_property(**{"delta.enableDeletionVectors": "true"})


def a_file_with_a_deletion_vector(log: Log) -> None:
    vector = {"storageType": "u", "pathOrInlineDv": "x", "sizeInBytes": 1, "cardinality": 1}
    log.put({"add": {"path": "x", "size": 1, "dataChange": False, "deletionVector": vector}})


def append_only(log: Log) -> None:
    log.set_property(**{"delta.appendOnly": "true"})


def transactions_that_expire(log: Log) -> None:
    log.set_property(**{"delta.setTransactionRetentionDuration": "interval 1 days"})


def our_properties_gone(log: Log) -> None:
    log.put({"metaData": log.metadata() | {"configuration": {}}})


def partitions(log: Log) -> None:
    log.put({"metaData": log.metadata() | {"partitionColumns": ["id"]}})


def an_older_protocol(log: Log) -> None:
    log.put({"protocol": {"minReaderVersion": 1, "minWriterVersion": 1}})


def two_of_ours_in_one(log: Log) -> None:
    body = log.name(LAST).read_bytes()
    log.name(LAST + 1).write_bytes(body + body)


def a_commit_of_two_lanes(log: Log) -> None:
    txns = [{"txn": {"appId": name, "version": 9}} for name in ("dpp", "dpp:backfill:x")]
    log.put(*txns)


def our_transaction_in_a_strangers_commit(log: Log) -> None:
    log.put({"txn": {"appId": "dpp", "version": 9}})


REFUSED: dict[Callable[[Log], None], str] = {
    a_torn_commit_of_a_stranger: "StreamChainBroken",
    a_torn_commit_of_ours: "StreamChainBroken",
    an_empty_commit: "StreamChainBroken",
    a_commit_that_is_no_object: "StreamChainBroken",
    a_commit_of_other_bytes: "StreamChainBroken",
    a_gap_before_the_last: "StreamChainBroken",
    a_gap_behind_the_last: "StreamChainBroken",
    a_log_without_its_beginning: "StreamChainBroken",
    no_log_but_copies: "TableMissing",
    a_table_of_a_stranger: "StreamForeignChange",
    a_table_of_a_stranger_in_our_place: "StreamForeignChange",
    another_table_id: "StreamForeignChange",
    v2_checkpoints: "StreamForeignChange",
    v2_checkpoints_by_property: "StreamForeignChange",
    column_mapping: "StreamForeignChange",
    column_mapping_by_property: "StreamForeignChange",
    deletion_vectors: "StreamForeignChange",
    deletion_vectors_by_property: "StreamForeignChange",
    a_file_with_a_deletion_vector: "StreamForeignChange",
    append_only: "StreamForeignChange",
    transactions_that_expire: "StreamForeignChange",
    our_properties_gone: "StreamForeignChange",
    partitions: "StreamForeignChange",
    an_older_protocol: "StreamForeignChange",
    two_of_ours_in_one: "StreamChainBroken",
    a_commit_of_two_lanes: "StreamChainBroken",
    our_transaction_in_a_strangers_commit: "StreamForeignChange",
}


def a_commit_of_two_megabytes(log: Log) -> None:
    log.put({"commitInfo2": {"note": "x" * 2_000_000}})


def files_of_others(log: Log) -> None:
    for name in (
        "00000000000000000002.crc",
        "00000000000000000009.json.tmp",
        "00000000000000000000.00000000000000000002.compacted.json",
        "00000000000000000009.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.parquet",
        "_sidecars/3a0d65cd-4056-49b8-937b-95f9e3ee90e5.parquet",
        "_staged_commits/00000000000000000009.3a0d65cd.json",
        "_commits/00000000000000000009.json",
        "notes.txt",
        "_last_checkpoint",
    ):
        place = log.folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"x")


def a_checkpoint_that_is_torn(log: Log) -> None:
    (log.folder / f"{LAST:020d}.checkpoint.parquet").write_bytes(b"PAR1")


TOLERATED = [a_commit_of_two_megabytes, files_of_others, a_checkpoint_that_is_torn]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    folder = tmp_path_factory.mktemp("good")
    extraction = make_extraction(make_sqlite_shop(folder), folder, [CUSTOMERS])
    for _ in range(LAST + 1):
        extraction.run()
    return extraction


@pytest.fixture
def log(good: Extraction, tmp_path: Path) -> Log:
    shutil.copytree(good.out, tmp_path / "out")
    return Log(tmp_path / "out")


def kept(out: Path) -> dict[str, bytes]:
    """Give all files but the record and plan of runs, which are written whatever happens."""
    found = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if "/_dpp/runs/" not in name and "/_dpp/plans/" not in name
    }


@pytest.fixture
def run(good: Extraction, log: Log, capsys: pytest.CaptureFixture[str]) -> Run:
    """Carry out `dpp run` in this process; give its exit code and the unit of its report."""

    def dpp_run() -> tuple[int, dict[str, Any]]:
        code = command.run(file=good.file, to=str(log.out), output=Output.JSON)
        (unit,) = json.loads(capsys.readouterr().out)["units"]
        return code, unit

    return dpp_run


@pytest.mark.parametrize(("harm", "reason"), REFUSED.items(), ids=[h.__name__ for h in REFUSED])
def test_a_bad_log_is_refused_and_nothing_is_written(
    harm: Callable[[Log], None], reason: str, log: Log, run: Run
):
    harm(log)
    before = kept(log.out)

    code, unit = run()

    assert (code, unit["outcome"], unit["code"]) == (29, "Failed", 29)
    assert unit["reason"] == reason
    assert len(unit["message"]) > 40
    assert kept(log.out) == before


@pytest.mark.parametrize("harm", TOLERATED, ids=[harm.__name__ for harm in TOLERATED])
def test_what_is_harmless_in_a_log_is_passed_over(harm: Callable[[Log], None], log: Log, run: Run):
    harm(log)

    code, unit = run()

    assert (code, unit["outcome"], unit["seq"]) == (0, "Committed", LAST + 2)
    if harm is a_commit_of_two_megabytes:
        assert DeltaTable(str(log.table)).version() == LAST + 2
