"""How a unit goes on from a head: kinds, epochs, identities, shrunken tables, approvals."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from dpp_core.errors import BlockedError, StreamError
from dpp_core.handover import DatabaseSource, Incremental, Unit
from dpp_core.names import Reason
from dpp_extractor.batch import Counts
from dpp_extractor.publish.admit import (
    Block,
    admit,
    decide_read_at,
    decide_size,
    read_blocks,
)
from dpp_extractor.publish.fold import NO_TABLE
from dpp_extractor.publish.identity import build_identity, identity_hash
from dpp_extractor.publish.keys import run_key
from fake_store import EPOCH, FakeStore
from table import IDENTITY, TableWriter, number_rows

REPLACE = Unit(dataset="orders", object="public.orders", key=("id",))
APPEND = REPLACE.model_copy(update={"write": "Append"})
APPENDED = replace(IDENTITY, cursor="updated_at", cursor_type="timestamp", write="Append")


@pytest.fixture
def writer() -> TableWriter:
    return TableWriter(FakeStore())


def with_rows(writer: TableWriter, rows: int, **changes) -> TableWriter:
    writer.add(number_rows([1]), kind="replace", counts=Counts(read=rows, written=rows), **changes)
    return writer


@pytest.mark.parametrize(("unit", "kind"), [(REPLACE, "replace"), (APPEND, "append")])
def test_a_new_stream_begins_at_the_beginning(unit: Unit, kind: str):
    admission = admit(NO_TABLE, unit, IDENTITY)

    assert (admission.kind, admission.low, admission.approved) == (kind, None, ())


def test_an_append_goes_on_from_the_watermark(writer: TableWriter):
    writer.add(number_rows([1]), identity=APPENDED, watermark="2026-01-01")

    admission = admit(writer.head(), APPEND, APPENDED)

    assert (admission.kind, admission.low) == ("append", "2026-01-01")


def test_a_replace_has_no_low(writer: TableWriter):
    writer.add(number_rows([1]), watermark="2026-01-01")

    assert admit(writer.head(), REPLACE, IDENTITY).low is None


def test_a_higher_epoch_resets_and_asks_no_identity(writer: TableWriter):
    writer.add(number_rows([1]), watermark="2026-01-01")
    unit = APPEND.model_copy(update={"epoch": 1})

    admission = admit(writer.head(), unit, APPENDED)

    assert (admission.kind, admission.low) == ("reset", None)


def test_after_a_reset_the_new_epoch_goes_on(writer: TableWriter):
    writer.add(number_rows([1]))
    writer.add(number_rows([2]), kind="reset", epoch=1, identity=APPENDED, watermark="7")
    unit = APPEND.model_copy(update={"epoch": 1})

    assert admit(writer.head(), unit, APPENDED).low == "7"


def test_an_epoch_behind_the_heads_is_refused(writer: TableWriter):
    writer.add(number_rows([1]), epoch=3)

    with pytest.raises(StreamError, match=r"epoch 2.*epoch 3") as caught:
        admit(writer.head(), REPLACE.model_copy(update={"epoch": 2}), IDENTITY)

    assert caught.value.reason == Reason.EPOCH_BEHIND


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("engine", "sqlite"),
        ("host", "other:5432"),
        ("database", "other"),
        ("object", "public.other"),
        ("key", ("id", "line")),
        ("cursor", "changed_at"),
        ("cursor_type", "date"),
        ("write", "Append"),
    ],
)
def test_another_identity_is_refused_showing_both(field: str, value, writer: TableWriter):
    writer.add(number_rows([1]))
    other = replace(IDENTITY, **{field: value})

    with pytest.raises(StreamError) as caught:
        admit(writer.head(), REPLACE, other)

    shown = list(value) if isinstance(value, tuple) else value
    assert caught.value.reason == Reason.STREAM_IDENTITY_CHANGED
    assert f"{field} was " in str(caught.value)
    assert f"is {shown!r}" in str(caught.value)


@pytest.mark.parametrize("field", ["host", "database"])
def test_an_approved_move_goes_on_once(field: str, writer: TableWriter):
    writer.add(number_rows([1]), identity=APPENDED, watermark="7")
    moved = replace(APPENDED, **{field: "new"})
    with pytest.raises(StreamError) as caught:
        admit(writer.head(), APPEND, moved)
    blocks = (Block("run-9", "orders", Reason.STREAM_IDENTITY_CHANGED, caught.value.fingerprint),)

    admission = admit(writer.head(), APPEND, moved, blocks)
    writer.add(number_rows([2]), identity=moved, watermark="8", approved=admission.approved)

    assert (admission.low, admission.approved) == ("7", ("run-9",))
    assert admit(writer.head(), APPEND, moved, blocks).approved == ()
    with pytest.raises(StreamError):
        admit(writer.head(), APPEND, APPENDED, blocks)


def test_no_approval_covers_another_object(writer: TableWriter):
    writer.add(number_rows([1]))
    other = replace(IDENTITY, host="new", object="public.other")
    with pytest.raises(StreamError) as caught:
        admit(writer.head(), REPLACE, other)
    blocks = (Block("run-9", "orders", Reason.STREAM_IDENTITY_CHANGED, caught.value.fingerprint),)

    with pytest.raises(StreamError):
        admit(writer.head(), REPLACE, other, blocks)


@pytest.mark.parametrize(
    ("last", "now", "is_blocked"),
    [
        (0, 0, False),
        (1, 0, True),
        (99, 1, False),
        (99, 0, True),
        (100, 50, False),
        (100, 49, True),
        (100, 0, True),
        (1000, 500, False),
        (1000, 499, True),
        (5, 5000, False),
    ],
)
def test_a_replace_that_shrinks_too_much_is_blocked(
    last: int, now: int, is_blocked: bool, writer: TableWriter
):
    head = with_rows(writer, last).head()

    if not is_blocked:
        assert decide_size(head, REPLACE, now) == ()
        return
    with pytest.raises(BlockedError, match=rf"{last} rows.*has {now} now") as caught:
        decide_size(head, REPLACE, now)

    assert (caught.value.exit_code, caught.value.reason) == (24, Reason.REPLACE_TOO_SMALL)
    assert caught.value.fingerprint


def test_the_first_commit_a_new_epoch_and_an_append_never_shrink(writer: TableWriter):
    with_rows(writer, 1000)

    assert decide_size(NO_TABLE, REPLACE, 0) == ()
    assert decide_size(writer.head(), REPLACE.model_copy(update={"epoch": 1}), 0) == ()
    assert decide_size(writer.head(), APPEND, 0) == ()


def block_of(writer: TableWriter, now: int) -> tuple[Block, ...]:
    with pytest.raises(BlockedError) as caught:
        decide_size(writer.head(), REPLACE, now)
    return (Block("run-9", "orders", Reason.REPLACE_TOO_SMALL, caught.value.fingerprint),)


def test_an_approval_lets_the_same_block_through_once(writer: TableWriter):
    with_rows(writer, 1000)
    blocks = block_of(writer, 400)

    approved = decide_size(writer.head(), REPLACE, 405, blocks)
    with_rows(writer, 1000, approved=approved)

    assert approved == ("run-9",)
    with pytest.raises(BlockedError):
        decide_size(writer.head(), REPLACE, 400, blocks)


@pytest.mark.parametrize("now", [0, 50, 300])
def test_an_approval_of_forty_percent_does_not_cover_less(now: int, writer: TableWriter):
    with_rows(writer, 1000)
    blocks = block_of(writer, 400)

    with pytest.raises(BlockedError):
        decide_size(writer.head(), REPLACE, now, blocks)


@pytest.mark.parametrize(
    "change",
    [{"dataset": "items"}, {"reason": Reason.SCHEMA_CHANGED}, {"fingerprint": "other"}],
    ids=["dataset", "reason", "fingerprint"],
)
def test_an_approval_of_another_block_does_not_count(change: dict, writer: TableWriter):
    with_rows(writer, 1000)
    (block,) = block_of(writer, 0)

    with pytest.raises(BlockedError):
        decide_size(writer.head(), REPLACE, 0, (replace(block, **change),))


def test_a_read_is_never_earlier_than_the_last_of_any_lane(writer: TableWriter):
    writer.add(number_rows([1]))
    last = writer.head().read_at
    assert last is not None

    assert decide_read_at(NO_TABLE, EPOCH) == EPOCH
    assert decide_read_at(writer.head(), last + timedelta(hours=1)) == last + timedelta(hours=1)
    assert decide_read_at(writer.head(), last) == last + timedelta(microseconds=1)
    assert decide_read_at(writer.head(), EPOCH - timedelta(days=9)) == last + timedelta(
        microseconds=1
    )


def test_blocks_are_read_from_the_records_of_approved_runs():
    store = FakeStore()
    unit = {"dataset": "orders", "reason": "ReplaceTooSmall", "fingerprint": "f", "code": 24}
    good = {"dataset": "items", "reason": None, "fingerprint": ""}
    for attempt in ("a1", "a2"):
        body = json.dumps({"run_id": "run-9", "units": [unit, good]}).encode()
        store.put_raw(run_key("acme", "shop", "run-9", attempt), body)
    store.put_raw(run_key("acme", "shop", "run-8", "a1"), b"torn{")

    blocks = read_blocks(store, "acme", "shop", ("run-9", "run-8", "run-7"))

    assert blocks == (Block("run-9", "orders", "ReplaceTooSmall", "f"),)


def test_the_identity_comes_from_source_and_unit():
    source = DatabaseSource(engine="postgresql", host="erp", port=5433, database="d")
    unit = APPEND.model_copy(update={"incremental": Incremental(cursor="updated_at")})

    identity = build_identity(source, unit, "timestamp")

    assert (identity.host, identity.cursor, identity.cursor_type) == (
        "erp:5433",
        "updated_at",
        "timestamp",
    )
    assert identity_hash(identity) == identity_hash(build_identity(source, unit, "timestamp"))
    assert identity_hash(identity) != identity_hash(replace(identity, object="x"))
