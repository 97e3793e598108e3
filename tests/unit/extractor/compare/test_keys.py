"""Two keys are one if and only if all their values are; of a key's rows the latest counts."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpp_extractor.compare.keys import (
    KEY,
    LIVE,
    drop_keyless,
    join_key,
    keep_latest,
    mark_live,
)

INSTANT = pa.timestamp("us", "UTC")
ORDER = ("_dpp_read_at", "_dpp_order")


def at(day: int) -> datetime:
    return datetime(2026, 1, day, tzinfo=UTC)


def batch(**columns: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def versions(*rows: tuple[Any, datetime | None, int | None, str | None]) -> pa.RecordBatch:
    """Give rows of a table: key, read_at, order, op."""
    keys, read, order, ops = zip(*rows, strict=True)
    return batch(
        id=pa.array(keys, pa.int64()),
        _dpp_op=pa.array(ops, pa.string()),
        _dpp_read_at=pa.array(read, INSTANT),
        _dpp_order=pa.array(order, pa.int64()),
    )


def living(*rows: tuple[Any, datetime | None, int | None, str | None]) -> list[int]:
    marked = pa.Table.from_batches([mark_live(versions(*rows), ("id",))])
    latest = keep_latest(marked, ("id",), ORDER)
    return sorted(latest.filter(latest.column(LIVE)).column("id").to_pylist())


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int16(), [-1, 0, 1, 10, 100, 32767]),
        (pa.int64(), [-(2**63), -1, 0, 1, 2**63 - 1]),
        (
            pa.decimal128(38, 20),
            [Decimal(0), Decimal("1E-20"), Decimal("-1E-20"), Decimal(10) ** 17],
        ),
        (pa.decimal128(12, 2), [Decimal("1.10"), Decimal("1.01"), Decimal("11.00")]),
        (
            pa.string(),
            ["", " ", "a", "A", "a ", "ä", "a\u0308", "ß", "ss", "\u200b", "1:a", "\x00"],
        ),
        (pa.binary(), [b"", b"\x00", b"\x00\x00", b"\xff\xfe", b":"]),
        (pa.bool_(), [True, False]),
        (pa.date32(), [date(1, 1, 1), date(1970, 1, 1), date(9999, 12, 31)]),
        (INSTANT, [at(1), at(1).replace(microsecond=1), datetime(1, 1, 1, tzinfo=UTC)]),
        (pa.timestamp("us"), [datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 0, 1)]),
        (pa.float64(), [0.1, 0.2, 0.1 + 0.2, 0.3, 1e300, float("inf"), float("nan")]),
    ],
    ids=str,
)
def test_different_values_are_different_keys(kind: pa.DataType, values: list[Any]) -> None:
    keys = join_key(batch(k=pa.array(values, kind)), ("k",)).to_pylist()
    again = join_key(batch(k=pa.array(values[::-1], kind)), ("k",)).to_pylist()

    assert len(set(keys)) == len(values)
    assert again == keys[::-1]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.float64(), [0.0, -0.0]),
        (pa.float32(), [0.0, -0.0]),
        (pa.float64(), [float("nan"), -float("nan")]),
    ],
    ids=["zeros", "short zeros", "nan"],
)
def test_what_readers_take_for_one_value_is_one_key(kind: pa.DataType, values: list[Any]) -> None:
    assert len(set(join_key(batch(k=pa.array(values, kind)), ("k",)).to_pylist())) == 1


@given(st.lists(st.tuples(st.text(alphabet="1:a ", max_size=4), st.text(max_size=3)), unique=True))
def test_no_part_of_a_key_is_taken_for_anothers_end(keys: list[tuple[str, str]]) -> None:
    first, second = ([key[place] for key in keys] for place in (0, 1))
    rows = batch(a=pa.array(first, pa.string()), b=pa.array(second, pa.string()))

    assert len(set(join_key(rows, ("a", "b")).to_pylist())) == len(keys)


def test_rows_without_a_whole_key_are_left_out() -> None:
    rows = batch(a=pa.array([1, None, 3]), b=pa.array(["x", "y", None]))

    assert drop_keyless(rows, ("a", "b")).to_pylist() == [{"a": 1, "b": "x"}]
    assert drop_keyless(rows.slice(0, 1), ("a", "b")).num_rows == 1


def test_the_latest_row_of_a_key_counts_wherever_it_stands() -> None:
    assert living((1, at(2), 0, "delete"), (1, at(1), 9, "read")) == []
    assert living((1, at(1), 9, "delete"), (1, at(2), 0, "read")) == [1]
    assert living((1, at(1), 1, "read"), (1, at(1), 2, "delete")) == []
    assert living((1, at(1), 0, "read"), (2, at(1), 1, "insert"), (3, at(1), 2, "update")) == [
        1,
        2,
        3,
    ]


def test_a_strangers_row_without_our_columns_is_older_than_any_of_ours_and_does_not_live() -> None:
    assert living((1, None, None, None), (2, at(1), 0, "read")) == [2]
    assert living((2, at(1), 0, "read"), (2, None, None, None)) == [2]
    assert living((2, at(1), 0, "delete"), (2, None, None, "read")) == []


def test_nothing_has_no_latest_row() -> None:
    empty = mark_live(versions((1, at(1), 0, "read")).slice(0, 0), ("id",))

    latest = keep_latest(pa.Table.from_batches([empty]), ("id",), ORDER)

    assert (latest.num_rows, KEY in latest.column_names) == (0, True)
