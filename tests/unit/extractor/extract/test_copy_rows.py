"""Rows of COPY: blocks are parsed exactly, and only the rows that cannot be are given back."""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpp_core.errors import InternalError
from dpp_core.names import Unfit
from dpp_extractor.batch import SourceColumn
from dpp_extractor.extract.database.postgresql.read import parse_block, read_blocks

ID = SourceColumn("id", "integer", pa.int32())
TEXT = SourceColumn("v", "text", pa.string())


def of(arrow_type: pa.DataType, name: str = "v") -> SourceColumn:
    return SourceColumn(name, str(arrow_type), arrow_type)


def write_csv(row: Sequence[str | None]) -> bytes:
    """Write a row as the server's COPY does."""
    cells = []
    for cell in row:
        if cell is None:
            cells.append("")
        elif cell == "" or any(sign in cell for sign in ',"\r\n') or (cell == "\\." == row[0]):
            cells.append('"' + cell.replace('"', '""') + '"')
        else:
            cells.append(cell)
    return (",".join(cells) + "\n").encode()


TEXTS = st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=20))
def test_any_text_comes_back_as_it_was(rows: list[tuple[str | None, str | None]]) -> None:
    batch = parse_block([write_csv(row) for row in rows], [of(pa.string(), "a"), of(pa.string())])
    assert batch.rejected == ()
    assert [tuple(row.values()) for row in batch.rows.to_pylist()] == rows


@given(st.lists(st.none() | st.binary(max_size=40), min_size=1, max_size=20))
def test_any_bytes_come_back_as_they_were(values: list[bytes | None]) -> None:
    rows = [write_csv([None if value is None else value.hex()]) for value in values]
    assert parse_block(rows, [of(pa.binary())]).rows.column(0).to_pylist() == values


@pytest.mark.parametrize(
    ("arrow_type", "bad"),
    [
        (pa.timestamp("us", "UTC"), "infinity"),
        (pa.timestamp("us"), "0044-03-15 00:00:00 BC"),
        (pa.date32(), "10000-01-01"),
        (pa.decimal128(10, 2), "NaN"),
        (pa.decimal128(4, 2), "12345.00"),
        (pa.int16(), "32768"),
        (pa.bool_(), "maybe"),
    ],
    ids=str,
)
@pytest.mark.parametrize("places", [[0], [4], [1, 2, 3], [0, 1, 2, 3, 4]], ids=str)
def test_a_bad_value_takes_only_its_own_row(
    arrow_type: pa.DataType, bad: str, places: list[int]
) -> None:
    rows = [write_csv([str(n), bad if n in places else None]) for n in range(5)]
    batch = parse_block(rows, [ID, of(arrow_type)])
    assert batch.rows.column("id").to_pylist() == [n for n in range(5) if n not in places]
    assert [row.values for row in batch.rejected] == [{"id": str(n), "v": bad} for n in places]
    assert {row.column for row in batch.rejected} == {"v"}
    assert all(bad not in row.detail for row in batch.rejected)


def test_text_that_is_not_utf8_is_rejected_and_shown_as_far_as_it_is() -> None:
    batch = parse_block([b"1,ok\n", b"2,M\xfcller\n", b"3,\xc3\xa4\n"], [ID, TEXT])
    assert batch.rows.to_pylist() == [{"id": 1, "v": "ok"}, {"id": 3, "v": "ä"}]
    assert [row.values for row in batch.rejected] == [{"id": "2", "v": "M\\xfcller"}]


def with_word(column: SourceColumn, unfit: Unfit) -> SourceColumn:
    return replace(column, unfit=unfit)


@pytest.mark.parametrize("places", [[0], [4], [1, 2, 3], [0, 1, 2, 3, 4]], ids=str)
@pytest.mark.parametrize(
    ("arrow_type", "bad", "good"),
    [
        (pa.timestamp("us", "UTC"), "infinity", "2026-01-01 00:00:00+00"),
        (pa.date32(), "0044-03-15 BC", "2026-01-01"),
        (pa.decimal128(4, 2), "NaN", "1.50"),
        (pa.int16(), "32768", "7"),
    ],
    ids=str,
)
def test_with_set_null_the_value_alone_is_null_and_is_counted(
    arrow_type: pa.DataType, bad: str, good: str, places: list[int]
) -> None:
    rows = [write_csv([str(n), bad if n in places else good]) for n in range(5)]
    batch = parse_block(rows, [ID, with_word(of(arrow_type), "SetNull")])
    values = batch.rows.column("v")
    assert batch.rows.column("id").to_pylist() == [0, 1, 2, 3, 4]
    assert [n for n, value in enumerate(values.to_pylist()) if value is None] == places
    assert values.type == arrow_type
    assert (batch.rejected, batch.nulled) == ((), {"v": len(places)})


def test_of_two_bad_values_the_word_of_each_column_holds() -> None:
    columns = [
        ID,
        with_word(of(pa.date32(), "nulled"), "SetNull"),
        of(pa.date32(), "kept_aside"),
        with_word(of(pa.date32(), "failing"), "Fail"),
    ]
    rows = [
        b"1,infinity,2026-01-01,2026-01-01\n",
        b"2,infinity,infinity,2026-01-01\n",
        b"3,2026-01-01,infinity,infinity\n",
        b"4,2026-01-01,2026-01-01,2026-01-01\n",
    ]
    batch = parse_block(rows, columns)
    assert batch.rows.column("id").to_pylist() == [1, 4]
    assert batch.nulled == {"nulled": 1}
    assert [(row.values["id"], row.column) for row in batch.rejected] == [
        ("2", "kept_aside"),
        ("3", "failing"),
    ]


@given(st.lists(st.binary(max_size=8).filter(lambda value: b"\0" not in value), min_size=1))
def test_bytes_are_text_exactly_when_they_are_utf8(values: list[bytes]) -> None:
    rows = [b'%d,"%s"\n' % (n, value.replace(b'"', b'""')) for n, value in enumerate(values)]
    batch = parse_block(rows, [ID, with_word(TEXT, "SetNull")])
    decoded = [decode(value) for value in values]
    assert batch.rows.column("v").to_pylist() == decoded
    assert batch.nulled.get("v", 0) == decoded.count(None)


def decode(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def test_bytes_and_a_bad_value_in_one_block_go_together() -> None:
    columns = [ID, of(pa.binary(), "b"), of(pa.date32(), "d")]
    batch = parse_block([b"1,00ff,2026-01-01\n", b"2,aa,infinity\n", b"3,,\n"], columns)
    assert [row["b"] for row in batch.rows.to_pylist()] == [b"\x00\xff", None]
    assert batch.rejected[0].values == {"id": "2", "b": "aa", "d": "infinity"}


def test_a_row_that_is_not_understood_as_one_row_is_our_bug() -> None:
    with pytest.raises(InternalError):
        parse_block([b"1\n2\n"], [ID])


@given(st.lists(st.binary(min_size=1, max_size=30)), st.integers(1, 100))
def test_blocks_hold_every_row_once_and_end_when_full(rows: list[bytes], size: int) -> None:
    blocks = list(read_blocks(rows, size))
    assert [row for block in blocks for row in block] == rows
    assert all(sum(map(len, block[:-1])) < size for block in blocks)
