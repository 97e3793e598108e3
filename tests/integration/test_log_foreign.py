"""Strangers at our table: what another writer does between head and commit, or before the next run."""

from pathlib import Path

import deltalake
import pyarrow as pa
import pytest
from deltalake import DeltaTable

import strangers
from dpp_core.errors import StreamError, TemporaryFailure
from dpp_core.handover import Unit
from dpp_core.names import Reason
from dpp_extractor.adapters.folder import open_folder
from dpp_extractor.publish.admit import admit
from dpp_extractor.publish.hooks import Hooks, wait_never
from dpp_extractor.publish.keys import table_prefix
from strangers import Act, Stranger
from table import IDENTITY, NUMBERS, STREAM, TableWriter, number_rows


@pytest.fixture
def writer(tmp_path: Path) -> TableWriter:
    writer = TableWriter(open_folder(tmp_path / "lake"))
    for start in (0, 10, 20):
        writer.add(number_rows(list(range(start, start + 10))))
    return writer


def table(writer: TableWriter) -> DeltaTable:
    return DeltaTable(f"{writer.store.uri}/{table_prefix(STREAM)}")


def ids(writer: TableWriter) -> list[int]:
    return sorted(table(writer).to_pyarrow_table().column("id").to_pylist())


def let_in(writer: TableWriter, act: Act) -> None:
    """Have a stranger do one thing to the table."""
    folder = Path(f"{writer.store.uri}/{table_prefix(STREAM)}")
    remove, put = (
        (lambda key: (folder / key).unlink()),
        (lambda key, body: write(folder, key, body)),
    )
    act(Stranger(str(folder), {}, remove, put))


def write(folder: Path, key: str, body: bytes) -> None:
    (folder / key).write_bytes(body)


BUILT_ON = {
    "append": strangers.append,
    "compaction": strangers.compact,
    "z-order": strangers.z_order,
    "delete": strangers.delete,
    "delete and compaction": strangers.delete_and_compact,
    "update": strangers.update,
    "merge": strangers.merge,
    "checkpoint": strangers.checkpoint,
    "vacuum": strangers.vacuum,
    "log clean-up": strangers.clean_up,
    "log cut off": strangers.clean_log,
    "new property": strangers.add_property,
    "new column": strangers.add_column,
}
REFUSED = {
    "overwrite": (strangers.overwrite, Reason.STREAM_FOREIGN_CHANGE),
    "restore": (strangers.restore, Reason.STREAM_RESTORED),
    "constraint": (strangers.add_constraint, Reason.STREAM_FOREIGN_CHANGE),
    "feature": (strangers.add_feature, Reason.STREAM_FOREIGN_CHANGE),
    "properties": (strangers.strip_properties, Reason.STREAM_FOREIGN_CHANGE),
    "append only": (strangers.make_append_only, Reason.STREAM_FOREIGN_CHANGE),
    "our transaction id": (strangers.take_our_txn, Reason.STREAM_FOREIGN_CHANGE),
    "another table id": (strangers.change_table_id, Reason.STREAM_FOREIGN_CHANGE),
}
HEALED = ("overwrite", "restore", "properties", "append only", "our transaction id")
built_on = pytest.mark.parametrize("act", BUILT_ON.values(), ids=BUILT_ON)
KEEPS_COLUMNS = {name: act for name, act in BUILT_ON.items() if name != "new column"}
keeps_columns = pytest.mark.parametrize("act", KEEPS_COLUMNS.values(), ids=KEEPS_COLUMNS)
refused = pytest.mark.parametrize(("act", "reason"), REFUSED.values(), ids=REFUSED)


@keeps_columns
def test_a_replace_leaves_no_stale_row_whatever_was_done_before_its_commit(
    act: Act, writer: TableWriter
):
    head = writer.head()
    draft = writer.draft(head, number_rows([500, 501]), kind="replace")
    let_in(writer, act)

    committed = writer.commit(head, draft)

    assert not committed.already
    assert ids(writer) == [500, 501]
    assert writer.head().trouble is None


