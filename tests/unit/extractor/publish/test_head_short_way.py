"""The short way to a head, from our last commit, tells the same as the whole log; and what it costs."""

import json
import random
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pyarrow as pa
import pytest

from dpp_core.errors import StreamError
from dpp_core.names import LIVE_LANE, Reason
from dpp_extractor.ports import Put
from dpp_extractor.publish.claim import Owner, check_claim, claim
from dpp_extractor.publish.draft import Position
from dpp_extractor.publish.fold import NO_TABLE, Asked, Head, advance
from dpp_extractor.publish.head import find_head, heal_copies, read_versions
from dpp_extractor.publish.keys import copy_key, log_key
from fake_store import FakeStore
from table import CREATED_AT, QUIET, STREAM, TableWriter, number_rows

LONG_AGO = CREATED_AT - timedelta(days=9000)
OWNER = Owner("local", "acme", "shop", "acme")


@dataclass(slots=True)
class CountingStore(FakeStore):
    """Counts requests as a bucket would send them; a LIST counts once a page."""

    calls: list[str] = field(default_factory=list)

    def put_if_absent(self, key: str, body: bytes) -> Put:
        self.calls.append(f"put {key}")
        return FakeStore.put_if_absent(self, key, body)

    def get(self, key: str) -> bytes | None:
        self.calls.append(f"get {key}")
        return FakeStore.get(self, key)

    def list(self, prefix: str, start_after: str = ""):
        for number, entry in enumerate(FakeStore.list(self, prefix, start_after)):
            if number % 1000 == 0:
                self.calls.append(f"list {prefix}")
            yield entry


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def writer(store: CountingStore) -> TableWriter:
    return TableWriter(store)


def put_foreign(store: FakeStore, version: int, *actions: dict) -> None:
    lines = [{"commitInfo": {"operation": "WRITE"}}, *actions]
    body = "\n".join(json.dumps(line) for line in lines) + "\n"
    store.put_raw(log_key(STREAM, version), body.encode())


def whole(store: FakeStore, asked: Asked) -> Head:
    return advance(NO_TABLE, read_versions(store, STREAM), asked)


