"""Delete rows: a key and nothing else, or a row that the source itself marks."""

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from dpp_core.errors import SpecError
from dpp_core.handover import Deletes, Unit
from dpp_extractor.batch import Column
from dpp_extractor.standardise.columns import build_schema, standardise_rows
from dpp_extractor.standardise.deletes import (
    build_deletes,
    count_deletes,
    mark_deleted,
    plan_mark,
)

READ_AT = datetime(2026, 3, 1, tzinfo=UTC)


def column(name: str, kind: pa.DataType) -> Column:
    return Column(name.lower(), kind, name, str(kind), "exact")


def unit(value: str | None, name: str = "Mark") -> Unit:
    deletes = Deletes(kind="SoftDeleteColumn", column=name, value=value)
    return Unit(dataset="d", object="t", key=("Id",), deletes=deletes)


def marked(kind: pa.DataType, cells: list[Any], value: str | None) -> list[str]:
    columns = (column("Id", pa.int64()), column("Mark", kind))
    raw = pa.RecordBatch.from_arrays(
        [pa.array(range(len(cells)), pa.int64()), pa.array(cells, kind)], names=["Id", "Mark"]
    )
    rows = standardise_rows(raw, columns, build_schema(columns), READ_AT, 0)
    done = mark_deleted(rows, plan_mark(unit(value), columns))
    assert done.schema == rows.schema
    assert done.drop_columns(["_dpp_op"]).equals(rows.drop_columns(["_dpp_op"]))
    assert count_deletes(done) == done.column("_dpp_op").to_pylist().count("delete")
    return [str(op) for op in done.column("_dpp_op").to_pylist()]


@pytest.mark.parametrize(
    ("kind", "cells", "value"),
    [
        (pa.bool_(), [True, False, None], "true"),
        (pa.int16(), [1, 0, None], "1"),
        (pa.decimal128(3, 1), [1, 0, None], "1"),
        (pa.string(), ["D", "d", None], "D"),
        (pa.string(), ["", " ", None], ""),
        (pa.date32(), [date(9999, 12, 31), date(2026, 1, 1), None], "9999-12-31"),
    ],
    ids=["boolean", "integer", "decimal", "text", "empty text", "date"],
)
def test_a_row_whose_mark_has_the_value_becomes_a_delete(
    kind: pa.DataType, cells: list[Any], value: str
) -> None:
    assert marked(kind, cells, value) == ["delete", "read", "read"]


def test_without_a_value_any_but_null_marks() -> None:
    assert marked(pa.timestamp("us"), [datetime(2026, 1, 1), None], None) == ["delete", "read"]


def test_a_value_that_is_none_of_the_columns_type_is_refused_with_its_field() -> None:
    with pytest.raises(SpecError, match="'yes' is no value of column 'Mark'") as caught:
        plan_mark(unit("yes"), (column("Mark", pa.int16()),))

    assert caught.value.field == "datasets[d].softDelete.value"


def test_a_mark_that_is_not_brought_is_refused_with_the_columns_there_are() -> None:
    with pytest.raises(SpecError, match="'Gone' is not among the columns") as caught:
        plan_mark(unit(None, "Gone"), (column("Mark", pa.int16()),))

    assert caught.value.fix == "They are: Mark."


def test_a_dataset_without_a_mark_is_left_as_it_is() -> None:
    plain = Unit(dataset="d", object="t")
    by_keys = Unit(dataset="d", object="t", deletes=Deletes(kind="KeyDiff"))

    assert (plan_mark(plain, ()), plan_mark(by_keys, ())) == (None, None)


def test_a_delete_row_has_its_key_the_commits_instant_and_numbers_that_go_on() -> None:
    columns = (column("Id", pa.int64()), column("Name", pa.string()))
    schema = build_schema(columns)
    keys = pa.RecordBatch.from_arrays([pa.array([7, 8], pa.int64())], names=["id"])

    first, second = build_deletes([keys, keys], schema, READ_AT, 40)

    assert first.schema.equals(schema, check_metadata=True)
    assert first.to_pylist()[1] == {
        "id": 8,
        "name": None,
        "_dpp_op": "delete",
        "_dpp_read_at": READ_AT,
        "_dpp_order": 41,
    }
    assert second.column("_dpp_order").to_pylist() == [42, 43]
    assert count_deletes(first) == 2