def test_a_replace_does_not_write_a_strangers_column_away(writer: TableWriter):
    head = writer.head()
    draft = writer.draft(head, number_rows([500, 501]), kind="replace")
    let_in(writer, strangers.add_column)
    before = writer.head()

    with pytest.raises(TemporaryFailure) as told:
        writer.commit(head, draft)

    assert told.value.reason is Reason.OVERTAKEN
    assert writer.head().version == before.version
    assert writer.head().schema == before.schema


@built_on
def test_an_append_keeps_what_was_done_before_its_commit(act: Act, writer: TableWriter):
    head = writer.head()
    draft = writer.draft(head, number_rows([500]))
    let_in(writer, act)
    between = ids(writer)

    writer.commit(head, draft)

    assert ids(writer) == sorted([*between, 500])


@built_on
def test_the_next_run_goes_on_after_it(act: Act, writer: TableWriter):
    let_in(writer, act)
    between = ids(writer)

    committed = writer.add(number_rows([500]))

    assert committed.seq == 4
    assert ids(writer) == sorted([*between, 500])


@refused
def test_a_commit_is_refused_and_changes_nothing_when_the_table_is_not_ours_any_more(
    act: Act, reason: Reason, writer: TableWriter
):
    head = writer.head()
    draft = writer.draft(head, number_rows([500]), kind="replace")
    let_in(writer, act)
    between, version = ids(writer), table(writer).version()

    with pytest.raises(StreamError) as caught:
        writer.commit(head, draft)

    assert caught.value.reason == reason
    assert (ids(writer), table(writer).version()) == (between, version)


@refused
def test_the_next_run_is_refused_too(act: Act, reason: Reason, writer: TableWriter):
    let_in(writer, act)
    unit = Unit(dataset="orders", object="public.orders")

    with pytest.raises(StreamError) as caught:
        admit(writer.head(), unit, IDENTITY)

    assert caught.value.reason == reason


@pytest.mark.parametrize("act", [REFUSED[name][0] for name in HEALED], ids=HEALED)
def test_a_reset_heals_it(act: Act, writer: TableWriter):
    let_in(writer, act)
    unit = Unit(dataset="orders", object="public.orders", epoch=1)
    head = writer.head()
    admission = admit(head, unit, IDENTITY)

    writer.commit(head, writer.draft(head, number_rows([7]), kind=admission.kind, epoch=1))

    assert admission.kind == "reset"
    assert ids(writer) == [7]
    assert writer.head().trouble is None
    assert admit(writer.head(), unit, IDENTITY).kind == "replace"


def test_columns_that_moved_while_ours_move_too_mean_another_try(writer: TableWriter):
    head = writer.head()
    rows = number_rows([500]).append_column("ours", pa.array([1.5]))
    draft = writer.draft(head, rows)
    let_in(writer, strangers.add_column)

    with pytest.raises(TemporaryFailure) as caught:
        writer.commit(head, draft)

    assert caught.value.exit_code == 75


def test_a_stranger_in_every_gap_does_not_stop_a_replace(writer: TableWriter):
    names = ("append", "compaction", "delete", "append", "compaction")
    acts = [BUILT_ON[name] for name in names]

    def stranger(point: str) -> None:
        if point == "commit_sent" and acts:
            let_in(writer, acts.pop())

    head = writer.head()
    draft = writer.draft(head, number_rows([500]), kind="replace")

    committed = writer.commit(head, draft, hooks=Hooks(stranger, wait_never))

    assert acts == []
    assert committed.version == table(writer).version()
    assert ids(writer) == [500]


def test_a_table_of_a_stranger_is_never_taken_over(tmp_path: Path):
    writer = TableWriter(open_folder(tmp_path / "lake"))
    deltalake.write_deltalake(f"{writer.store.uri}/{table_prefix(STREAM)}", number_rows([1]))
    head = writer.head()
    unit = Unit(dataset="orders", object="public.orders", epoch=1)

    with pytest.raises(StreamError) as caught:
        admit(head, unit, IDENTITY)

    assert caught.value.reason == Reason.STREAM_FOREIGN_CHANGE
    assert NUMBERS.names == ["id", "name"]
