"""Stores that break: a full disk, a killed process, a server that is down or hangs."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpp_core.errors import DestinationUnavailableError, ResourcesError
from dpp_extractor.adapters import bucket as bucket_module
from dpp_extractor.adapters.bucket import BucketSettings, open_bucket
from dpp_extractor.adapters.bucket_upload import PIECE_BYTES
from dpp_extractor.adapters.folder import TEMPORARY, open_folder
from dpp_extractor.ports import Put, Store
from dpp_extractor.publish.hooks import Hooks, wait_never
from table import TableWriter, number_rows

pytestmark = pytest.mark.faults


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder of 1 MiB; needs the right to mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk without the right to mount: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def s3_store(s3_server, bucket: str) -> Store:
    return open_bucket(
        BucketSettings(
            bucket=bucket,
            prefix="lake",
            endpoint=s3_server.endpoint,
            access_key=s3_server.access_key,
            secret_key=s3_server.secret_key,
        )
    )


def test_a_full_disk_is_told_and_leaves_nothing(small_disk: Path):
    store = open_folder(small_disk / "lake")
    upload = store.open_upload("t/data/a/part-00000.parquet", {})

    with pytest.raises(ResourcesError) as caught:
        upload.write(b"x" * 2_000_000)
    upload.abort()

    assert caught.value.exit_code == 28
    assert list(store.list("")) == []
    assert os.listdir(small_disk / "lake" / TEMPORARY) == []
    assert store.put_if_absent("t/after", b"room again") is Put.CREATED


def test_a_full_disk_at_the_commit_leaves_the_table_as_it_was(small_disk: Path):
    writer = TableWriter(open_folder(small_disk / "lake"))
    writer.add(number_rows([1]))
    head = writer.head()
    draft = writer.draft(head, number_rows([2]))
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(b"x" * 2_000_000)

    with pytest.raises(ResourcesError):
        writer.commit(head, draft)
    filler.unlink()

    assert writer.head().version == 0
    assert writer.commit(head, draft).version == 1


def test_a_process_killed_in_the_middle_of_an_upload_leaves_nothing_visible(tmp_path: Path):
    script = textwrap.dedent(
        """
        import sys, time
        from dpp_extractor.adapters.folder import open_folder
        upload = open_folder(sys.argv[1]).open_upload("t/data/a/part-00000.parquet", {})
        upload.write(b"x" * 100_000)
        print("written", flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)

    store = open_folder(tmp_path)

    assert list(store.list("")) == []
    assert store.put_if_absent("t/data/a/part-00000.parquet", b"") is Put.CREATED


def test_a_server_that_is_down_makes_writes_unknown_and_reads_unavailable(
    s3_server, s3_store: Store, stopped
):
    s3_store.put_if_absent("a", b"1")

    with stopped(s3_server):
        assert s3_store.put_if_absent("b", b"2") is Put.UNKNOWN
        with pytest.raises(DestinationUnavailableError) as caught:
            s3_store.get("a")

    assert caught.value.exit_code == 26
    assert caught.value.is_temporary
    assert (s3_store.get("a"), s3_store.get("b")) == (b"1", None)


def test_a_server_that_hangs_makes_a_write_unknown(
    s3_server, bucket: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bucket_module, "READ_SECONDS", 1)
    store = open_bucket(
        BucketSettings(
            bucket=bucket,
            endpoint=s3_server.endpoint,
            access_key=s3_server.access_key,
            secret_key=s3_server.secret_key,
        )
    )
    s3_server.pause()
    try:
        answer = store.put_if_absent("a", b"1")
    finally:
        s3_server.resume()

    assert answer is Put.UNKNOWN
    assert store.get("a") in (b"1", None)


def test_a_server_that_goes_down_in_the_middle_of_an_upload_leaves_nothing_visible(
    s3_server, s3_store: Store, stopped
):
    upload = s3_store.open_upload("t/data/a/part-00000.parquet", {})
    upload.write(b"x" * (PIECE_BYTES + 1))

    with stopped(s3_server), pytest.raises(DestinationUnavailableError):
        upload.finish()
    upload.abort()

    assert list(s3_store.list("t/")) == []


def test_a_commit_goes_through_a_restart_of_the_server(s3_server, s3_store: Store):
    writer = TableWriter(s3_store)
    writer.add(number_rows([1]))
    head = writer.head()
    draft = writer.draft(head, number_rows([2]))
    passed: list[str] = []

    def restart(point: str) -> None:
        passed.append(point)
        if passed == ["commit_sent"]:
            s3_server.stop()
        if passed == ["commit_sent", "commit_unread"]:
            s3_server.start()

    committed = writer.commit(head, draft, Hooks(restart, wait_never))

    assert passed.count("commit_sent") == 2
    assert (committed.version, committed.seq) == (1, 2)
