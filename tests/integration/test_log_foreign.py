"""Strangers at our table: what another writer does between head and commit, or before the next run."""

from collections.abc import Callable
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable

from dpp_core.errors import StreamError, TemporaryFailure
from dpp_core.handover import Unit
from dpp_core.names import Reason
from dpp_extractor.adapters.folder import open_folder
from dpp_extractor.publish.admit import admit
from dpp_extractor.publish.hooks import Hooks, wait_never
from dpp_extractor.publish.keys import table_prefix
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


def append(writer: TableWriter) -> None:
    deltalake.write_deltalake(table(writer), number_rows([900]), mode="append")


def compact(writer: TableWriter) -> None:
    table(writer).optimize.compact()


def delete(writer: TableWriter) -> None:
    table(writer).delete("id < 5")


def delete_and_compact(writer: TableWriter) -> None:
    delete(writer)
    compact(writer)


def checkpoint(writer: TableWriter) -> None:
    table(writer).create_checkpoint()


def vacuum(writer: TableWriter) -> None:
    table(writer).vacuum(retention_hours=24 * 7, dry_run=False)


def add_column(writer: TableWriter) -> None:
    wider = number_rows([901]).append_column("extra", pa.array(["x"]))
    deltalake.write_deltalake(table(writer), wider, mode="append", schema_mode="merge")


def overwrite(writer: TableWriter) -> None:
    deltalake.write_deltalake(table(writer), number_rows([900]), mode="overwrite")


def restore(writer: TableWriter) -> None:
    table(writer).restore(0)


def add_constraint(writer: TableWriter) -> None:
    table(writer).alter.add_constraint({"positive": "id >= 0"})


def strip_properties(writer: TableWriter) -> None:
    table(writer).alter.set_table_properties({"delta.logRetentionDuration": "interval 1 days"})


def take_our_txn(writer: TableWriter) -> None:
    deltalake.write_deltalake(
        table(writer),
        number_rows([900]),
        mode="append",
        commit_properties=CommitProperties(app_transactions=[deltalake.Transaction("dpp", 99)]),
    )


BUILT_ON = {
    "append": append,
    "compaction": compact,
    "delete": delete,
    "delete and compaction": delete_and_compact,
    "checkpoint": checkpoint,
    "vacuum": vacuum,
    "new column": add_column,
}
REFUSED = {
    "overwrite": (overwrite, Reason.STREAM_FOREIGN_CHANGE),
    "restore": (restore, Reason.STREAM_RESTORED),
    "constraint": (add_constraint, Reason.STREAM_FOREIGN_CHANGE),
    "properties": (strip_properties, Reason.STREAM_FOREIGN_CHANGE),
    "our transaction id": (take_our_txn, Reason.STREAM_FOREIGN_CHANGE),
}
built_on = pytest.mark.parametrize("act", BUILT_ON.values(), ids=BUILT_ON)
refused = pytest.mark.parametrize(("act", "reason"), REFUSED.values(), ids=REFUSED)


@built_on
def test_a_replace_leaves_no_stale_row_whatever_was_done_before_its_commit(
    act: Callable[[TableWriter], None], writer: TableWriter
):
    head = writer.head()
    draft = writer.draft(head, number_rows([500, 501]), kind="replace")
    act(writer)

    committed = writer.commit(head, draft)

    assert not committed.already
    assert ids(writer) == [500, 501]
    assert writer.head().trouble is None


@built_on
def test_an_append_keeps_what_was_done_before_its_commit(
    act: Callable[[TableWriter], None], writer: TableWriter
):
    head = writer.head()
    draft = writer.draft(head, number_rows([500]))
    act(writer)
    between = ids(writer)

    writer.commit(head, draft)

    assert ids(writer) == sorted([*between, 500])


@built_on
def test_the_next_run_goes_on_after_it(act: Callable[[TableWriter], None], writer: TableWriter):
    act(writer)
    between = ids(writer)

    committed = writer.add(number_rows([500]))

    assert committed.seq == 4
    assert ids(writer) == sorted([*between, 500])


@refused
def test_a_commit_is_refused_and_changes_nothing_when_the_table_is_not_ours_any_more(
    act: Callable[[TableWriter], None], reason: Reason, writer: TableWriter
):
    head = writer.head()
    draft = writer.draft(head, number_rows([500]), kind="replace")
    act(writer)
    between, version = ids(writer), table(writer).version()

    with pytest.raises(StreamError) as caught:
        writer.commit(head, draft)

    assert caught.value.reason == reason
    assert (ids(writer), table(writer).version()) == (between, version)


@refused
def test_the_next_run_is_refused_too(
    act: Callable[[TableWriter], None], reason: Reason, writer: TableWriter
):
    act(writer)
    unit = Unit(dataset="orders", object="public.orders")

    with pytest.raises(StreamError) as caught:
        admit(writer.head(), unit, IDENTITY)

    assert caught.value.reason == reason


@pytest.mark.parametrize("act", [overwrite, restore, strip_properties])
def test_a_reset_heals_it(act: Callable[[TableWriter], None], writer: TableWriter):
    act(writer)
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
    add_column(writer)

    with pytest.raises(TemporaryFailure) as caught:
        writer.commit(head, draft)

    assert caught.value.exit_code == 75


def test_a_stranger_in_every_gap_does_not_stop_a_replace(writer: TableWriter):
    acts = [append, compact, delete, append, compact]

    def stranger(point: str) -> None:
        if point == "commit_sent" and acts:
            acts.pop()(writer)

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
