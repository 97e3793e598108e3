"""A real FerretDB that is wiped, old or down: the bucket brings it back equal, and is never touched by it."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from dpp_core.errors import TemporaryFailure
from dpp_extractor.adapters.ferret import FerretIndex, open_index
from dpp_extractor.publish.keys import Stream
from dpp_extractor.upkeep.rebuild import read_lag, rebuild
from fake_source import Broken, FakeTable
from run_bench import APPEND, Bench, make_shop, order, unit_of
from servers.ferret import Ferret
from shops import make_extraction, make_sqlite_shop, run_dpp

COLLECTIONS = ("runs", "commits", "watermarks", "catalog")
STREAMS = (Stream("acme", "shop", "orders"), Stream("acme", "shop", "stock"))
REPLACE = unit_of("stock").model_copy(update={"incremental": None, "write": "Replace"})


@pytest.fixture
def name(ferret: Ferret) -> str:
    return ferret.fresh_name()


@pytest.fixture
def index(ferret: Ferret, name: str) -> Iterator[FerretIndex]:
    with open_index({"uri": ferret.uri}, name) as opened:
        yield opened


@pytest.fixture
def bench(index: FerretIndex) -> Bench:
    bench = make_shop()
    bench.source.tables["stock"] = FakeTable()
    bench.index = index  # type: ignore[assignment]
    for number in range(4):
        some_business(bench, number)
    return bench


def some_business(bench: Bench, number: int) -> None:
    stamp = {"updated_at": bench.source.clock}
    bench.source.put("orders", {**order(100 + number), **stamp})
    bench.source.put("stock", {**order(100 + number), **stamp})
    if number == 2:
        bench.source.put("orders", {**order(500, item=Broken("no text")), **stamp})
    bench.tick()
    assert bench.run(APPEND, REPLACE).exit_code == 0


def dump(ferret: Ferret, name: str) -> dict[str, list[dict[str, Any]]]:
    """Give all documents with their ids."""
    with ferret.client() as client:
        return {
            collection: sorted(client[name][collection].find({}), key=lambda each: str(each["_id"]))
            for collection in COLLECTIONS
        }


def build(bench: Bench, index: FerretIndex) -> None:
    list(rebuild(bench.store, index, STREAMS, with_runs=True))


def test_a_wiped_index_comes_back_equal(
    ferret: Ferret, name: str, index: FerretIndex, bench: Bench
) -> None:
    told = dump(ferret, name)
    assert {collection: len(found) for collection, found in told.items()} == {
        "runs": 4,
        "commits": 8,
        "watermarks": 2,
        "catalog": 2,
    }
    with ferret.client() as client:
        client.drop_database(name)
    assert [read_lag(bench.store, index, stream).commits for stream in STREAMS] == [4, 4]

    build(bench, index)

    assert dump(ferret, name) == told
    assert [read_lag(bench.store, index, stream).commits for stream in STREAMS] == [0, 0]


def test_an_old_index_becomes_equal_and_what_never_was_goes(
    ferret: Ferret, name: str, index: FerretIndex, bench: Bench
) -> None:
    told = dump(ferret, name)
    with ferret.client() as client:
        client[name]["commits"].delete_one({"dataset": "orders", "seq": 2})
        client[name]["watermarks"].update_many({}, {"$set": {"seq": 1, "watermark": "old"}})
        client[name]["catalog"].update_one({"dataset": "stock"}, {"$set": {"object": "odd"}})
        never = {"namespace": "acme", "extraction": "shop", "dataset": "orders", "seq": 77}
        client[name]["commits"].insert_one(never)

    build(bench, index)

    assert dump(ferret, name) == told


@pytest.mark.faults
def test_an_index_that_is_down_changes_nothing_and_is_caught_up_later(
    ferret: Ferret,
    name: str,
    bench: Bench,
    stopped: Callable[[Ferret], AbstractContextManager[None]],
) -> None:
    with stopped(ferret):
        before = dict(bench.store.objects)
        with (
            open_index({"uri": ferret.uri}, name) as down,
            pytest.raises(TemporaryFailure, match="does not answer"),
        ):
            build(bench, down)
        assert bench.store.objects == before
        with open_index({"uri": ferret.uri}, name) as down:
            bench.index = down  # type: ignore[assignment]
            some_business(bench, 9)

    with open_index({"uri": ferret.uri}, name) as back:
        assert read_lag(bench.store, back, STREAMS[0]).commits == 1
        build(bench, back)
        assert read_lag(bench.store, back, STREAMS[0]).commits == 0
    assert len(dump(ferret, name)["runs"]) == 5


def test_the_command_shows_the_lag_and_builds_anew(ferret: Ferret, tmp_path: Path) -> None:
    with ferret.client() as client:
        client.drop_database("dpp")  # the commands' own database; other tests may have filled it
    shop = make_sqlite_shop(tmp_path)
    shop.execute("INSERT INTO orders (no, line, item, price) VALUES (1, 1, 'pen', 2)")
    extraction = make_extraction(shop, tmp_path, [{"name": "customers", "key": ["id"]}])
    environment = {"DPP_INDEX_URI": ferret.uri}
    run_dpp("run", "-f", str(extraction.file), "--to", str(extraction.out), environment=environment)
    told = {key: _without_others(found) for key, found in dump(ferret, "dpp").items()}
    with ferret.client() as client:
        client.drop_database("dpp")
    metrics = tmp_path / "index.prom"

    def command(*arguments: str) -> Any:
        options = ("--to", str(extraction.out), "-o", "json")
        return json.loads(run_dpp("index", *arguments, *options, environment=environment))

    behind = command("status", "--metrics", str(metrics))
    built = command("rebuild")

    assert [row["lag_commits"] for row in behind] == [1]
    assert 'dpp_index_lag_commits{dataset="customers"' in metrics.read_text()
    assert [(each["dataset"], each["documents"]) for each in built] == [("", 1), ("customers", 3)]
    assert [row["lag_commits"] for row in command("status")] == [0]
    assert {key: _without_others(found) for key, found in dump(ferret, "dpp").items()} == told


def _without_others(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in found if each["extraction"] == "shop"]


def test_without_a_secret_of_the_index_the_command_says_what_to_give(tmp_path: Path) -> None:
    said = run_dpp("index", "status", "--to", str(tmp_path), expect=2)

    assert "DPP_INDEX_URI" in said
