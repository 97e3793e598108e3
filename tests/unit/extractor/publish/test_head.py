"""What a log means: heads, chains, gaps, copies, and what a run asks of it."""

import json
from datetime import timedelta

import pyarrow as pa
import pytest

from dpp_core.errors import StreamError
from dpp_core.handover import Unit
from dpp_core.names import Reason
from dpp_extractor.batch import Counts
from dpp_extractor.publish.admit import Admission, admit
from dpp_extractor.publish.draft import Position
from dpp_extractor.publish.head import read_history
from dpp_extractor.publish.keys import copy_key, log_key
from fake_store import FakeStore
from table import CREATED_AT, IDENTITY, STREAM, TableWriter, number_rows


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def writer(store: FakeStore) -> TableWriter:
    return TableWriter(store)


def damage(store: FakeStore, key: str, change) -> None:
    lines = [json.loads(line) for line in store.objects[key].decode().splitlines()]
    change(lines)
    store.put_raw(key, ("\n".join(json.dumps(line) for line in lines) + "\n").encode())


def admit_on_head(writer: TableWriter) -> Admission:
    return admit(writer.head(), Unit(dataset="orders", object="public.orders"), IDENTITY)


def reason_of(writer: TableWriter, **asked) -> Reason:
    with pytest.raises(StreamError) as caught:
        writer.head(**asked)
    assert caught.value.exit_code == 29
    return caught.value.reason


def test_a_stream_that_never_was_has_no_table(writer: TableWriter):
    head = writer.head()

    assert (head.version, head.live, head.schema, head.read_at) == (-1, None, None, None)


def test_the_head_is_the_sum_of_the_commits(writer: TableWriter):
    writer.add(number_rows([1, 2]))
    last = writer.add(
        number_rows([3]), watermark="2026-01-01", counts=Counts(read=1, written=1), approved=("r7",)
    )

    head = writer.head()

    assert head.live is not None
    assert (head.version, head.live.seq, head.live.sha256) == (1, 2, last.sha256)
    assert (head.live.watermark, head.live.counts.written) == ("2026-01-01", 1)
    assert (head.read_at, head.consumed) == (last.read_at, {"r7"})
    assert len(head.files) == 2


def test_a_steps_position_comes_back_as_it_was(writer: TableWriter):
    writer.add(number_rows([1]), final=False, watermark=Position("2026-01-01", ("7", "a")))

    head = writer.head()

    assert head.live is not None
    assert head.live.watermark == Position("2026-01-01", ("7", "a"))
    assert not head.live.final


def test_field_metadata_survives(writer: TableWriter):
    schema = pa.schema([pa.field("id", pa.int64(), metadata={"dpp.source_name": "ID"})])
    writer.add(pa.table({"id": [1]}, schema=schema))

    assert writer.head().schema == schema
    assert writer.head().schema.field("id").metadata == {b"dpp.source_name": b"ID"}


def test_own_is_the_asked_runs_commit_after_the_known_one(writer: TableWriter):
    writer.add(number_rows([1]), run_id="r1")
    writer.add(number_rows([2]), run_id="r2")

    assert writer.head("r1").own.seq == 1
    assert writer.head("r1", known_seq=0).own.seq == 1
    assert writer.head("r1", known_seq=1).own is None
    assert writer.head("r3").own is None


def test_an_older_run_of_the_same_name_is_not_ours(writer: TableWriter, store: FakeStore):
    writer.add(number_rows([1]), run_id="r1")

    recent = writer.head("r1", created_at=store.now() + timedelta(minutes=9))
    later = writer.head("r1", created_at=store.now() + timedelta(minutes=11))

    assert recent.own is not None
    assert later.own is None


def test_an_unfinished_step_of_the_run_is_own_and_not_final(writer: TableWriter):
    writer.add(number_rows([1]), run_id="r1", final=False, watermark=Position("1", ("1",)))

    own = writer.head("r1").own

    assert own is not None
    assert not own.final


def test_a_head_behind_what_was_known_needs_a_person(writer: TableWriter):
    writer.add(number_rows([1]))

    assert reason_of(writer, known_seq=2) is Reason.STREAM_BEHIND


def test_a_missing_table_whose_commits_are_known_needs_a_person(
    writer: TableWriter, store: FakeStore
):
    writer.add(number_rows([1]))
    store.delete(log_key(STREAM, 0))

    assert reason_of(writer) is Reason.TABLE_MISSING


