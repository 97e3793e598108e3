"""`dpp show` and `dpp log`: the shapes that programs read, and the words that people read."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dpp_core.cli.output import Output
from dpp_core.handover import Destination
from dpp_extractor.cli import log, show
from dpp_extractor.cli.target import Target
from dpp_extractor.publish.keys import Stream, log_key
from fake_source import START, Broken
from run_bench import APPEND, REPLACE, Bench, unit_of

ORDERS = Stream("acme", "shop", "orders")
STOCK = Stream("acme", "shop", "stock")
HIGH_1, HIGH_2 = "2026-01-02T03:04:14.000000+00:00", "2026-01-02T03:05:14.000000+00:00"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Give two commits of `orders`, one of `stock`, and commands that look at them."""
    bench = Bench()
    bench.source.tables["stock"] = type(bench.source.tables["orders"])()
    _put(bench, 1, 0)
    _put(bench, 2, 0)
    bench.source.put("orders", {"id": 9, "item": Broken("\x00"), "updated_at": START})
    bench.tick()
    bench.run(APPEND, unit_of("stock", REPLACE), run_id="first")
    _put(bench, 2, 20)
    bench.tick(60)
    bench.run(APPEND, run_id="second")

    @contextmanager
    def open_target(*asked: Any) -> Iterator[Target]:
        chosen = [each for each in (ORDERS, STOCK) if not asked[3] or each.dataset in asked[3]]
        folder = Destination(kind="Folder", path="/lake")
        yield Target(bench.store, tuple(chosen), folder, lambda role: {})

    monkeypatch.setattr(show, "open_target", open_target)
    monkeypatch.setattr(log, "open_target", open_target)
    return bench


def _put(bench: Bench, number: int, seconds: float) -> None:
    at = START + timedelta(seconds=seconds)
    bench.source.put("orders", {"id": number, "item": "pen", "updated_at": at})


def _json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_show_gives_programs_where_each_stream_stands(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    show.show(commits=1, output=Output.JSON)

    orders, stock = _json(capsys)
    columns, commits = orders.pop("columns"), orders.pop("commits")
    assert orders.pop("bytes") > 0
    assert orders == {
        "namespace": "acme",
        "extraction": "shop",
        "dataset": "orders",
        "table": "memory://fake/acme/shop/orders",
        "version": 1,
        "seq": 2,
        "epoch": 0,
        "watermark": HIGH_2,
        "read_at": "2026-01-02T03:05:15Z",
        "run_id": "second",
        "rows": 3,
        "files": 2,
    }
    assert columns[0] == {
        "name": "id",
        "type": "int64",
        "source_name": "id",
        "source_type": "int64",
        "fidelity": "exact",
    }
    assert [each["name"] for each in columns[-3:]] == ["_dpp_op", "_dpp_read_at", "_dpp_order"]
    assert [each["seq"] for each in commits] == [2]
    assert (stock["rows"], stock["watermark"], stock["seq"]) == (0, None, 1)


def test_show_of_a_stream_without_a_commit_says_so(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.store.objects.clear()

    show.show(dataset=["orders"], output=Output.JSON)

    (orders,) = _json(capsys)
    assert (orders["version"], orders["seq"], orders["rows"], orders["columns"]) == (
        None,
        None,
        0,
        [],
    )


def test_show_leaves_no_trace_in_the_store(bench: Bench) -> None:
    before = dict(bench.store.objects)
    for key in [key for key in before if "/commits/" in key]:
        del bench.store.objects[key]
    kept = dict(bench.store.objects)

    show.show(output=Output.JSON)

    assert bench.store.objects == kept


def test_show_gives_people_a_line_a_stream_and_one_stream_in_full(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    show.show()
    overview = capsys.readouterr().out
    show.show(dataset=["orders"])
    full = capsys.readouterr().out

    assert [line.split()[0] for line in overview.splitlines()] == ["DATASET", "orders", "stock"]
    assert HIGH_2 in overview
    assert "memory://fake/acme/shop/orders: 2 files" in full
    assert "SOURCE COLUMN" in full
    assert "second" in full


def test_show_sql_prints_the_view_of_each_stream(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    show.show(sql=show.Dialect.DUCKDB)

    printed = capsys.readouterr().out
    assert printed.count("CREATE OR REPLACE VIEW") == 2
    assert "delta_scan('memory://fake/acme/shop/orders')" in printed


def test_log_gives_programs_every_commit_newest_first(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    log.log(dataset=["orders"], number=20, output=Output.JSON)

    second, first = _json(capsys)["acme/shop/orders"]
    assert second.pop("attempt_id").startswith("attempt-")
    assert second == {
        "version": 1,
        "by": "dpp",
        "operation": "append",
        "committed_at": "2026-01-02T03:05:15Z",
        "seq": 2,
        "lane": "live",
        "epoch": 0,
        "rows": 1,
        "quarantined": 0,
        "deleted": 0,
        "nulled": {},
        "low": HIGH_1,
        "high": HIGH_2,
        "run_id": "second",
        "approved": [],
    }
    assert (first["seq"], first["rows"], first["quarantined"], first["low"]) == (1, 2, 1, None)


def test_log_shows_no_more_than_was_asked_for(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    log.log(number=1, output=Output.JSON)

    shown = _json(capsys)
    assert {name: len(commits) for name, commits in shown.items()} == {
        "acme/shop/orders": 1,
        "acme/shop/stock": 1,
    }


def test_log_names_a_strangers_commit_by_its_own_writer(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    info = {"timestamp": 1767323115000, "operation": "OPTIMIZE", "engineInfo": "delta-rs:1.0"}
    bench.store.put_raw(log_key(ORDERS, 2), json.dumps({"commitInfo": info}).encode())

    log.log(dataset=["orders"], number=1, output=Output.JSON)

    assert _json(capsys)["acme/shop/orders"] == [
        {
            "version": 2,
            "by": "delta-rs:1.0",
            "operation": "OPTIMIZE",
            "committed_at": datetime.fromtimestamp(1767323115, UTC).isoformat()[:-6] + "Z",
        }
    ]


def test_log_copes_with_a_commit_that_says_nothing_of_itself(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.store.put_raw(log_key(ORDERS, 2), b'{"txn":{"appId":"x","version":1}}\n')

    log.log(dataset=["orders"], number=1)

    assert "unknown" in capsys.readouterr().out


def test_log_gives_people_a_table_a_stream(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    log.log()

    printed = capsys.readouterr().out
    assert printed.index("acme/shop/orders") < printed.index("acme/shop/stock")
    assert "COMMITTED AT" in printed
