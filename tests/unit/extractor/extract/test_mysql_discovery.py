"""What MySQL's catalogue rows come to without a server: keys, indexes that serve a window, guesses."""

import pytest

from dpp_extractor.batch import FoundObject
from dpp_extractor.extract.database.mysql.connect import Cells
from dpp_extractor.extract.database.mysql.discover import build_object, list_indexes
from dpp_extractor.extract.database.mysql.estimate import multiply

COLUMNS: list[Cells] = [
    ("t", "id", "int", "int(11)", "NO", "select", "10", "0", None, None),
    ("t", "at", "timestamp", "timestamp(6)", "NO", "select", None, None, "6", None),
    ("t", "note", "varchar", "varchar(9)", "YES", "select", None, None, None, "utf8mb4"),
]
INDEXES: list[Cells] = [
    ("t", "a_note", "note", "YES", "0", "BTREE"),
    ("t", "at_first", "at", "", "1", "BTREE"),
    ("t", "at_first", "id", "", "1", "BTREE"),
    ("t", "at_hash", "at", "", "1", "HASH"),
    ("t", "at_second", "id", "", "1", "BTREE"),
    ("t", "at_second", "at", "", "1", "BTREE"),
    ("t", "expression", None, "", "0", "BTREE"),
    ("t", "wide", "id", "", "0", "BTREE"),
    ("t", "wide", "at", "", "0", "BTREE"),
]
PRIMARY: Cells = ("t", "PRIMARY", "id", "", "0", "BTREE")


def build(indexes: list[Cells], kind: str = "BASE TABLE", engine: str = "InnoDB") -> FoundObject:
    row = ("erp", "t", kind, engine, "7", "16384")
    return build_object(row, "t", COLUMNS, list_indexes(indexes), "")


def test_an_object_has_its_columns_with_the_indexes_that_begin_with_them() -> None:
    found = build([*INDEXES, PRIMARY])

    assert (found.object, found.full_name, found.kind) == ("t", "erp.t", "table")
    assert (found.rows, found.size_bytes) == (7, 16384)
    assert {each.name: each.indexes for each in found.columns} == {
        "id": ("PRIMARY", "at_second", "wide"),
        "at": ("at_first",),
        "note": ("a_note",),
    }


@pytest.mark.parametrize(
    ("indexes", "engine", "key"),
    [
        ([*INDEXES, PRIMARY], "InnoDB", ("id",)),
        (INDEXES, "InnoDB", ("id", "at")),
        (INDEXES[:1], "InnoDB", ()),
        (INDEXES[6:7], "InnoDB", ()),
        ([PRIMARY], "CONNECT", ()),
    ],
    ids=["primary", "unique", "with NULLs", "an expression", "an engine that holds no key"],
)
def test_a_key_is_what_the_server_itself_keeps_unique_and_filled(
    indexes: list[Cells], engine: str, key: tuple[str, ...]
) -> None:
    assert build(indexes, engine=engine).key == key


def test_a_view_has_neither_key_nor_size() -> None:
    found = build_object(("erp", "t", "VIEW", None, None, None), "t", COLUMNS, [], "")
    assert (found.kind, found.key, found.rows, found.size_bytes) == ("view", (), None, None)


@pytest.mark.parametrize(
    ("lines", "rows"),
    [
        ([{"id": "1", "rows": "1000", "filtered": "100.00"}], 1000),
        ([{"id": "1", "rows": "1000", "filtered": "12.50"}], 125),
        (
            [
                {"id": "1", "rows": "100", "filtered": "50.00"},
                {"id": "1", "rows": "3", "filtered": "100.00"},
                {"id": "2", "rows": "9999", "filtered": "100.00"},
            ],
            150,
        ),
        ([{"id": "1", "rows": None, "filtered": None}], 0),
        ([{"id": None, "rows": "5", "filtered": "100.00"}], None),
    ],
    ids=["a table", "a share of it", "two joined", "nothing can come", "nothing told"],
)
def test_a_guess_is_what_the_outermost_tables_give_together(
    lines: list[dict[str, str | None]], rows: int | None
) -> None:
    assert multiply(lines) == rows
