"""Committing to a store in memory: lost answers, races, deadlines, copies."""

import json
import random
import threading
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from dpp_core.errors import (
    DestinationUnavailableError,
    DppError,
    FencedError,
    InternalError,
    SchemaChangedError,
    StreamError,
    TemporaryFailure,
)
from dpp_core.names import Reason
from dpp_extractor.publish.fold import NO_TABLE, advance
from dpp_extractor.publish.head import read_versions
from dpp_extractor.publish.hooks import Hooks, wait_never
from dpp_extractor.publish.keys import copy_key, log_key, log_prefix, table_prefix
from fake_store import FakeStore, Faults
from table import STREAM, TableWriter, number_rows


@pytest.fixture
def writer() -> TableWriter:
    return TableWriter(FakeStore())


def versions(writer: TableWriter) -> int:
    return len(list(writer.store.list(log_prefix(STREAM))))


def actions(writer: TableWriter, version: int) -> list[dict]:
    body = writer.store.get(log_key(STREAM, version))
    assert body is not None
    return [json.loads(line) for line in body.decode().splitlines()]


def one(writer: TableWriter, version: int, name: str) -> dict:
    found = [action[name] for action in actions(writer, version) if name in action]
    assert len(found) == 1
    return found[0]


def test_the_first_commit_makes_version_zero_with_seq_one(writer: TableWriter):
    committed = writer.add(number_rows([1, 2]))

    assert (committed.version, committed.seq, committed.already) == (0, 1, False)
    assert [next(iter(action)) for action in actions(writer, 0)] == [
        "commitInfo",
        "protocol",
        "metaData",
        "txn",
        "add",
    ]
    assert one(writer, 0, "protocol") == {"minReaderVersion": 1, "minWriterVersion": 2}


def test_our_part_of_the_commit_holds_every_field_of_the_format(writer: TableWriter):
    writer.add(number_rows([1]))

    assert sorted(one(writer, 0, "commitInfo")["dpp"]) == sorted(
        [
            "format",
            "min_reader",
            "lane",
            "seq",
            "base_seq",
            "version",
            "epoch",
            "read_at",
            "final",
            "approved",
            "run_created_at",
            "kind",
            "attempt_id",
            "run_id",
            "generation",
            "prev_sha256",
            "identity",
            "window",
            "watermark",
            "source",
            "counts",
            "contract",
            "schema_fingerprint",
            "plan_digest",
            "key_ids",
            "row_digest",
            "image_digest",
            "code_version",
            "carried",
        ]
    )


def test_the_same_draft_on_the_same_head_gives_the_same_bytes(writer: TableWriter):
    head = writer.head()
    draft = writer.draft(head, number_rows([1]))
    twin = TableWriter(FakeStore())

    writer.commit(head, draft)
    twin.commit(twin.head(), draft)

    assert writer.store.get(log_key(STREAM, 0)) == twin.store.get(log_key(STREAM, 0))


def test_a_commit_chains_to_the_one_before(writer: TableWriter):
    first = writer.add(number_rows([1]))
    writer.add(number_rows([2]))

    ours = one(writer, 1, "commitInfo")["dpp"]

    assert (ours["base_seq"], ours["prev_sha256"]) == (1, first.sha256)
    assert one(writer, 1, "txn")["version"] == 2


def test_a_commit_without_new_columns_says_nothing_about_columns(writer: TableWriter):
    writer.add(number_rows([1]))
    writer.add(number_rows([2]))

    assert [next(iter(action)) for action in actions(writer, 1)] == ["commitInfo", "txn", "add"]


def test_a_timestamp_without_zone_raises_the_protocol_once(writer: TableWriter):
    writer.add(number_rows([1]))
    rows = number_rows([2]).append_column("at", pa.array([None], pa.timestamp("us")))
    writer.add(rows)
    writer.add(rows)

    assert one(writer, 1, "protocol")["readerFeatures"] == ["timestampNtz"]
    assert one(writer, 1, "metaData")["id"] == one(writer, 0, "metaData")["id"]
    assert not [action for action in actions(writer, 2) if "protocol" in action]


def test_a_replace_removes_every_live_file(writer: TableWriter):
    writer.add(number_rows([1]))
    writer.add(number_rows([2]))
    before = writer.head()

    writer.add(number_rows([3]), kind="replace")

    removed = [action["remove"]["path"] for action in actions(writer, 2) if "remove" in action]
    assert sorted(removed) == sorted(before.files)
    assert len(writer.head().files) == 1


def test_a_copy_lies_beside_the_table_byte_for_byte(writer: TableWriter):
    writer.add(number_rows([1]))

    copy = writer.store.get(copy_key(STREAM, "live", 1))

    assert copy == writer.store.get(log_key(STREAM, 0))
    assert not copy_key(STREAM, "live", 1).startswith(table_prefix(STREAM) + "/")


