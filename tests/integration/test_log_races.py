"""Processes at one table at once, on a folder and on the real S3 server: no row lost, none doubled."""

import contextlib
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import deltalake
import pytest
from deltalake import DeltaTable

from dpp_core.errors import FencedError
from dpp_extractor.adapters.bucket import BucketSettings, open_bucket
from dpp_extractor.adapters.folder import open_folder
from dpp_extractor.publish.keys import table_prefix
from table import STREAM, TableWriter, number_rows

ROUNDS = 8
SUPPORT = Path(__file__).resolve().parents[1] / "support"


def open_place(place: dict):
    if "root" in place:
        return open_folder(place["root"])
    return open_bucket(BucketSettings(**place))


def write_rounds(place: dict, worker: int) -> None:
    """Commit ROUNDS times; a fenced try reads the head again, as the next run does."""
    writer = TableWriter(open_place(place))
    for number in range(ROUNDS):
        while True:
            head = writer.head()
            draft = writer.draft(
                head,
                number_rows([worker * 1000 + number]),
                attempt_id=f"w{worker}-{number}-{head.version + 1}",
            )
            try:
                writer.commit(head, draft)
            except FencedError:
                continue
            break


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict:
    if request.param == "folder":
        return {"root": str(tmp_path / "lake")}
    server = request.getfixturevalue("s3_server")
    settings = BucketSettings(
        bucket=request.getfixturevalue("bucket"),
        endpoint=server.endpoint,
        region=server.region,
        access_key=server.access_key,
        secret_key=server.secret_key,
    )
    return asdict(settings)


def delta_table(place: dict) -> DeltaTable:
    uri = f"{open_place(place).uri}/{table_prefix(STREAM)}"
    if "root" in place:
        return DeltaTable(uri)
    options = {
        "AWS_ENDPOINT_URL": place["endpoint"],
        "AWS_ACCESS_KEY_ID": place["access_key"],
        "AWS_SECRET_ACCESS_KEY": place["secret_key"],
        "AWS_REGION": place["region"],
        "AWS_ALLOW_HTTP": "true",
    }
    return DeltaTable(uri, storage_options=options)


def test_two_writers_a_stranger_and_a_compactor_lose_no_row(place: dict):
    writer = TableWriter(open_place(place))
    writer.add(number_rows([0]))
    script = (
        "import json, sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]; import test_log_races as races; "
        "races.write_rounds(json.loads(sys.argv[3]), int(sys.argv[4]))"
    )
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                script,
                str(SUPPORT),
                str(Path(__file__).parent),
                json.dumps(place),
                str(worker),
            ],
            stderr=subprocess.PIPE,
        )
        for worker in (1, 2)
    ]
    strangers = []
    for number in range(4):
        deltalake.write_deltalake(delta_table(place), number_rows([9000 + number]), mode="append")
        strangers.append(9000 + number)
        # the stranger's own loss, when somebody else was first too often
        with contextlib.suppress(deltalake.exceptions.CommitFailedError):
            delta_table(place).optimize.compact()

    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors.decode()

    expected = [0, *strangers, *(w * 1000 + n for w in (1, 2) for n in range(ROUNDS))]
    rows = delta_table(place).to_pyarrow_table().column("id").to_pylist()
    head = writer.head()
    assert sorted(rows) == sorted(expected)
    assert head.trouble is None
    assert head.live is not None
    assert head.live.seq == 1 + 2 * ROUNDS
