"""Whatever a record holds, its document has only what FerretDB keeps."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpp_extractor.adapters.ferret_document import DEEPEST_NESTING, build_document, build_id

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals()
    | st.dates()
    | st.datetimes(timezones=st.just(UTC))
    | st.datetimes()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refuse_odd(value: Any, is_in_list: bool = False) -> None:
    if isinstance(value, dict):
        for name, each in value.items():
            assert not set(name) & {".", "$", "\0"}
            assert name
            refuse_odd(each)
    elif isinstance(value, list):
        assert not is_in_list
        for each in value:
            refuse_odd(each, is_in_list=True)
    elif isinstance(value, float):
        assert math.isfinite(value)
        assert math.copysign(1, value) == 1 or value != 0
    elif isinstance(value, str):
        assert "\0" not in value


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_any_record_becomes_a_document_that_bson_encodes(fields: dict[str, Any]) -> None:
    built = build_document(fields)

    refuse_odd(built)
    assert bson.encode(built)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_building_twice_is_building_once(fields: dict[str, Any]) -> None:
    once = build_document(fields)

    assert build_document(once) == once


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (
            datetime(2026, 3, 1, 1, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1))),
            datetime(2026, 3, 1, 0, 0, 0, 999_000, tzinfo=UTC),
        ),
        (datetime(2026, 3, 1), "2026-03-01T00:00:00"),
        (date(2026, 3, 1), "2026-03-01"),
        (Decimal("1.10"), "1.10"),
        (2**63, "9223372036854775808"),
        (-(2**63), -(2**63)),
        ((1, 2), [1, 2]),
    ],
)
def test_values_are_kept_or_said_as_text(value: Any, kept: Any) -> None:
    assert build_document({"value": value}) == {"value": kept}


def test_the_id_of_a_record_is_left_to_the_index() -> None:
    assert build_document({"_id": 1, "a": 2}) == {"a": 2}


def test_what_is_nested_too_deep_becomes_text() -> None:
    value: Any = "bottom"
    for _ in range(DEEPEST_NESTING * 2):
        value = {"in": value}

    assert bson.encode(build_document({"value": value}))


def test_the_id_depends_on_collection_and_key_but_not_on_the_order() -> None:
    one = build_id("runs", {"run_id": "r", "attempt_id": "a"})

    assert one == build_id("runs", {"attempt_id": "a", "run_id": "r"})
    assert len({one, build_id("commits", {"run_id": "r", "attempt_id": "a"})}) == 2
    assert build_id("runs", {"a": "b", "c": "d"}) != build_id("runs", {"a": "d", "c": "b"})
    assert len(one) == 24
