"""Rows that break a rule leave the stream and are kept; tables that break a guard are blocked."""

import pyarrow as pa
import pytest

from dpp_core.errors import BlockedError
from dpp_core.names import Reason
from dpp_extractor.batch import Rejected, SourceColumn, SourceTable
from dpp_extractor.check.rules import (
    check_key,
    check_null_cursor,
    check_quarantine,
    check_rows,
    check_unfit,
)

BROKEN = Rejected({"total": "n/a"}, "type", "total", "DECIMAL(12,2): allowed is a finite number")


def test_rows_without_a_key_are_set_aside_with_rule_and_values() -> None:
    rows = pa.record_batch({"id": [1, None, 3], "line": [1, 2, None], "note": ["a", None, "c"]})

    checked = check_rows(rows, ("id", "line"))

    assert checked.good.to_pylist() == [{"id": 1, "line": 1, "note": "a"}]
    assert [(row.rule, row.column, row.values) for row in checked.rejected] == [
        ("not_null", "id", {"id": None, "line": "2", "note": None}),
        ("not_null", "line", {"id": "3", "line": None, "note": "c"}),
    ]


def test_a_row_with_two_null_keys_is_set_aside_once() -> None:
    rows = pa.record_batch({"a": pa.array([None], pa.int64()), "b": pa.array([None], pa.int64())})

    checked = check_rows(rows, ("a", "b"))

    assert len(checked.rejected) == 1 and checked.good.num_rows == 0


def test_rows_with_keys_pass_untouched() -> None:
    rows = pa.record_batch({"id": [1, 2]})

    assert check_rows(rows, ("id",)).good is rows


def _table(**columns: str) -> SourceTable:
    made = [
        SourceColumn(name, "date", pa.date32(), unfit=unfit)  # type: ignore[arg-type]
        for name, unfit in columns.items()
    ]
    return SourceTable("t", tuple(made), key=("no", "line"))


def test_a_column_of_the_word_fail_blocks_and_names_the_row_by_its_key_only() -> None:
    rejected = Rejected({"no": "7", "line": "2", "paid": "1 BC"}, "type", "paid", "date: 1 to 9999")

    with pytest.raises(BlockedError) as caught:
        check_unfit("orders", _table(due="Quarantine", paid="Fail"), [BROKEN, rejected])

    error = caught.value
    assert (error.exit_code, error.reason) == (24, Reason.VALUE_UNREPRESENTABLE)
    assert "paid in orders" in str(error)
    assert "no=7, line=2" in str(error)
    assert "1 BC" not in str(error)


def test_other_words_block_nothing() -> None:
    check_unfit("orders", _table(total="Quarantine", paid="Fail"), [BROKEN])


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda: check_key("d", ("id",), ("id=7 occurs twice",)), Reason.KEY_NOT_UNIQUE),
        (lambda: check_quarantine("d", [BROKEN] * 1_001, 0), Reason.QUARANTINE_FULL),
        (lambda: check_quarantine("d", [BROKEN], 10_000_001), Reason.QUARANTINE_FULL),
        (lambda: check_null_cursor("d", "updated_at", 3, None), Reason.CURSOR_HAS_NULLS),
    ],
    ids=["duplicate key", "too many rows", "too many bytes", "null cursors"],
)
def test_a_guard_blocks_with_its_reason_and_exit_24(broken: object, reason: Reason) -> None:
    with pytest.raises(BlockedError) as caught:
        broken()  # type: ignore[operator]

    assert (caught.value.reason, caught.value.exit_code) == (reason, 24)
    assert caught.value.fix


def test_guards_let_through_what_is_allowed() -> None:
    check_key("d", ("id",), ())
    check_quarantine("d", [BROKEN] * 1_000, 10_000_000)
    check_null_cursor("d", "updated_at", 3, "Exclude")
    check_null_cursor("d", "updated_at", 0, None)


def test_a_full_quarantine_says_which_columns_and_why_but_no_value() -> None:
    with pytest.raises(BlockedError) as caught:
        check_quarantine("orders", [BROKEN] * 1_001, 0)

    assert "1,001 by total" in caught.value.message
    assert "allowed is a finite number" in caught.value.message
    assert "n/a" not in str(caught.value)
