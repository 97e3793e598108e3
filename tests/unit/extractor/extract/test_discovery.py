"""What is proposed for what a catalogue shows."""

from collections.abc import Iterable
from typing import Any, Literal

import pyarrow as pa
import pytest

from dpp_core.spec.dataset import DatasetSpec
from dpp_extractor.batch import FoundColumn, FoundObject
from dpp_extractor.extract.database.discovery import (
    Proposal,
    choose,
    find_cursors,
    propose,
)
from dpp_extractor.extract.database.selection import Selection

INSTANT = pa.timestamp("us", "UTC")


def column(
    name: str, arrow_type: pa.DataType = INSTANT, *, nullable: bool = False, is_indexed: bool = True
) -> FoundColumn:
    indexes = (f"by_{name}",) if is_indexed else ()
    return FoundColumn(name, str(arrow_type), arrow_type, nullable, indexes)


def table(name: str, *columns: FoundColumn, key: tuple[str, ...] = ("id",)) -> FoundObject:
    return found(name, "table", (column("id", pa.int64()), *columns), key)


def found(
    name: str,
    kind: Literal["table", "view", "part"],
    columns: tuple[FoundColumn, ...] = (),
    key: tuple[str, ...] = (),
    grant: str = "",
) -> FoundObject:
    full_name = name if "." in name else f"public.{name}"
    return FoundObject(name, full_name, kind, columns, key, grant=grant)


def entries(proposals: Iterable[Proposal]) -> list[dict[str, Any] | None]:
    return [each.entry for each in proposals]


@pytest.mark.parametrize(
    "name",
    [
        *("updated_at", "updatedAt", "LASTUPDATE", "last_update", "LastModified"),
        *("modified_on", "ChangeDate", "geaendert_am", "AEDAT"),
    ],
)
def test_an_instant_that_is_named_for_change_is_a_cursor(name: str):
    assert [each.name for each in find_cursors([column(name)])] == [name]


@pytest.mark.parametrize(
    "name", ["created_at", "due", "birthday", "modest_since", "updates_left_x"]
)
def test_other_instants_are_none(name: str):
    assert find_cursors([column(name)]) == ()


def test_a_text_named_for_change_is_none():
    assert find_cursors([column("updated_at", pa.string())]) == ()


def test_a_row_version_is_a_cursor():
    assert [each.name for each in find_cursors([column("RowVersion", pa.int64())])] == [
        "RowVersion"
    ]


def test_the_column_with_the_fewest_doubts_comes_first():
    cursors = find_cursors(
        [
            column("change_date", pa.date32()),
            column("modified", nullable=True),
            column("updated", is_indexed=False),
            column("touched"),
        ]
    )

    assert [each.name for each in cursors] == ["touched", "updated", "modified", "change_date"]
    assert [len(each.doubts) for each in cursors] == [0, 1, 1, 1]
    assert "no index" in cursors[1].doubts[0]
    assert "NULL" in cursors[2].doubts[0]
    assert [each.indexes for each in cursors] == [
        ("by_touched",),
        (),
        ("by_modified",),
        ("by_change_date",),
    ]


def test_names_are_valid_and_given_once():
    proposals = propose(
        [
            table("Sales.OrderLines"),
            table("sales.order_lines"),
            table("ORDERS"),
            table("Ünï", key=()),
        ]
    )

    names = [each.dataset for each in proposals]
    assert names == ["sales_order_lines", "sales_order_lines_2", "orders", "n"]
    for dataset in entries(proposals):
        DatasetSpec.model_validate(dataset)


def test_a_table_without_a_key_is_read_in_full_and_says_so():
    (proposal,) = propose([table("orders", column("updated_at"), key=())])

    assert proposal.entry == {"name": "orders"}
    assert "no unique key" in proposal.note


def test_a_table_that_tells_inserts_only_is_read_in_full_and_names_the_column():
    (proposal,) = propose([table("orders", column("created_at"))])

    assert proposal.entry == {"name": "orders", "key": ["id"]}
    assert "'created_at' tells inserts only" in proposal.note


def test_what_cannot_be_read_is_shown_with_its_grant_and_left_out():
    (proposal,) = propose([found("secret", "table", grant="GRANT SELECT ON secret TO reader;")])

    assert proposal.entry is None
    assert "GRANT SELECT ON secret" in proposal.note


@pytest.mark.parametrize("name", ["a\nb", "x" * 300], ids=["two lines", "too long"])
def test_what_no_resource_can_name_is_shown_and_left_out(name: str):
    (proposal,) = propose([table(name)])

    assert proposal.entry is None
    assert "cannot be written in a resource: object" in proposal.note


def test_names_that_are_taken_are_not_given_again():
    assert entries(propose([table("orders")], taken=["orders"])) == [
        {"name": "orders_2", "object": "orders", "key": ["id"]}
    ]


@pytest.mark.parametrize(
    ("forms", "chosen"),
    [
        ((), ["orders", "sales.lines", "sales.tmp_1"]),
        (("sales.*",), ["sales.lines", "sales.tmp_1"]),
        (("sales.*", "!*.tmp_*"), ["sales.lines"]),
        (("!sales.*",), ["orders"]),
        (("public.*",), ["orders"]),
        (("ord*", "v"), ["orders", "v"]),
        (("public.v",), ["v"]),
        (("SALES.*",), []),
    ],
    ids=" ".join,
)
def test_a_selection_stands_for_tables_and_for_views_that_it_names(
    forms: tuple[str, ...], chosen: list[str]
):
    there = [
        table("orders"),
        table("sales.lines"),
        table("sales.tmp_1"),
        found("v", "view"),
        found("orders_2026", "part"),
    ]

    assert [each.object for each in choose(there, Selection(forms))] == chosen


def test_a_form_that_fits_nothing_is_named():
    selection = Selection(("orders", "sale.*", "!nothing"))

    assert selection.list_idle([table("orders")]) == ("sale.*",)
