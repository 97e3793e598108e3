"""MySQL rows without a server: cut off the wire, parsed a column at a time, bad values set aside."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpp_extractor.batch import SourceColumn
from dpp_extractor.extract.database.mysql.read import build_batch
from dpp_extractor.extract.database.mysql.stream import cut_row


def column(arrow_type: pa.DataType, name: str = "v") -> SourceColumn:
    return SourceColumn(name, "given", arrow_type)


def encoded(cells: list[bytes | None]) -> bytes:
    """Write a row as the protocol does."""
    parts = []
    for cell in cells:
        if cell is None:
            parts.append(b"\xfb")
        elif len(cell) < 251:
            parts.append(bytes([len(cell)]) + cell)
        elif len(cell) < 1 << 16:
            parts.append(b"\xfc" + len(cell).to_bytes(2, "little") + cell)
        elif len(cell) < 1 << 24:
            parts.append(b"\xfd" + len(cell).to_bytes(3, "little") + cell)
        else:
            parts.append(b"\xfe" + len(cell).to_bytes(8, "little") + cell)
    return b"".join(parts)


SIZES = [0, 1, 250, 251, 252, 65_535, 65_536, (1 << 24) - 1, 1 << 24]


@pytest.mark.parametrize("size", SIZES)
def test_a_cell_of_any_length_is_cut_where_it_ends(size: int) -> None:
    cells = [b"a", b"x" * size, None, b""]
    assert cut_row(encoded(cells), 4) == cells


@given(st.lists(st.none() | st.binary(max_size=600), max_size=12))
def test_rows_of_any_cells_are_cut_as_they_were_written(cells: list[bytes | None]) -> None:
    assert cut_row(encoded(cells), len(cells)) == cells


VALUES: list[tuple[pa.DataType, list[bytes], list[Any]]] = [
    (pa.int8(), [b"-128", b"127", b"005"], [-128, 127, 5]),
    (pa.int64(), [b"-9223372036854775808"], [-(2**63)]),
    (pa.decimal128(20, 0), [b"18446744073709551615"], [Decimal(2**64 - 1)]),
    (pa.decimal128(12, 2), [b"-0.01", b"000012.30"], [Decimal("-0.01"), Decimal("12.30")]),
    (pa.float64(), [b"1e20", b"-0", b"5e-324"], [1e20, -0.0, 5e-324]),
    (pa.float32(), [b"0.10000000149011612"], [0.10000000149011612]),
    (pa.bool_(), [b"0", b"1"], [False, True]),
    (pa.date32(), [b"0001-01-01", b"9999-12-31"], [date(1, 1, 1), date(9999, 12, 31)]),
    (
        pa.timestamp("us"),
        [b"0001-01-01 00:00:00", b"9999-12-31 23:59:59.999999", b"2026-01-02 03:04:05.5"],
        [
            datetime(1, 1, 1),
            datetime(9999, 12, 31, 23, 59, 59, 999_999),
            datetime(2026, 1, 2, 3, 4, 5, 500_000),
        ],
    ),
    (
        pa.timestamp("us", "UTC"),
        [b"2026-03-29 01:30:00.000001"],
        [datetime(2026, 3, 29, 1, 30, 0, 1, UTC)],
    ),
    (pa.string(), ["Łódź\0\\N".encode(), b""], ["Łódź\0\\N", ""]),
    (pa.binary(), [b"\x00\xff", b""], [b"\x00\xff", b""]),
]


@pytest.mark.parametrize(
    ("arrow_type", "cells", "expected"), VALUES, ids=[str(case[0]) for case in VALUES]
)
def test_texts_become_exact_values(
    arrow_type: pa.DataType, cells: list[bytes], expected: list[Any]
) -> None:
    raw = build_batch([[cell] for cell in [None, *cells]], [column(arrow_type)])

    assert raw.rejected == ()
    assert raw.rows.column(0).to_pylist() == [None, *expected]
    assert raw.rows.schema.field(0).type == arrow_type


REFUSED = [
    (pa.date32(), b"0000-00-00"),
    (pa.date32(), b"2026-00-15"),
    (pa.date32(), b"2026-02-30"),
    (pa.date32(), b"0000-05-01"),
    (pa.timestamp("us"), b"0000-00-00 00:00:00"),
    (pa.timestamp("us", "UTC"), b"0000-00-00 00:00:00.000000"),
    (pa.timestamp("us"), b"2026-01-00 00:00:00"),
    (pa.string(), b"caf\xe9"),
    (pa.int8(), b"128"),
    (pa.decimal128(4, 2), b"100.00"),
]


@pytest.mark.parametrize(("arrow_type", "bad"), REFUSED, ids=[repr(case[1]) for case in REFUSED])
def test_a_value_that_does_not_fit_is_set_aside_with_its_whole_row(
    arrow_type: pa.DataType, bad: bytes
) -> None:
    columns = [column(pa.int64(), "id"), column(arrow_type), column(pa.binary(), "photo")]
    rows = [[str(n).encode(), bad if n in (3, 77) else None, b"\x00"] for n in range(1, 101)]

    raw = build_batch(rows, columns)

    assert raw.rows.column("id").to_pylist() == [n for n in range(1, 101) if n not in (3, 77)]
    assert [(row.rule, row.column, row.values["id"]) for row in raw.rejected] == [
        ("type", "v", "3"),
        ("type", "v", "77"),
    ]
    shown = bad.decode("utf-8", "backslashreplace")
    assert raw.rejected[0].values == {"id": "3", "v": shown, "photo": "00"}
    assert shown not in raw.rejected[0].detail
    assert raw.nulled == {}


def test_two_bad_cells_of_a_row_make_one_rejected_row() -> None:
    columns = [column(pa.date32(), "a"), column(pa.date32(), "b")]

    raw = build_batch([[b"0000-00-00", b"0000-00-00"], [b"2026-01-01", b"2026-01-01"]], columns)

    assert [row.column for row in raw.rejected] == ["a"]
    assert raw.rows.num_rows == 1


@pytest.mark.parametrize(("arrow_type", "bad"), REFUSED, ids=[repr(case[1]) for case in REFUSED])
def test_with_set_null_the_row_stays_and_the_value_is_counted(
    arrow_type: pa.DataType, bad: bytes
) -> None:
    columns = [column(pa.int64(), "id"), replace(column(arrow_type), unfit="SetNull")]

    raw = build_batch([[b"1", bad], [b"2", None], [b"3", bad]], columns)

    assert raw.rejected == ()
    assert raw.rows.to_pylist() == [{"id": n, "v": None} for n in (1, 2, 3)]
    assert raw.nulled == {"v": 2}


def test_a_value_of_a_row_that_leaves_for_another_is_not_counted_as_null() -> None:
    nulled = replace(column(pa.date32(), "a"), unfit="SetNull")
    failing = replace(column(pa.date32(), "b"), unfit="Fail")
    bad, good = b"0000-00-00", b"2026-01-01"

    raw = build_batch([[bad, bad], [bad, good]], [nulled, failing])

    assert [row.column for row in raw.rejected] == ["b"]
    assert raw.rows.to_pylist() == [{"a": None, "b": date(2026, 1, 1)}]
    assert raw.nulled == {"a": 1}


def test_a_column_that_shall_be_text_brings_the_servers_text_of_what_else_would_not_fit() -> None:
    texts = [b"0000-00-00 00:00:00", b"2026-02-30 01:02:03.000004"]

    raw = build_batch([[text] for text in texts], [column(pa.string())])

    assert raw.rejected == ()
    assert raw.rows.column(0).to_pylist() == [text.decode() for text in texts]