@pytest.mark.parametrize(
    "faults",
    [Faults(lost_after=0.3), Faults(lost_before=0.3), Faults(lost_before=0.3, lost_after=0.3)],
    ids=["lost after", "lost before", "both"],
)
def test_two_hundred_commits_with_lost_answers_are_each_there_once(faults: Faults):
    writer = TableWriter(FakeStore(faults=faults))
    head, committed = NO_TABLE, []

    for number in range(200):
        committed.append(writer.commit(head, writer.draft(head, number_rows([number]))))
        head = advance(head, read_versions(writer.store, STREAM, after=head.version))

    assert [one.seq for one in committed] == list(range(1, 201))
    assert [one.version for one in committed] == list(range(200))
    assert not any(one.already for one in committed)
    head = writer.head()
    assert (head.version, len(head.files)) == (199, 200)


def test_an_attempt_that_was_killed_after_its_put_is_found_by_the_next(writer: TableWriter):
    class KilledError(Exception):
        pass

    def kill(point: str) -> None:
        if point == "commit_unread":
            raise KilledError

    head = writer.head()
    with pytest.raises(KilledError):
        writer.commit(
            head, writer.draft(head, number_rows([1]), run_id="r"), Hooks(kill, wait_never)
        )

    found = writer.head("r")

    assert found.own is not None
    assert (found.own.seq, found.own.final) == (1, True)
    assert writer.store.get(copy_key(STREAM, "live", 1)) is not None


def test_a_second_attempt_of_the_same_run_says_already_committed(writer: TableWriter):
    head = writer.head()
    first = writer.draft(head, number_rows([1]), run_id="r")
    second = writer.draft(head, number_rows([1]), run_id="r")
    done = writer.commit(head, first)

    again = writer.commit(head, second)

    assert again.already
    assert (again.seq, again.version, again.sha256) == (done.seq, done.version, done.sha256)
    assert versions(writer) == 1


def test_another_run_on_the_same_head_is_fenced(writer: TableWriter):
    head = writer.head()
    first, second = (writer.draft(head, number_rows([1])) for _ in range(2))
    writer.commit(head, first)

    with pytest.raises(FencedError) as caught:
        writer.commit(head, second)

    assert caught.value.exit_code == 27
    assert versions(writer) == 1


def test_of_many_runs_at_once_one_wins_and_the_rest_are_fenced(writer: TableWriter):
    head = writer.head()
    drafts = [writer.draft(head, number_rows([n])) for n in range(8)]
    ends: list[str] = []

    def run(draft) -> None:
        try:
            writer.commit(head, draft)
            ends.append("committed")
        except DppError as error:
            ends.append(type(error).__name__)

    threads = [threading.Thread(target=run, args=(draft,)) for draft in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ends) == ["FencedError"] * 7 + ["committed"]
    assert versions(writer) == 1


def test_two_lanes_live_together_with_their_own_seq_and_chain(writer: TableWriter):
    writer.add(number_rows([1]))
    head = writer.head()
    live = writer.draft(head, number_rows([2]))
    backfill = writer.draft(head, number_rows([3]), lane="backfill-x", kind="backfill")

    first = writer.commit(head, backfill)
    second = writer.commit(head, live)

    assert (first.seq, first.version, second.seq, second.version) == (1, 1, 2, 2)
    assert sorted(writer.head().lanes) == ["backfill-x", "live"]
    assert one(writer, 1, "txn")["appId"] == "dpp:backfill:x"


@pytest.mark.parametrize("has_table", [False, True], ids=["creates", "changes columns"])
def test_a_backfill_neither_creates_a_table_nor_changes_its_columns(
    has_table: bool, writer: TableWriter
):
    if has_table:
        writer.add(number_rows([1]))
    rows = number_rows([2]).append_column("new", pa.array(["x"]))
    head = writer.head()

    with pytest.raises(SchemaChangedError):
        writer.commit(head, writer.draft(head, rows, lane="backfill-x", kind="backfill"))


def test_a_store_that_answers_nothing_leaves_the_outcome_open(writer: TableWriter):
    store = writer.store
    assert isinstance(store, FakeStore)
    head = writer.head()
    draft = writer.draft(head, number_rows([1]))
    store.faults = Faults(down=True)

    with pytest.raises(DestinationUnavailableError):
        writer.commit(head, draft)

    store.faults = Faults()
    assert writer.commit(head, draft).seq == 1


def test_a_store_that_never_takes_the_commit_ends_with_the_deadline():
    store = FakeStore(faults=Faults(lost_before=0.0))
    writer = TableWriter(store)
    head = writer.head()
    draft = writer.draft(head, number_rows([1]))
    store.faults = Faults(lost_before=1.0, before_put=lambda _key: store.tick(30))

    with pytest.raises(TemporaryFailure) as caught:
        writer.commit(head, draft, deadline_at=store.now() + timedelta(minutes=10))

    assert caught.value.reason == Reason.DEADLINE_EXCEEDED
    assert versions(writer) == 0
    assert len([key for key in store.puts if "_delta_log" in key]) == 19


