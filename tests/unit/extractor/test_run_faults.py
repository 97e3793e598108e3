"""The run on a store that loses answers: whatever is lost, the table ends as on a store that loses nothing."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dpp_core.names import UnitOutcome
from dpp_extractor.ports import Put
from dpp_extractor.publish.keys import Stream, log_key
from fake_source import START, Broken
from fake_store import FakeStore, Faults
from run_bench import APPEND, REPLACE, Bench, NotedStore, unit_of

ORDERS = Stream("acme", "shop", "orders")


def _bench(store: NotedStore | None = None) -> Bench:
    bench = Bench() if store is None else Bench(store=store)
    bench.source.put("orders", *(_order(number) for number in (1, 2, 3)))
    bench.source.put("orders", _order(9, item=Broken("\x00")))
    bench.tick()
    return bench


def _order(number: int, seconds: float = 0, item: Any = "pen") -> dict[str, Any]:
    return {"id": number, "item": item, "updated_at": START + timedelta(seconds=seconds)}


def _two_runs(bench: Bench, unit: Any) -> list[int]:
    """Run, change the source, run; each run is started again until it ends well."""
    tries = []
    for number in (10, 11):
        request = bench.request(unit)
        report = bench.again(request)
        count = 1
        while report.exit_code and count < 20:
            report = bench.again(request)
            count += 1
        assert report.exit_code == 0, report.units[0].message
        tries.append(count)
        bench.source.put("orders", _order(number, 20), _order(1, 20, "ink"))
        bench.tick(60)
    return tries


def _values(bench: Bench) -> list[tuple[Any, ...]]:
    return sorted((row["id"], row["item"], row["_dpp_order"]) for row in bench.rows())


class LosesOne(NotedStore):
    """Loses the answer of the n-th put: after it was applied, or before."""

    lost: int = 0
    is_applied: bool = True
    count: int = 0

    def put_if_absent(self, key: str, body: bytes) -> Put:
        self.count += 1
        if self.count != self.lost:
            return FakeStore.put_if_absent(self, key, body)
        if self.is_applied:
            FakeStore.put_if_absent(self, key, body)
        return Put.UNKNOWN


def _count_puts(unit: Any) -> int:
    store = LosesOne(clock=START)
    _two_runs(_bench(store), unit)
    return store.count


@pytest.mark.slow
@pytest.mark.parametrize("unit", [APPEND, REPLACE], ids=["append", "replace"])
@pytest.mark.parametrize("is_applied", [True, False], ids=["answer lost", "put lost"])
def test_whichever_put_is_lost_the_table_is_the_same_and_no_run_fails(
    unit: Any, is_applied: bool
) -> None:
    undisturbed = _bench()
    _two_runs(undisturbed, unit)
    puts = _count_puts(unit)

    assert puts >= 12
    for lost in range(1, puts + 1):
        store = LosesOne(clock=START)
        store.lost, store.is_applied = lost, is_applied
        bench = _bench(store)

        assert _two_runs(bench, unit) == [1, 1], f"put {lost} of {puts}"
        assert _values(bench) == _values(undisturbed)
        assert bench.commits() == undisturbed.commits() == 2


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("unit", [APPEND, REPLACE], ids=["append", "replace"])
def test_on_a_store_that_loses_half_of_its_answers_the_table_is_the_same(
    unit: Any, seed: int
) -> None:
    undisturbed = _bench()
    _two_runs(undisturbed, unit)
    bench = _bench(NotedStore(clock=START, faults=Faults(0.25, 0.25, seed=seed)))

    _two_runs(bench, unit)

    assert _values(bench) == _values(undisturbed)
    assert bench.commits() == 2


def test_a_store_that_ignores_conditions_is_refused_before_the_source_is_asked() -> None:
    bench = _bench(NotedStore(clock=START, faults=Faults(ignores_conditions=True)))

    report = bench.run(APPEND, unit_of("stock"))

    assert [unit.code for unit in report.units] == [29, 29]
    assert report.units[0].reason is not None
    assert report.units[0].reason.value == "ConditionalWritesIgnored"
    assert bench.source.calls == []


def test_a_store_that_goes_down_before_the_commit_leaves_nothing_to_see() -> None:
    bench = _bench()

    def on_hook(point: str) -> None:
        bench.store.faults.down = bench.store.faults.down or point == "parts_done"

    bench.on_hook = on_hook
    failed = bench.run(APPEND)
    bench.on_hook = lambda point: None
    bench.store.faults = Faults()

    assert failed.exit_code == 26
    assert bench.commits() == 0
    assert bench.again(replace_id(bench, failed.run_id)).units[0].outcome is UnitOutcome.COMMITTED
    assert bench.commits() == 1


def replace_id(bench: Bench, run_id: str) -> Any:
    """Ask for the run of that name again."""
    assert bench.last_request is not None
    assert bench.last_request.run_id == run_id
    return bench.last_request


def test_another_run_that_commits_first_fences_this_one() -> None:
    bench = _bench()
    other = replace_bench(bench)

    def before_put(key: str) -> None:
        if key == log_key(ORDERS, 0):
            bench.store.faults.before_put = None
            assert other.run(APPEND, run_id="other").exit_code == 0

    bench.store.faults.before_put = before_put

    unit = bench.run_one()

    assert (unit.code, unit.outcome) == (27, UnitOutcome.FAILED)
    assert bench.commits() == 1
    assert bench.current() == [row for row in bench.source_rows() if row["id"] != 9]


def replace_bench(bench: Bench) -> Bench:
    """Give a second process on the same store and source."""
    return replace(bench, journal=[], on_hook=lambda point: None)
