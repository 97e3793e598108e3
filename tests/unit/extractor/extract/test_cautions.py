"""What a person is told to look at before a run, from the catalogue and the clocks alone."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from dpp_core.handover import Incremental, Unit
from dpp_extractor.batch import FoundColumn, FoundObject, SourceColumn, SourceTable, Window
from dpp_extractor.extract.database.cautions import find_cautions, look_at_horizon
from dpp_extractor.ports import Clocks

NOW = datetime(2026, 1, 2, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
UNIT = Unit(
    dataset="orders",
    object="orders",
    key=("id",),
    incremental=Incremental(cursor="at"),
    write="Append",
)
FULL = Unit(dataset="orders", object="orders")
SEEN = Clocks(NOW, NOW)
BLIND = Clocks(NOW, None, "the user is no member of pg_monitor", "NoHorizon", fix="GRANT x TO y;")


def found(
    arrow_type: pa.DataType = INSTANT,
    *,
    indexes: tuple[str, ...] = ("by_at",),
    nullable: bool = False,
    key: tuple[str, ...] = ("id",),
) -> FoundObject:
    at = FoundColumn("at", str(arrow_type), arrow_type, nullable, indexes)
    return FoundObject("orders", "public.orders", "table", (at,), key)


def table(*, is_unique: bool = True) -> SourceTable:
    at = SourceColumn("at", "timestamptz", INSTANT)
    return SourceTable("orders", (at,), ("id",), "at", key_is_unique=is_unique)


def about(unit: Unit, there: FoundObject | None, *, is_unique: bool = True) -> list[str]:
    return [each.about for each in find_cautions(unit, table(is_unique=is_unique), there, None)]


def test_a_sound_dataset_has_nothing_to_look_at() -> None:
    assert about(UNIT, found()) == []


def test_what_the_catalogue_does_not_show_is_not_guessed() -> None:
    assert about(UNIT, None) == []
    assert about(FULL, None) == []


def test_a_cursor_without_an_index_is_named_with_its_table() -> None:
    (caution,) = find_cautions(UNIT, table(), found(indexes=()), None)

    assert caution.about == "Index"
    assert "'at'" in caution.message
    assert "public.orders (at)" in caution.fix


def test_rows_without_a_cursor_are_warned_of_until_they_are_left_out() -> None:
    left_out = UNIT.model_copy(update={"incremental": Incremental(cursor="at", nulls="Exclude")})

    assert about(UNIT, found(nullable=True)) == ["Nulls"]
    assert about(left_out, found(nullable=True)) == []


def test_a_cursor_of_days_is_told() -> None:
    assert about(UNIT, found(pa.date32())) == ["Days"]


def test_a_key_that_nobody_enforces_is_told_with_the_one_that_is() -> None:
    (caution,) = find_cautions(UNIT, table(is_unique=False), found(key=("number",)), None)

    assert caution.about == "Key"
    assert caution.fix == "The source enforces (number)."


@pytest.mark.parametrize(
    ("key", "says"),
    [(("id", "line"), "Write key: [id, line]"), ((), "read in full")],
    ids=["there is one", "there is none"],
)
def test_a_dataset_without_a_key_is_told_what_there_is(key: tuple[str, ...], says: str) -> None:
    (caution,) = find_cautions(FULL, table(), found(key=key), None)

    assert caution.about == "Key"
    assert says in caution.message + caution.fix


def test_the_holder_of_a_window_is_told() -> None:
    window = Window("at", "timestamp", None, "2026-01-01", holder="pid 7 open for 900 s")

    (caution,) = find_cautions(UNIT, table(), found(), window)

    assert caution.about == "Holder"
    assert "pid 7 open for 900 s" in caution.message


def test_no_horizon_is_told_once_with_the_statement_that_gives_one() -> None:
    (caution,) = look_at_horizon(BLIND, (FULL, UNIT))

    assert caution.about == "Horizon"
    assert caution.fix == "GRANT x TO y;"
    assert "300 s behind" in caution.message


def test_a_horizon_that_no_grant_gives_leaves_the_lag() -> None:
    replica = Clocks(NOW, None, "a replica does not see its primary's transactions", "NoHorizon")
    lagging = UNIT.model_copy(update={"incremental": Incremental(cursor="at", lag_seconds=900)})

    (caution,) = look_at_horizon(replica, (lagging,))

    assert "their lagSeconds" in caution.message
    assert "lagSeconds" in caution.fix


@pytest.mark.parametrize(
    ("clocks", "units"), [(SEEN, (UNIT,)), (BLIND, (FULL,))], ids=["seen", "full reads only"]
)
def test_a_horizon_that_is_there_or_not_needed_is_not_spoken_of(
    clocks: Clocks, units: tuple[Unit, ...]
) -> None:
    assert look_at_horizon(clocks, units) == ()
