"""What a changed source schema means: added and widened goes on, gone and narrowed waits for a person."""

import pyarrow as pa
import pytest

from dpp_extractor.standardise.columns import SYSTEM_FIELDS
from dpp_extractor.standardise.evolve import decide_schema, is_widening


def _schema(**types: pa.DataType) -> pa.Schema:
    return pa.schema([*(pa.field(name, kind) for name, kind in types.items()), *SYSTEM_FIELDS])


def test_a_first_run_takes_the_schema_as_planned() -> None:
    planned = _schema(id=pa.int64())

    plan = decide_schema("d", None, planned, replaces_all=False)

    assert plan.schema == planned and plan.is_changed and plan.block is None


def test_an_equal_schema_changes_nothing() -> None:
    plan = decide_schema("d", _schema(id=pa.int64()), _schema(id=pa.int64()), replaces_all=False)

    assert not plan.is_changed and plan.block is None


def test_a_new_column_is_added_before_the_system_columns() -> None:
    plan = decide_schema(
        "d", _schema(id=pa.int64()), _schema(id=pa.int64(), note=pa.string()), replaces_all=False
    )

    assert plan.added == ("note",)
    assert plan.schema.names == ["id", "note", "_dpp_op", "_dpp_read_at", "_dpp_order"]
    assert plan.block is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (pa.int16(), pa.int32(), True),
        (pa.int32(), pa.int64(), True),
        (pa.int64(), pa.int32(), False),
        (pa.float32(), pa.float64(), True),
        (pa.float64(), pa.float32(), False),
        (pa.decimal128(10, 2), pa.decimal128(12, 2), True),
        (pa.decimal128(10, 2), pa.decimal128(12, 3), False),
        (pa.decimal128(12, 2), pa.decimal128(10, 2), False),
        (pa.int32(), pa.float64(), False),
        (pa.date32(), pa.timestamp("us"), False),
        (pa.int64(), pa.string(), False),
    ],
    ids=lambda value: str(value),
)
def test_only_types_that_keep_every_value_in_place_widen(
    old: pa.DataType, new: pa.DataType, expected: bool
) -> None:
    assert is_widening(old, new) is expected


@pytest.mark.parametrize(
    ("planned", "said"),
    [
        (
            _schema(id=pa.int64(), full_name=pa.string()),
            r"name .* is gone \(renamed to full_name\?\)",
        ),
        (_schema(id=pa.int64()), "name .* is gone"),
        (_schema(id=pa.int32(), name=pa.string()), "id was int64 and is int32 now"),
        (_schema(id=pa.int64(), name=pa.int64()), "name was string and is int64 now"),
    ],
    ids=["renamed", "removed", "narrowed", "other type"],
)
def test_a_change_that_could_lose_something_is_blocked_with_the_way_out(
    planned: pa.Schema, said: str
) -> None:
    current = _schema(id=pa.int64(), name=pa.string())

    plan = decide_schema("customers", current, planned, replaces_all=False)

    assert plan.block is not None
    assert plan.block.exit_code == 25
    assert plan.block.fix
    pytest.raises(type(plan.block), _raise, plan.block).match(said)


def _raise(error: Exception) -> None:
    raise error


def test_after_approval_a_column_that_went_stays_in_an_append_table() -> None:
    plan = decide_schema(
        "d", _schema(id=pa.int64(), old=pa.string()), _schema(id=pa.int64()), replaces_all=False
    )

    assert "old" in plan.schema.names


def test_after_approval_a_replaced_table_takes_the_sources_schema() -> None:
    plan = decide_schema(
        "d", _schema(id=pa.int64(), old=pa.string()), _schema(id=pa.int64()), replaces_all=True
    )

    assert "old" not in plan.schema.names


def _held(fidelity: str, unfit: str = "") -> pa.Schema:
    words = {"dpp.fidelity": fidelity, **({"dpp.unfit": unfit} if unfit else {})}
    return pa.schema([pa.field("at", pa.timestamp("us"), metadata=words), *SYSTEM_FIELDS])


@pytest.mark.parametrize("replaces_all", [True, False])
def test_readers_are_told_when_values_are_held_otherwise_from_now_on(replaces_all: bool) -> None:
    planned = _held("exact", "SetNull")

    plan = decide_schema("d", _held("exact"), planned, replaces_all=replaces_all)

    assert plan.block is None
    assert plan.schema.field("at").metadata == planned.field("at").metadata


@pytest.mark.parametrize(("replaces_all", "kept"), [(True, None), (False, b"SetNull")])
def test_the_word_that_values_became_null_stays_as_long_as_those_rows_do(
    replaces_all: bool, kept: bytes | None
) -> None:
    plan = decide_schema("d", _held("exact", "SetNull"), _held("exact"), replaces_all=replaces_all)

    assert plan.schema.field("at").metadata.get(b"dpp.unfit") == kept


def test_a_retired_column_is_not_asked_about_again() -> None:
    current = _schema(id=pa.int64(), old=pa.string())
    approved = decide_schema("d", current, _schema(id=pa.int64()), replaces_all=False)

    later = decide_schema("d", approved.schema, _schema(id=pa.int64()), replaces_all=False)

    assert later.block is None and not later.is_changed
    assert later.schema.field("old").metadata == {b"dpp.retired": b"true"}


def test_a_retired_column_that_returns_is_read_again() -> None:
    current = _schema(id=pa.int64(), old=pa.string())
    retired = decide_schema("d", current, _schema(id=pa.int64()), replaces_all=False).schema

    later = decide_schema("d", retired, current, replaces_all=False)

    assert later.block is None
    assert later.schema.field("old").metadata is None


def test_a_type_whose_values_do_not_fit_the_table_cannot_be_approved() -> None:
    current, planned = _schema(id=pa.int64()), _schema(id=pa.string())

    appended = decide_schema("d", current, planned, replaces_all=False)
    replaced = decide_schema("d", current, planned, replaces_all=True)

    assert appended.block is not None and appended.block.fingerprint == ""
    assert "epoch" in appended.block.fix
    assert replaced.block is not None and replaced.block.fingerprint
