"""Values that do not fit: which word holds for which column, and which row leaves for which."""

import pyarrow as pa
import pytest

from dpp_core.handover import Incremental, Unit, Values
from dpp_core.names import Unfit
from dpp_extractor.batch import SourceColumn
from dpp_extractor.extract.database.unfit import choose_dropped, count_nulled, settle_unfit

STAMP = pa.timestamp("us")
COLUMNS = (
    SourceColumn("id", "date", pa.date32()),
    SourceColumn("at", "timestamp", STAMP),
    SourceColumn("total", "numeric(4,2)", pa.decimal128(4, 2)),
    SourceColumn("note", "text", pa.string()),
    SourceColumn("image", "blob", pa.binary()),
    SourceColumn("count", "integer", pa.int32(), may_be_unfit=False),
)


def settle(unfit: Unfit, **columns: Unfit) -> dict[str, tuple[pa.DataType, Unfit]]:
    unit = Unit(
        dataset="t",
        object="t",
        key=("id",),
        incremental=Incremental(cursor="at"),
        values=Values(unfit=unfit, columns=columns),
    )
    return {c.name: (c.arrow_type, c.unfit) for c in settle_unfit(unit, COLUMNS)}


def test_without_a_word_every_row_with_such_a_value_is_quarantined() -> None:
    assert settle_unfit(Unit(dataset="t", object="t"), COLUMNS) == COLUMNS


@pytest.mark.parametrize("unfit", ["Fail", "SetNull"])
def test_the_datasets_word_holds_but_where_every_value_fits(unfit: Unfit) -> None:
    settled = settle(unfit)
    assert settled["total"] == (pa.decimal128(4, 2), unfit)
    assert settled["note"] == (pa.string(), unfit)
    assert settled["count"] == (pa.int32(), "Quarantine")


def test_a_columns_word_goes_before_the_datasets() -> None:
    assert settle("SetNull", total="Fail", note="Quarantine") == {
        **settle("SetNull"),
        "total": (pa.decimal128(4, 2), "Fail"),
        "note": (pa.string(), "Quarantine"),
    }


def test_text_makes_text_of_what_has_another_type_and_not_of_bytes_or_whole_numbers() -> None:
    settled = settle("Text")
    assert {name: kind for name, (kind, _) in settled.items()} == {
        "id": pa.string(),
        "at": STAMP,
        "total": pa.string(),
        "note": pa.string(),
        "image": pa.binary(),
        "count": pa.int32(),
    }
    assert {unfit for _, unfit in settled.values()} == {"Quarantine"}


def test_a_column_that_became_text_says_so() -> None:
    unit = Unit(dataset="t", object="t", values=Values(unfit="Text"))
    words = {c.name: (c.fidelity, c.source_type) for c in settle_unfit(unit, COLUMNS)}
    assert words["total"] == ("text", "numeric(4,2)")
    assert words["count"] == ("exact", "integer")


def test_a_key_is_never_set_to_null_and_a_cursor_keeps_its_form() -> None:
    settled = settle("SetNull")
    assert (settled["id"], settled["at"]) == (
        (pa.date32(), "Quarantine"),
        (STAMP, "Quarantine"),
    )


def test_a_row_leaves_for_a_failing_column_first_and_never_for_one_that_becomes_null() -> None:
    words: tuple[Unfit, ...] = ("SetNull", "Quarantine", "Fail")
    columns = [SourceColumn(str(n), "date", pa.date32(), unfit=w) for n, w in enumerate(words)]
    refused = {0: [1, 2, 3], 1: [2, 4], 2: [2]}

    dropped = choose_dropped(refused, columns)

    assert dropped == {2: 2, 4: 1}
    assert count_nulled(refused, dropped, columns) == {"0": 2}
