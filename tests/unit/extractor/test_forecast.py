"""What is told before a run is what the run then does, and telling it changes nothing."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from dpp_core.forecast import UnitForecast
from dpp_core.handover import DatabaseSource, Incremental, RunRequest, Unit
from dpp_core.names import Reason
from dpp_extractor.forecast import Ground, forecast_units
from dpp_extractor.heads import look_at_heads
from fake_source import INSTANT, START, FakeTable, column
from run_bench import APPEND, REPLACE, Bench, make_shop, order, unit_of

ID = column("id", pa.int64(), nullable=False)
BY_ID = APPEND.model_copy(update={"incremental": Incremental(cursor="id")})


def foresee(bench: Bench, *units: Unit, **changes: Any) -> tuple[UnitForecast, ...]:
    """Forecast a run as the command does, on the fakes."""
    return foresee_request(bench, bench.request(*units, **changes))


def foresee_request(bench: Bench, request: RunRequest) -> tuple[UnitForecast, ...]:
    before, asked = dict(bench.store.objects), len(bench.source.calls)
    heads = look_at_heads(request, bench.store)
    with bench.source.open() as source, source.snapshot() as view:
        ground = Ground(
            heads={unit.dataset: head for unit, head in heads.sound},
            ended={record.dataset: record for record in heads.ended},
            blocks=heads.blocks,
            found=source.discover(lambda name, full_name: True),
        )
        told = forecast_units(request, view, ground)
    assert bench.store.objects == before
    assert not any(call.startswith("read") for call in bench.source.calls[asked:])
    return told


@pytest.mark.parametrize("unit", [APPEND, REPLACE, BY_ID], ids=["instant", "full", "integer"])
def test_window_and_rows_are_those_of_the_run_that_follows(unit: Unit) -> None:
    bench = make_shop()
    bench.source.tables["orders"].indexed = ("id", "updated_at")
    for number in (7, 9, 11):
        (told,) = foresee(bench, unit)
        report = bench.run(unit)
        done = bench.records(report.run_id)[0].units[0]

        assert (told.code, told.kind) == (0, done.kind)
        window = (done.window.low, done.window.high) if done.window else (None, None)
        assert (told.low, told.high) == window
        assert told.estimated_rows == done.counts.read
        bench.tick()
        new = {**order(number), "updated_at": bench.source.clock}
        bench.source.put("orders", new, order(number + 1, 1))
        bench.tick()


def test_a_table_that_is_not_there_yet_is_read_from_the_beginning() -> None:
    (told,) = foresee(make_shop())

    assert (told.reads, told.kind, told.low) == ("Window", "append", None)
    assert told.high is not None


def test_a_counting_cursor_without_a_horizon_is_refused_as_the_run_will() -> None:
    bench = make_shop()
    bench.source.has_horizon = False

    (told,), (ended,) = foresee(bench, BY_ID), bench.run(BY_ID).units

    assert (told.reads, told.code, told.reason) == ("Refused", ended.code, ended.reason)
    assert (told.code, told.reason) == (20, Reason.NO_HORIZON)


def test_nothing_new_is_told_when_the_clock_stands() -> None:
    bench = make_shop()
    bench.run()

    (told,) = foresee(bench)

    assert (told.reads, told.estimated_rows, told.high) == ("Nothing", 0, None)


def test_a_raised_epoch_reads_anew() -> None:
    bench = make_shop()
    bench.run()

    (told,) = foresee(bench, APPEND.model_copy(update={"epoch": 1}))

    assert (told.kind, told.low, told.estimated_rows) == ("reset", None, 3)


def test_the_end_of_an_integer_window_is_not_asked_for_without_an_index() -> None:
    bench = make_shop()

    (told,) = foresee(bench, BY_ID)

    assert (told.reads, told.high, told.estimated_rows) == ("Window", None, 3)
    assert [each.about for each in told.cautions] == ["Index"]


def test_what_cannot_be_read_refuses_its_dataset_alone() -> None:
    bench = make_shop()

    missing, sound = foresee(bench, unit_of("nowhere"), APPEND)

    assert (missing.reads, missing.code) == ("Refused", 31)
    assert "It has: orders" in missing.fix
    assert sound.reads == "Window"


def test_a_column_that_went_is_told_as_the_block_it_will_be() -> None:
    bench = make_shop()
    bench.run()
    bench.source.tables["orders"] = FakeTable(columns=(ID, column("updated_at", INSTANT)))

    (told,) = foresee(bench)

    assert (told.reads, told.code, told.reason) == ("Refused", 25, Reason.SCHEMA_CHANGED)
    assert "item" in told.message


def test_a_new_column_is_told_and_refuses_nothing() -> None:
    bench = make_shop()
    bench.run()
    bench.source.tables["orders"].add_column(column("price", pa.int64()))
    bench.tick()

    (told,) = foresee(bench)

    assert told.code == 0
    assert ("Schema", "Column price is new.") in [(c.about, c.message) for c in told.cautions]


def test_a_moved_source_is_told_as_the_refusal_it_will_be() -> None:
    bench = make_shop()
    bench.run()
    moved = DatabaseSource(engine="postgresql", host="new-erp", port=5432, database="erp")

    (told,) = foresee(bench, source=moved)

    assert (told.code, told.reason) == (29, Reason.STREAM_IDENTITY_CHANGED)


def test_a_table_of_another_owner_is_told() -> None:
    bench = make_shop()
    bench.run()

    (told,) = foresee(bench, cluster="another")

    assert (told.reads, told.code, told.reason) == (
        "Refused",
        29,
        Reason.STREAM_OWNED_BY_ANOTHER,
    )


def test_a_run_that_has_committed_reads_nothing_again() -> None:
    bench = make_shop()
    bench.run()
    bench.tick(60)
    assert bench.last_request is not None

    (told,) = foresee_request(bench, bench.last_request)

    assert told.reads == "Nothing"
    assert "has committed" in told.message


def test_who_holds_the_window_back_is_named() -> None:
    bench = make_shop()
    bench.tick(60)
    bench.source.begin()
    bench.tick(60)

    (told,) = foresee(bench)

    assert "a transaction" in next(c.message for c in told.cautions if c.about == "Holder")
    assert told.high == (START + timedelta(seconds=69)).isoformat(timespec="microseconds")