def test_a_write_without_an_answer_is_not_called_invisible_at_the_deadline():
    store = FakeStore()
    writer = TableWriter(store)
    head = writer.head()
    draft = writer.draft(head, number_rows([1]), run_id="run-late")
    store.faults = Faults(lost_before=1.0, before_put=lambda _key: store.tick(300))

    with pytest.raises(TemporaryFailure, match=r"got no answer.*the next run finds it by run-late"):
        writer.commit(head, draft, deadline_at=store.now() + timedelta(minutes=3))


def test_a_commit_that_was_never_sent_left_nothing_visible_for_sure(writer: TableWriter):
    head = writer.head()
    draft = writer.draft(head, number_rows([1]))

    with pytest.raises(TemporaryFailure, match="left nothing visible"):
        writer.commit(head, draft, deadline_at=writer.store.now() + timedelta(seconds=59))


def test_tries_wait_longer_and_longer(writer: TableWriter):
    store = writer.store
    assert isinstance(store, FakeStore)
    waits: list[int] = []
    head = writer.head()
    draft = writer.draft(head, number_rows([1]))
    store.faults = Faults(lost_before=1.0)

    def pause(tries: int) -> None:
        waits.append(tries)
        if tries == 4:
            store.faults = Faults()

    writer.commit(head, draft, Hooks(pause=pause))

    assert waits == [0, 1, 2, 3, 4]


def test_a_failing_copy_does_not_undo_the_commit_and_is_made_up_for(writer: TableWriter):
    store = writer.store
    assert isinstance(store, FakeStore)

    def fail_after(point: str) -> None:
        if point == "committed":
            store.faults = Faults(down=True)

    head = writer.head()
    committed = writer.commit(
        head, writer.draft(head, number_rows([1])), Hooks(fail_after, wait_never)
    )
    store.faults = Faults()

    assert not committed.has_copy
    writer.head()
    assert store.get(copy_key(STREAM, "live", 1)) == store.get(log_key(STREAM, 0))


def test_the_hooks_are_passed_in_order(writer: TableWriter):
    passed: list[str] = []
    head = writer.head()

    writer.commit(head, writer.draft(head, number_rows([1])), Hooks(passed.append, wait_never))

    assert passed == ["commit_sent", "commit_unread", "committed", "copied"]


def test_a_step_is_told_from_the_end(writer: TableWriter):
    passed: list[str] = []
    head = writer.head()

    writer.commit(
        head, writer.draft(head, number_rows([1]), final=False), Hooks(passed.append, wait_never)
    )

    assert "step_committed" in passed


def test_a_read_that_is_not_later_than_the_last_is_our_bug(writer: TableWriter):
    writer.add(number_rows([1]))
    head = writer.head()
    draft = writer.draft(head, number_rows([2]))

    with pytest.raises(InternalError):
        writer.commit(head, replace(draft, read_at=head.read_at))


def test_a_damaged_version_in_our_way_needs_a_person(writer: TableWriter):
    head = writer.head()
    draft = writer.draft(head, number_rows([1]))
    store = writer.store
    assert isinstance(store, FakeStore)
    store.put_raw(log_key(STREAM, 0), b"{torn")

    with pytest.raises(StreamError) as caught:
        writer.commit(head, draft)

    assert caught.value.reason == Reason.STREAM_CHAIN_BROKEN
    assert store.get(log_key(STREAM, 0)) == b"{torn"


def test_parts_that_a_vacuum_took_are_noticed_before_the_commit(writer: TableWriter):
    writer.add(number_rows([1]))
    head = writer.head()
    draft = writer.draft(head, number_rows([2]))
    store = writer.store
    assert isinstance(store, FakeStore)
    store.put_raw(log_key(STREAM, 1), b'{"commitInfo":{"operation":"VACUUM END"}}\n')
    store.delete(f"{table_prefix(STREAM)}/{draft.parts[0].path}")

    with pytest.raises(TemporaryFailure) as caught:
        writer.commit(head, draft)

    assert caught.value.exit_code == 75
    assert versions(writer) == 2


def test_lost_answers_strangers_and_rivals_together_lose_and_double_nothing():
    rng = random.Random(11)
    store = FakeStore(faults=Faults(lost_before=0.2, lost_after=0.2, seed=3))
    writer = TableWriter(store)
    writer.add(number_rows([0]))
    head, kept = writer.head(), 1
    for number in range(1, 150):
        draft = writer.draft(head, number_rows([number]))
        if rng.random() < 0.3:
            foreign = {"add": {"path": f"f{number}", "size": 1, "dataChange": True}}
            store.put_raw(log_key(STREAM, head.version + 1), (json.dumps(foreign) + "\n").encode())
            kept += 1
        writer.commit(head, draft)
        kept += 1
        head = advance(head, read_versions(store, STREAM, after=head.version))

    assert writer.head() == head
    assert head.live is not None
    assert head.live.seq == 150
    assert len(head.files) == kept
    assert head.version == kept - 1
