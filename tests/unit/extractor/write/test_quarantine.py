"""Rejected rows as JSON lines: one a row, under the table's names, whatever the cells hold."""

import json

import pytest

from dpp_extractor.batch import Rejected
from dpp_extractor.write.quarantine import build_quarantine, keep_under_table_names

ROW = Rejected({"Größe": "ü", "id": None}, "not_null", "id", "a key column is NULL")


def test_a_row_is_one_line_with_rule_column_reason_and_values() -> None:
    body = build_quarantine([ROW, ROW])

    first, second = body.decode().splitlines()
    assert first == second
    assert json.loads(first) == {
        "rule": "not_null",
        "column": "id",
        "detail": "a key column is NULL",
        "values": {"Größe": "ü", "id": None},
    }


def test_no_row_is_no_byte() -> None:
    assert build_quarantine([]) == b""


@pytest.mark.parametrize("cell", ["two\nlines", "\x00", '"', "\u2028", "\\", ""])
def test_no_cell_can_break_out_of_its_line(cell: str) -> None:
    row = Rejected({"id": cell}, "type", "id", "wrong")

    body = build_quarantine([row, ROW])

    lines = body.decode().split("\n")
    assert len(lines) == 3
    assert json.loads(lines[0])["values"] == {"id": cell}


def test_a_cell_that_is_no_unicode_is_written_as_its_escape() -> None:
    row = Rejected({"id": "M\udcfcller"}, "type", "id", "not UTF-8")

    body = build_quarantine([row])

    assert b'"M\\udcfcller"' in body
    assert json.loads(body)["values"] == row.values


def test_rows_rejected_while_reading_take_the_tables_names() -> None:
    (row,) = keep_under_table_names([ROW], {"Größe": "groesse"})

    assert row.values == {"groesse": "ü", "id": None}
    assert row.column == "id"


def test_a_column_is_renamed_where_the_rule_names_it_too() -> None:
    broken = Rejected({"Größe": "ü"}, "type", "Größe", "wrong")

    (row,) = keep_under_table_names([broken], {"Größe": "groesse"})

    assert row.column == "groesse"
