"""A backfill beside the live lane: own seq and chain, no watermark of the live one, never the table's shape."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from dpp_core.errors import (
    DppError,
    FencedError,
    SchemaChangedError,
    SpecError,
    StreamError,
    TemporaryFailure,
)
from dpp_core.handover import Unit
from dpp_core.names import Reason
from dpp_extractor.publish.admit import admit, admit_backfill
from dpp_extractor.publish.draft import Draft, Position
from dpp_extractor.publish.fold import NO_TABLE, Asked, Head, advance
from dpp_extractor.publish.head import heal_copies, read_head, read_versions
from dpp_extractor.publish.keys import copy_key, log_key
from fake_store import FakeStore, Faults
from table import CREATED_AT, IDENTITY, QUIET, STREAM, TableWriter, number_rows

LANE = "backfill-x1"
UNIT = Unit(dataset="orders", object="public.orders", key=("id",), write="Append")
APPENDED = replace(IDENTITY, cursor="updated_at", cursor_type="timestamp", write="Append")


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def writer(store: FakeStore) -> TableWriter:
    writer = TableWriter(store)
    writer.add(number_rows([1]), watermark="2026-01-01", identity=APPENDED)
    return writer


def lane_head(writer: TableWriter, run_id: str = "x1", **asked: Any) -> Head:
    return read_head(
        writer.store, STREAM, Asked(run_id, CREATED_AT, lane=LANE, **asked), hooks=QUIET
    )


def backfill(writer: TableWriter, head: Head, ids: list[int], **changes: Any) -> Draft:
    fields = {"kind": "backfill", "lane": LANE, "run_id": "x1", "identity": APPENDED, **changes}
    return writer.draft(head, number_rows(ids), **fields)


def step(writer: TableWriter, number: int, *, final: bool = False) -> None:
    head = lane_head(writer)
    watermark = str(number) if final else Position(str(number), ("k",))
    writer.commit(head, backfill(writer, head, [number], final=final, watermark=watermark))


def live(writer: TableWriter, number: int, **changes: Any) -> None:
    writer.add(number_rows([number]), watermark=f"live-{number}", identity=APPENDED, **changes)


def test_a_backfill_starts_at_its_requests_range(writer: TableWriter):
    admission = admit_backfill(lane_head(writer), UNIT, APPENDED, LANE, "2020-01-01")

    assert (admission.kind, admission.low) == ("backfill", "2020-01-01")


def test_a_backfill_goes_on_behind_its_own_last_step(writer: TableWriter):
    step(writer, 7)

    admission = admit_backfill(lane_head(writer), UNIT, APPENDED, LANE, "2020-01-01")

    assert admission.low == Position("7", ("k",))


def test_backfill_and_live_commit_in_turns_and_know_only_their_own_watermark(writer: TableWriter):
    for number in range(10, 16):
        step(writer, number)
        live(writer, number + 100)
    step(writer, 16, final=True)

    head = writer.head()
    own = lane_head(writer)

    assert head.live is not None
    assert (head.live.seq, head.live.watermark) == (7, "live-115")
    assert admit(head, UNIT, APPENDED).low == "live-115"
    assert (own.lanes[LANE].seq, own.lanes[LANE].watermark) == (7, "16")
    assert own.own is not None
    assert own.own.final
    assert len(head.files) == 14
    assert advance(NO_TABLE, read_versions(writer.store, STREAM)).version == 13


def test_each_lane_builds_on_what_the_other_did_while_it_read(writer: TableWriter):
    for number in range(5):
        mine = lane_head(writer)
        draft = backfill(writer, mine, [number], final=False, watermark=Position("1", ("k",)))
        live(writer, 100 + number)
        writer.commit(mine, draft)

    whole = advance(NO_TABLE, read_versions(writer.store, STREAM))

    assert [whole.lanes[lane].seq for lane in ("live", LANE)] == [6, 5]
    assert whole.read_at == writer.head().read_at


def test_a_finished_backfill_is_carried_no_further_and_still_found_by_its_own_run(
    writer: TableWriter, store: FakeStore
):
    step(writer, 7, final=True)
    live(writer, 8)
    live(writer, 9)

    assert LANE not in writer.head().lanes
    again = lane_head(writer)
    assert again.own is not None
    assert (again.own.seq, again.own.final) == (1, True)
    assert store.get(copy_key(STREAM, LANE, 1)) == store.get(log_key(STREAM, 1))


def test_an_unfinished_backfill_is_carried_on(writer: TableWriter):
    step(writer, 7)
    for number in range(8, 12):
        live(writer, number)

    assert writer.head().lanes[LANE].seq == 1
    step(writer, 12)
    assert writer.head().lanes[LANE].seq == 2


def test_a_copy_that_a_killed_backfill_left_out_is_put_by_the_next_live_run(
    writer: TableWriter, store: FakeStore
):
    step(writer, 7, final=True)
    store.delete(copy_key(STREAM, LANE, 1))
    head = writer.head()

    assert store.get(copy_key(STREAM, LANE, 1)) == store.get(log_key(STREAM, 1))
    assert head.lanes[LANE].final


def test_a_backfill_whose_copy_nobody_has_seen_stays_carried(writer: TableWriter, store: FakeStore):
    step(writer, 7, final=True)
    store.delete(copy_key(STREAM, LANE, 1))
    blind = read_head(store, STREAM, Asked("r", CREATED_AT), can_write=False)
    writer.commit(blind, writer.draft(blind, number_rows([8]), identity=APPENDED, watermark="8"))

    assert lane_head(writer).own is not None
    assert heal_copies(store, STREAM, writer.head()).copied >= {LANE}


def refused(head: Head, unit: Unit = UNIT) -> DppError:
    with pytest.raises(DppError) as caught:
        admit_backfill(head, unit, APPENDED, LANE)
    return caught.value


def test_a_backfill_never_creates_a_table():
    assert isinstance(refused(NO_TABLE), SchemaChangedError)


def test_a_backfill_of_a_table_that_is_replaced_is_refused(writer: TableWriter):
    error = refused(writer.head(), UNIT.model_copy(update={"write": "Replace"}))

    assert isinstance(error, SpecError)


@pytest.mark.parametrize("epoch", [0, 2], ids=["below", "above"])
def test_a_backfill_of_another_epoch_is_refused(epoch: int, writer: TableWriter):
    live(writer, 5, kind="reset", epoch=1)

    error = refused(lane_head(writer), UNIT.model_copy(update={"epoch": epoch}))

    assert (error.exit_code, error.reason) == (29, Reason.EPOCH_BEHIND)


def test_a_backfill_on_a_restored_table_is_refused(writer: TableWriter, store: FakeStore):
    store.put_raw(log_key(STREAM, 1), b'{"commitInfo":{"operation":"RESTORE"}}\n')

    assert refused(lane_head(writer)).reason == Reason.STREAM_RESTORED


def test_a_backfill_of_another_source_is_refused(writer: TableWriter):
    with pytest.raises(StreamError) as caught:
        admit_backfill(lane_head(writer), UNIT, replace(APPENDED, database="other"), LANE)

    assert caught.value.reason == Reason.STREAM_IDENTITY_CHANGED


def test_a_reset_ends_a_backfill_that_was_reading(writer: TableWriter):
    head = lane_head(writer)
    draft = backfill(writer, head, [2])
    live(writer, 5, kind="reset", epoch=1)

    with pytest.raises(FencedError):
        writer.commit(head, draft)


def test_a_second_attempt_of_a_backfill_finds_the_first(writer: TableWriter):
    head = lane_head(writer)
    first, second = (backfill(writer, head, [2]) for _ in range(2))
    done = writer.commit(head, first)

    again = writer.commit(head, second)

    assert again.already
    assert (again.seq, again.version) == (done.seq, done.version)


def test_a_backfill_does_not_bring_back_columns_that_changed_while_it_read(writer: TableWriter):
    head = lane_head(writer)
    narrow = number_rows([2])
    draft = backfill(writer, head, [2])
    wide = narrow.set_column(1, "name", pa.array(["n"], pa.string())).append_column(
        "at", pa.array([None], pa.timestamp("us"))
    )
    live_head = writer.head()
    writer.commit(
        live_head, writer.draft(live_head, wide, identity=APPENDED, watermark="w", epoch=0)
    )

    committed = writer.commit(head, draft)

    schema = writer.head().schema
    assert schema is not None
    assert schema.names == ["id", "name", "at"]
    assert committed.version == 2


def test_a_backfill_whose_type_became_wider_meanwhile_starts_again(store: FakeStore):
    writer = TableWriter(store)
    small = pa.table({"id": pa.array([1], pa.int32())})
    writer.add(small, identity=APPENDED)
    head = lane_head(writer)
    draft = writer.draft(head, small, kind="backfill", lane=LANE, identity=APPENDED)
    writer.add(pa.table({"id": pa.array([2], pa.int64())}), identity=APPENDED)

    with pytest.raises(TemporaryFailure) as caught:
        writer.commit(head, draft)

    assert caught.value.exit_code == 75
    schema = writer.head().schema
    assert schema is not None
    assert schema.field("id").type == pa.int64()


@pytest.mark.parametrize("seed", range(6))
def test_two_lanes_with_lost_answers_lose_and_double_nothing(seed: int):
    writer = TableWriter(FakeStore(faults=Faults(lost_before=0.2, lost_after=0.2, seed=seed)))
    live(writer, 0)
    for number in range(1, 20):
        step(writer, number)
        live(writer, 100 + number)

    whole = advance(NO_TABLE, read_versions(writer.store, STREAM))

    assert (whole.version, len(whole.files)) == (38, 39)
    assert [whole.lanes[lane].seq for lane in ("live", LANE)] == [20, 19]
