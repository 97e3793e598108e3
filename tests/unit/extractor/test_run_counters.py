"""Integer cursors through a whole run on fakes: numbers that commit out of order are not lost."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from dpp_core.handover import Incremental, Unit
from dpp_core.names import Reason
from dpp_extractor import counters
from dpp_extractor.run import run
from fake_source import FakeTransaction
from run_bench import APPEND, Bench, make_shop

BY_ID = APPEND.model_copy(update={"incremental": Incremental(cursor="id")})


def _run(bench: Bench, unit: Unit = BY_ID, pause: Callable[[int], None] = lambda _: None):
    tools = replace(bench.tools(), pause=pause)
    return run(bench.request(unit), tools).units[0]


@pytest.fixture
def bench() -> Bench:
    """Give a table of the numbers 1 to 3."""
    return make_shop()


def _draw(bench: Bench, number: int) -> FakeTransaction:
    opened = bench.source.begin()
    opened.put("orders", {"id": number, "item": "late"})
    bench.tick()
    bench.source.put("orders", {"id": number + 1, "updated_at": bench.source.clock})
    return opened


def test_a_lower_number_that_commits_while_the_run_waits_comes_with_it(bench: Bench) -> None:
    opened = _draw(bench, 4)

    ended = _run(bench, pause=lambda _: opened.commit())

    assert (ended.rows, ended.high) == (5, "6")
    assert bench.current() == bench.source_rows()


def test_a_run_that_cannot_wait_longer_leaves_the_dataset_to_the_next(bench: Bench) -> None:
    opened = _draw(bench, 4)
    waits: list[int] = []

    held = _run(bench, pause=waits.append)
    opened.commit()
    after = _run(bench)

    assert (held.code, held.reason, len(waits)) == (75, Reason.NO_HORIZON, counters.TRIES)
    assert "a transaction" in held.message
    assert after.rows == 5


def test_what_is_drawn_after_the_count_is_left_to_the_next_run(bench: Bench) -> None:
    opened = _draw(bench, 4)

    def meanwhile(_: int) -> None:
        opened.commit()
        bench.tick()
        bench.source.put("orders", {"id": 7, "updated_at": bench.source.clock})

    first, second = _run(bench, pause=meanwhile), _run(bench)

    assert (first.high, first.rows, second.high, second.rows) == ("6", 5, "8", 1)


def test_the_mutant_that_does_not_wait_loses_the_lower_number(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "may_count", lambda unit, head: False)
    opened = _draw(bench, 4)

    _run(bench)
    opened.commit()
    _run(bench)

    assert 4 not in [row["id"] for row in bench.rows()]


def test_without_a_horizon_a_counting_cursor_is_refused(bench: Bench) -> None:
    bench.source.has_horizon = False

    ended = _run(bench)

    assert (ended.code, ended.reason) == (20, Reason.NO_HORIZON)
    assert "GRANT look TO me;" in ended.message


def test_without_a_horizon_a_lag_is_waited_for(bench: Bench) -> None:
    bench.source.has_horizon = False
    opened = _draw(bench, 4)
    began_at = bench.source.clock

    def meanwhile(waits: int) -> None:
        bench.source.tick(20)
        if waits == 1:
            opened.commit()

    lagging = BY_ID.model_copy(update={"incremental": Incremental(cursor="id", lag_seconds=90)})
    ended = _run(bench, lagging, meanwhile)

    assert bench.source.clock - began_at == timedelta(seconds=100)
    assert (ended.rows, bench.current()) == (5, bench.source_rows())


def test_a_run_waits_no_longer_than_its_deadline(bench: Bench) -> None:
    bench.source.has_horizon = False
    lagging = BY_ID.model_copy(
        update={"incremental": Incremental(cursor="id", lag_seconds=604_800)}
    )

    ended = _run(bench, lagging, lambda _: bench.tick(3600))

    assert (ended.code, ended.reason) == (75, Reason.DEADLINE_EXCEEDED)


def test_a_greatest_number_that_cannot_be_read_fails_its_own_dataset_alone(bench: Bench) -> None:
    gone = BY_ID.model_copy(update={"dataset": "gone", "object": "gone"})

    report = run(bench.request(gone, BY_ID), bench.tools())

    assert [each.code for each in report.units] == [31, 0]


def test_a_cursor_of_instants_opens_one_view(bench: Bench) -> None:
    _run(bench, APPEND)

    assert bench.source.calls.count("snapshot") == 1
