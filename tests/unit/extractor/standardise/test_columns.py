"""Names become snake_case, two that meet are refused, and every row carries when and in what order it was read."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from dpp_core.errors import SpecError
from dpp_core.handover import Unit
from dpp_extractor.batch import SourceColumn, SourceTable
from dpp_extractor.standardise.columns import (
    build_schema,
    plan_columns,
    standard_name,
    standardise_rows,
)

READ_AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("source_name", "expected"),
    [
        ("id", "id"),
        ("CustomerName", "customer_name"),
        ("customerID", "customer_id"),
        ("HTTPStatus", "http_status"),
        ("Straße Nr.", "strasse_nr"),
        ("Größe (cm)", "groesse_cm"),
        ("prix unitaire", "prix_unitaire"),
        ("Été", "ete"),
        ("1st choice", "c_1st_choice"),
        ("a,b;c{d}e(f)g=h\ti", "a_b_c_d_e_f_g_h_i"),
        ("数量", "数量"),
        ("__x__", "x"),
        ("!!", "column"),
    ],
)
def test_a_source_name_becomes_snake_case(source_name: str, expected: str) -> None:
    assert standard_name(source_name) == expected


def _table(*names: str) -> SourceTable:
    return SourceTable("t", tuple(SourceColumn(name, "integer", pa.int32()) for name in names))


def test_a_rename_wins_over_the_standard_name() -> None:
    unit = Unit(dataset="d", object="t", rename={"KdNr": "customer_number"})

    columns = plan_columns(_table("KdNr"), unit)

    assert [(column.name, column.source_name) for column in columns] == [
        ("customer_number", "KdNr")
    ]


@pytest.mark.parametrize(
    ("names", "rename", "said"),
    [
        (("Kd Nr", "kd_nr"), {}, "'Kd Nr' and 'kd_nr'"),
        (("a", "b"), {"b": "A"}, "would both become"),
        (("_dpp_op",), {}, "belong to DPP"),
        (("a",), {"a": "_dpp_x"}, "belong to DPP"),
        (("a",), {"z": "y"}, "columns.rename names 'z'"),
    ],
    ids=["meet", "meet but for case", "reserved", "renamed to reserved", "unknown"],
)
def test_names_that_cannot_be_are_refused_with_the_way_out(
    names: tuple[str, ...], rename: dict[str, str], said: str
) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        plan_columns(_table(*names), Unit(dataset="d", object="t", rename=rename))

    assert caught.value.field == "columns.rename"


def test_rows_carry_when_and_in_what_order_they_were_read() -> None:
    unit = Unit(dataset="d", object="t")
    columns = plan_columns(_table("Nr"), unit)
    schema = build_schema(columns)
    rows = pa.record_batch({"Nr": pa.array([7, None, 9], pa.int32())})

    result = standardise_rows(rows, columns, schema, READ_AT, first_order=5)

    assert result.to_pydict() == {
        "nr": [7, None, 9],
        "_dpp_op": ["read"] * 3,
        "_dpp_read_at": [READ_AT] * 3,
        "_dpp_order": [5, 6, 7],
    }


def test_the_original_name_and_type_stay_in_field_metadata() -> None:
    schema = build_schema(plan_columns(_table("Kd Nr"), Unit(dataset="d", object="t")))

    assert schema.field("kd_nr").metadata == {
        b"dpp.source_name": b"Kd Nr",
        b"dpp.source_type": b"integer",
        b"dpp.fidelity": b"exact",
    }


def test_a_column_that_left_the_source_is_null_and_a_wider_table_takes_the_rows() -> None:
    columns = plan_columns(_table("a"), Unit(dataset="d", object="t"))
    schema = pa.schema([pa.field("a", pa.int64()), pa.field("gone", pa.string())])
    rows = pa.record_batch({"a": pa.array([1], pa.int32())})

    result = standardise_rows(rows, columns, schema, READ_AT, first_order=0)

    assert result.to_pydict() == {"a": [1], "gone": [None]}
    assert result.schema.field("a").type == pa.int64()