class Story:
    """A log that grows by chance: our lanes, strangers, steps, resets, new columns, approvals."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.store = FakeStore()
        self.writer = TableWriter(self.store)
        self.number = 0
        self.kind = self.chance.choice(["append", "replace"])
        self.writer.add(number_rows([0]), kind=self.kind)

    def grow(self) -> None:
        self.number += 1
        self.store.tick(self.chance.choice([1, 60, 900]))
        act = self.chance.choice(
            [
                self.live,
                self.live,
                self.live,
                self.backfill,
                self.stranger,
                self.compact,
                self.column,
            ]
        )
        act()

    def live(self) -> None:
        head = self.writer.head()
        is_reset = self.chance.random() < 0.1
        epoch = (head.live.epoch if head.live else 0) + is_reset
        rows = number_rows([self.number])
        if self.chance.random() < 0.2:
            rows = rows.append_column("wide", pa.array(["x"]))
        draft = self.writer.draft(
            head,
            rows,
            kind="reset" if is_reset else self.kind,
            epoch=epoch,
            run_id=f"run-{self.number % 4}",
            final=self.chance.random() < 0.8,
            watermark=Position(str(self.number), ("k",)),
            approved=(f"blocked-{self.number}",) if self.chance.random() < 0.2 else (),
        )
        self.writer.commit(head, draft)

    def backfill(self) -> None:
        if self.kind == "replace":
            return
        lane = f"backfill-{self.chance.choice('ab')}"
        head = find_head(self.store, STREAM, Asked("", LONG_AGO, lane=lane))
        schema = head.schema
        assert schema is not None
        rows = number_rows([self.number])
        for name in schema.names[2:]:
            rows = rows.append_column(name, pa.array([None], schema.field(name).type))
        draft = self.writer.draft(head, rows, kind="backfill", lane=lane, run_id=f"run-{lane}")
        epoch = head.live.epoch if head.live else 0
        is_final = self.chance.random() < 0.5
        self.writer.commit(head, replace(draft, epoch=epoch, final=is_final))

    def stranger(self) -> None:
        version = self.writer.head().version + 1
        add = {"path": f"f{version}", "size": 1, "dataChange": True, "stats": '{"numRecords":2}'}
        put_foreign(self.store, version, {"add": add})

    def compact(self) -> None:
        head = self.writer.head()
        removes = [{"remove": {"path": path, "dataChange": False}} for path in sorted(head.files)]
        add = {"path": f"c{head.version}", "size": 9, "dataChange": False}
        put_foreign(self.store, head.version + 1, *removes[:2], {"add": add})

    def column(self) -> None:
        head = self.writer.head()
        assert head.metadata is not None
        schema = json.loads(head.metadata["schemaString"])
        if len(schema["fields"]) > 4:
            return
        schema["fields"].append(
            {"name": f"x{self.number}", "type": "string", "nullable": True, "metadata": {}}
        )
        metadata = {**head.metadata, "schemaString": json.dumps(schema)}
        put_foreign(self.store, head.version + 1, {"metaData": metadata})


def assert_same(found: Head, expected: Head, lane: str) -> None:
    for name in ("version", "own", "metadata", "protocol", "consumed", "read_at", "trouble"):
        assert getattr(found, name) == getattr(expected, name), name
    assert (found.schema, found.table_id) == (expected.schema, expected.table_id)
    assert found.live == expected.live
    assert found.lanes.get(lane) == expected.lanes.get(lane)
    unfinished = {name for name, last in expected.lanes.items() if not last.final}
    assert unfinished <= set(found.lanes) <= set(expected.lanes)
    if found.has_files:
        assert found.files == expected.files


@pytest.mark.parametrize("seed", range(24))
def test_the_short_way_tells_the_same_as_the_whole_log(seed: int):
    story = Story(seed)
    for _ in range(25):
        story.grow()
        for lane in (LIVE_LANE, "backfill-a"):
            known_seq = story.chance.choice([None, 0, 1, 2])
            is_known = known_seq is not None and lane == LIVE_LANE
            asked = Asked(
                run_id=f"run-{story.chance.choice([0, 1, 2, 3, 'backfill-a'])}",
                created_at=story.store.now() - timedelta(minutes=story.chance.choice([0, 60])),
                known_seq=1 if is_known else None,
                lane=lane,
                files=story.chance.random() < 0.5,
            )

            found = find_head(story.store, STREAM, asked)

            assert_same(found, whole(story.store, asked), lane)
            assert found.has_files or not asked.files


@pytest.mark.parametrize("commits", [1, 10, 150, 1100])
def test_a_head_costs_the_same_at_any_number_of_commits(
    commits: int, store: CountingStore, writer: TableWriter
):
    head = NO_TABLE
    for number in range(commits):
        writer.commit(head, writer.draft(head, None, watermark=str(number)))
        head = advance(head, read_versions(store, STREAM, after=head.version))
    claim(store, STREAM, OWNER, hooks=QUIET)
    store.calls.clear()

    check_claim(store, STREAM, OWNER)
    asked = Asked("run", store.now(), known_seq=commits, files=False, epoch=0)
    heal_copies(store, STREAM, find_head(store, STREAM, asked))

    assert len(store.calls) <= 5, store.calls


def test_a_replace_costs_no_more_for_its_files(store: CountingStore, writer: TableWriter):
    for number in range(20):
        writer.add(number_rows([number]), kind="replace")
    store.calls.clear()

    head = find_head(store, STREAM, Asked("run", store.now(), known_seq=20, files=True, epoch=0))

    assert len(head.files) == 1
    assert len(store.calls) <= 3, store.calls


def test_a_commit_and_its_copy_are_one_request_each(store: CountingStore, writer: TableWriter):
    writer.add(number_rows([1]))
    head = writer.head()
    draft = writer.draft(head, number_rows([2]))
    store.calls.clear()

    writer.commit(head, draft)

    assert store.calls == [
        f"put {log_key(STREAM, 1)}",
        f"put {copy_key(STREAM, LIVE_LANE, 2)}",
    ]


@pytest.mark.parametrize("strangers", [1, 99, 100, 101, 250])
def test_any_number_of_strangers_after_ours_is_judged(strangers: int, writer: TableWriter):
    store = writer.store
    assert isinstance(store, FakeStore)
    writer.add(number_rows([1]))
    put_foreign(store, 1, {"remove": {"path": "f", "dataChange": True}})
    for version in range(2, strangers + 1):
        put_foreign(store, version, {"add": {"path": f"f{version}", "size": 1}})

    head = writer.head()

    assert head.version == strangers
    assert head.trouble is not None
    assert head.trouble.version == 1


def test_a_table_that_was_never_ours_is_trouble_and_costs_little(store: CountingStore):
    metadata = {"id": "x", "schemaString": '{"type":"struct","fields":[]}', "configuration": {}}
    put_foreign(store, 0, {"metaData": metadata})
    put_foreign(store, 1, {"add": {"path": "f", "size": 1}})

    head = find_head(store, STREAM, Asked("r", CREATED_AT))

    assert head.trouble is not None
    assert (head.version, head.trouble.version, head.live) == (1, 0, None)
    assert head.trouble.reason == Reason.STREAM_FOREIGN_CHANGE
    assert not head.trouble.is_healed_by_reset


def test_own_commits_are_found_by_their_copies_back_to_the_known_one(
    store: CountingStore, writer: TableWriter
):
    for number in range(6):
        writer.add(number_rows([number]), run_id=f"r{number}")
        store.tick(60)

    assert writer.head("r2", known_seq=2).own.seq == 3
    assert writer.head("r1", known_seq=2).own is None
    assert writer.head("r2", created_at=store.now()).own.seq == 3
    assert writer.head("r2", created_at=store.now() + timedelta(minutes=8)).own is None


def test_a_missing_copy_in_the_middle_is_found_in_the_log(
    store: CountingStore, writer: TableWriter
):
    for number in range(4):
        writer.add(number_rows([number]), run_id=f"r{number}")
    store.delete(copy_key(STREAM, LIVE_LANE, 2))

    assert writer.head("r1", known_seq=0).own.seq == 2


def test_a_copy_that_does_not_chain_needs_a_person(store: CountingStore, writer: TableWriter):
    for number in range(4):
        writer.add(number_rows([number]), run_id=f"r{number}")
    first = store.objects[copy_key(STREAM, LIVE_LANE, 2)]
    store.put_raw(copy_key(STREAM, LIVE_LANE, 2), first.replace(b"fingerprint", b"fingerprinT"))

    with pytest.raises(StreamError) as caught:
        writer.head("r1", known_seq=0)

    assert caught.value.reason == Reason.STREAM_CHAIN_BROKEN


@pytest.mark.parametrize(
    "carried",
    [None, {}, {"metadata": 7}, "x", [], {"metadata": None, "protocol": {}, "lanes": {"live": 1}}],
    ids=["none", "empty", "metadata", "text", "list", "lanes"],
)
def test_a_commit_that_carries_nothing_we_know_is_read_the_long_way(
    carried: object, store: CountingStore, writer: TableWriter
):
    writer.add(number_rows([1]))
    writer.add(number_rows([2]))
    key = log_key(STREAM, 1)
    lines = [json.loads(line) for line in store.objects[key].decode().splitlines()]
    lines[0]["commitInfo"]["dpp"]["carried"] = carried
    store.put_raw(key, ("\n".join(json.dumps(line) for line in lines) + "\n").encode())
    store.delete(copy_key(STREAM, LIVE_LANE, 2))

    head = writer.head()

    assert (head.version, len(head.files)) == (1, 2)
    assert head.live is not None
    assert head.live.seq == 2


def test_columns_whose_commit_was_changed_need_a_person(store: CountingStore, writer: TableWriter):
    for number in range(3):
        writer.add(number_rows([number]))
    key = log_key(STREAM, 0)
    store.put_raw(key, store.objects[key].replace(b"long", b"byte"))

    with pytest.raises(StreamError) as caught:
        find_head(store, STREAM, Asked("r", CREATED_AT, files=False))

    assert caught.value.reason == Reason.STREAM_CHAIN_BROKEN


@pytest.mark.parametrize("known_seq", [2, 3, 900])
def test_a_known_seq_that_does_not_fit_the_log_is_only_a_hint_for_the_listing(
    known_seq: int, store: CountingStore, writer: TableWriter
):
    writer.add(number_rows([1]))
    writer.add(number_rows([2]))

    if known_seq == 2:
        assert writer.head(known_seq=known_seq).version == 1
        return
    with pytest.raises(StreamError) as caught:
        writer.head(known_seq=known_seq)
    assert caught.value.reason == Reason.STREAM_BEHIND