@pytest.mark.parametrize("version", [0, 1], ids=["first", "middle"])
def test_a_gap_needs_a_person(version: int, writer: TableWriter, store: FakeStore):
    for number in range(3):
        writer.add(number_rows([number]))
    store.delete(log_key(STREAM, version))

    assert reason_of(writer) is Reason.STREAM_CHAIN_BROKEN


def test_a_gap_where_a_stranger_was_needs_a_person_too(writer: TableWriter, store: FakeStore):
    writer.add(number_rows([1]))
    store.put_raw(log_key(STREAM, 1), b'{"commitInfo":{"operation":"OPTIMIZE"}}\n')
    writer.add(number_rows([2]))
    store.delete(log_key(STREAM, 1))

    assert reason_of(writer) is Reason.STREAM_CHAIN_BROKEN


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[0]["commitInfo"]["dpp"].update(prev_sha256="0" * 64),
        lambda lines: lines[0]["commitInfo"]["dpp"].update(seq=7),
        lambda lines: lines[0]["commitInfo"]["dpp"].update(version=7),
        lambda lines: lines[0]["commitInfo"]["dpp"].update(base_seq=0),
        lambda lines: lines[0]["commitInfo"]["dpp"].pop("epoch"),
        lambda lines: lines[0]["commitInfo"]["dpp"].update(read_at="yesterday"),
    ],
    ids=["previous", "seq", "version", "base", "field missing", "not an instant"],
)
def test_a_commit_that_does_not_chain_needs_a_person(change, writer: TableWriter, store: FakeStore):
    writer.add(number_rows([1]))
    writer.add(number_rows([2]))
    damage(store, log_key(STREAM, 1), change)

    with pytest.raises(StreamError):
        admit_on_head(writer)


def test_a_changed_first_commit_breaks_the_chain(writer: TableWriter, store: FakeStore):
    writer.add(number_rows([1]))
    writer.add(number_rows([2]))
    damage(store, log_key(STREAM, 0), lambda lines: lines[-1]["add"].update(size=1))

    assert reason_of(writer) is Reason.STREAM_CHAIN_BROKEN


def test_a_changed_last_commit_differs_from_its_copy(writer: TableWriter, store: FakeStore):
    writer.add(number_rows([1]))
    damage(store, log_key(STREAM, 0), lambda lines: lines[-1]["add"].update(size=1))

    assert reason_of(writer) is Reason.STREAM_CHAIN_BROKEN


def test_a_newer_writer_is_respected(writer: TableWriter, store: FakeStore):
    writer.add(number_rows([1]))
    damage(
        store, log_key(STREAM, 0), lambda lines: lines[0]["commitInfo"]["dpp"].update(min_reader=2)
    )

    assert reason_of(writer) is Reason.STREAM_FORMAT_NEWER


def test_a_torn_file_needs_a_person(writer: TableWriter, store: FakeStore):
    writer.add(number_rows([1]))
    store.put_raw(log_key(STREAM, 1), b'{"add": {"path')

    assert reason_of(writer) is Reason.STREAM_CHAIN_BROKEN


def test_fields_of_later_versions_are_ignored(writer: TableWriter, store: FakeStore):
    writer.add(number_rows([1]))
    store.delete(copy_key(STREAM, "live", 1))
    damage(
        store,
        log_key(STREAM, 0),
        lambda lines: lines[0]["commitInfo"]["dpp"].update(novelty={"a": 1}),
    )

    assert writer.head().live is not None


def test_looking_writes_nothing(writer: TableWriter, store: FakeStore):
    from dpp_extractor.publish.fold import Asked
    from dpp_extractor.publish.head import read_head

    writer.add(number_rows([1]))
    store.delete(copy_key(STREAM, "live", 1))
    before = dict(store.objects)

    read_head(store, STREAM, Asked("r", CREATED_AT), can_write=False)

    assert store.objects == before


def test_other_files_of_the_log_do_not_matter(writer: TableWriter, store: FakeStore):
    writer.add(number_rows([1]))
    for name in (
        "_last_checkpoint",
        "00000000000000000000.checkpoint.parquet",
        "x.crc",
        "_commits/a.json",
    ):
        store.put_raw(f"{STREAM.namespace}/{STREAM.extraction}/orders/_delta_log/{name}", b"x")

    assert writer.head().version == 0


def test_the_history_is_newest_first_and_limited(writer: TableWriter, store: FakeStore):
    for number in range(5):
        writer.add(number_rows([number]))

    assert [commit.version for commit in read_history(store, STREAM, 3)] == [4, 3, 2]
