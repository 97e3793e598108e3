"""An index that is wiped, old or never was becomes equal to one that missed nothing, from the bucket alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from dpp_core.errors import TemporaryFailure
from dpp_core.names import Reason
from dpp_extractor.publish.keys import Stream, copy_key
from dpp_extractor.upkeep.rebuild import read_lag, rebuild
from fake_source import INSTANT, Broken, FakeTable, column
from run_bench import APPEND, Bench, FakeIndex, Killed, make_shop, order, unit_of

ORDERS, STOCK = Stream("acme", "shop", "orders"), Stream("acme", "shop", "stock")
REPLACE = unit_of("stock").model_copy(update={"incremental": None, "write": "Replace"})


@dataclass(slots=True)
class WholeFake(FakeIndex):
    """An index in memory that can also be asked and cleared."""

    removed: list[str] = field(default_factory=list)

    def remove(self, collection: str, match: Mapping[str, Any]) -> int:
        self.removed.append(collection)
        gone = [
            key for key, each in self.documents.items() if _is_match(key, each, collection, match)
        ]
        for key in gone:
            del self.documents[key]
        return len(gone)

    def find(self, collection: str, match: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            each for key, each in self.documents.items() if _is_match(key, each, collection, match)
        ]


def _is_match(
    key: tuple[str, str], document: dict[str, Any], collection: str, match: Mapping[str, Any]
) -> bool:
    whole = {**document, **json.loads(key[1])}
    return key[0] == collection and all(whole.get(n) == value for n, value in match.items())


@pytest.fixture
def bench() -> Bench:
    """Runs with all that a history has: change, rejected rows, new columns, a reset, kills, failures."""
    bench = make_shop()
    bench.source.tables["stock"] = FakeTable()
    bench.index = WholeFake()
    _business(bench, 1)
    bench.source.put("orders", _stamped(bench, 50, Broken("no text")))
    bench.tick()
    bench.run(APPEND, REPLACE)
    bench.source.tables["orders"].add_column(column("paid_at", INSTANT))
    _business(bench, 2)
    bench.kill_at("copied")
    _business_killed(bench, 3)
    _business(bench, 4, epoch=1)
    bench.run(APPEND.model_copy(update={"epoch": 0}))
    bench.run(APPEND.model_copy(update={"epoch": 1}), publish="None")
    bench.run(APPEND.model_copy(update={"epoch": 1}), REPLACE)
    return bench


def _stamped(bench: Bench, number: int, item: Any = "pen") -> dict[str, Any]:
    return {**order(number, item=item), "updated_at": bench.source.clock}


def _business(bench: Bench, number: int, epoch: int = 0) -> None:
    bench.source.put("orders", _stamped(bench, 100 + number))
    bench.source.put("stock", _stamped(bench, 100 + number))
    bench.tick()
    report = bench.run(APPEND.model_copy(update={"epoch": epoch}), REPLACE)
    assert report.exit_code == 0, report


def _business_killed(bench: Bench, number: int) -> None:
    """The process is gone behind its commit, and the same run started again finds it."""
    bench.source.put("orders", _stamped(bench, 100 + number))
    bench.tick()
    with pytest.raises(Killed):
        bench.run(APPEND)
    assert bench.last_request is not None
    assert bench.again(bench.last_request).units[0].outcome == "AlreadyCommitted"


def build(bench: Bench, index: WholeFake, *, with_runs: bool = True) -> list[Any]:
    return list(rebuild(bench.store, index, (ORDERS, STOCK), with_runs=with_runs))


def dump(index: FakeIndex) -> dict[tuple[str, str], dict[str, Any]]:
    return dict(index.documents)


def test_an_index_built_from_nothing_equals_the_one_that_runs_told(bench: Bench) -> None:
    told = dump(bench.index)
    fresh = WholeFake()

    built = build(bench, fresh)

    assert dump(fresh) == told
    assert {name for name, _ in told} == {"runs", "commits", "watermarks", "catalog"}
    assert sum(each.documents for each in built) == len(told)


def test_an_old_index_with_what_never_was_becomes_equal(bench: Bench) -> None:
    told = dump(bench.index)
    old = WholeFake(documents=dict(told))
    names = {"namespace": "acme", "extraction": "shop", "dataset": "orders"}
    old.save("commits", {**names, "lane": "live", "seq": 99}, {**names, "seq": 99})
    old.save("watermarks", {**names, "lane": "live"}, {**names, "lane": "live", "seq": 99})

    build(bench, old)

    assert dump(old) == told


def test_other_extractions_stay_as_they_are(bench: Bench) -> None:
    other = {"namespace": "acme", "extraction": "other", "dataset": "orders"}
    bench.index.save("commits", {**other, "lane": "live", "seq": 1}, dict(other))
    told = dump(bench.index)

    build(bench, bench.index)

    assert dump(bench.index) == told


def test_without_runs_the_runs_are_not_touched(bench: Bench) -> None:
    build(bench, bench.index, with_runs=False)

    assert "runs" not in bench.index.removed


def test_building_twice_is_building_once(bench: Bench) -> None:
    fresh = WholeFake()
    build(bench, fresh)
    once = dump(fresh)

    build(bench, fresh)

    assert dump(fresh) == once


def test_the_bucket_is_only_read(bench: Bench) -> None:
    before = dict(bench.store.objects)

    build(bench, WholeFake())

    assert bench.store.objects == before


def test_a_last_commit_whose_copy_is_yet_to_come_is_read_from_the_table(bench: Bench) -> None:
    told = dump(bench.index)
    live = bench.head("orders").live
    assert live is not None
    del bench.store.objects[copy_key(ORDERS, "live", live.seq)]
    fresh = WholeFake()

    build(bench, fresh)

    assert dump(fresh) == told


def test_an_index_that_goes_down_is_said_and_the_bucket_stays(bench: Bench) -> None:
    before = dict(bench.store.objects)

    with pytest.raises(TemporaryFailure) as caught:
        build(bench, WholeFake(saves_until_down=5))

    assert caught.value.reason is Reason.INDEX_BEHIND
    assert bench.store.objects == before


def test_a_record_that_cannot_be_read_is_counted(bench: Bench) -> None:
    bench.store.put_raw("acme/shop/_dpp/runs/torn/a.json", b"{")

    runs, *_ = build(bench, WholeFake())

    assert runs.unreadable == 1


def test_a_run_that_publishes_nothing_is_not_in_the_index(bench: Bench) -> None:
    before = dump(bench.index)

    bench.run(APPEND.model_copy(update={"epoch": 1}), publish="None")

    assert dump(bench.index) == before


def test_the_lag_counts_the_commits_the_index_misses(bench: Bench) -> None:
    assert read_lag(bench.store, bench.index, ORDERS).commits == 0
    seq = read_lag(bench.store, bench.index, ORDERS).seq
    bench.index.saves_until_down = 0
    _business(bench, 7, epoch=1)
    _business(bench, 8, epoch=1)

    lag = read_lag(bench.store, bench.index, ORDERS)

    assert (lag.commits, lag.indexed_seq, lag.seq) == (2, seq, seq + 2)
    assert read_lag(bench.store, WholeFake(), ORDERS).commits == seq + 2


def test_a_stream_without_a_table_has_no_lag(bench: Bench) -> None:
    assert read_lag(bench.store, bench.index, Stream("acme", "shop", "bare")).commits == 0
