"""A run has every hundredth commit of a table followed by a checkpoint; what goes wrong there only warns."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dpp_core.handover import Destination, RunReport
from dpp_extractor.adapters.folder import open_folder
from dpp_extractor.guard.deadline import Stop
from dpp_extractor.ports import Store, Tools
from dpp_extractor.publish.fold import Asked
from dpp_extractor.publish.head import read_head
from dpp_extractor.publish.keys import Stream, log_prefix
from dpp_extractor.run import run
from dpp_extractor.settings import read_settings
from dpp_extractor.upkeep import checkpoint, child
from dpp_extractor.upkeep.verify import Depth, verify
from dpp_extractor.wiring import Surroundings, build_checkpoint
from equality import READERS
from log_capture import Captured, captured_logs
from run_bench import APPEND, LONG_AGO, Bench, make_shop, order

STREAM = Stream("acme", "shop", "orders")
AT_VERSION = f"{log_prefix(STREAM)}{99:020d}.checkpoint.parquet"


@pytest.fixture(autouse=True)
def logged() -> Iterator[Captured]:
    with captured_logs() as captured:
        yield captured


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a hundred commits in seconds
    return make_shop()


def tools_of(bench: Bench, store: Store, **environment: str) -> Tools:
    """Give the tools of a run on a real folder, the checkpoint wired as in a real run."""
    around = Surroundings(os.environ | environment, read_settings(environment), Stop())
    write = build_checkpoint(
        Destination(kind="Folder", path=store.uri), lambda role: {}, store.uri, around
    )
    return replace(bench.tools(), store=store, now=store.now, checkpoint=write)


def commit_some(bench: Bench, tools: Tools, runs: int) -> RunReport:
    """Let as many runs commit a row each, on the store's own clock."""
    now = tools.store.now()
    for _ in range(runs):
        bench.source.put("orders", {**order(_next(bench)), "updated_at": bench.source.clock})
        bench.tick()
        request = bench.request(APPEND)
        deadline_at = now + (request.deadline_at - request.created_at)
        report = run(request.model_copy(update={"deadline_at": deadline_at}), tools)
        assert report.exit_code == 0, report
    return report


def _next(bench: Bench) -> int:
    return 1000 + len(bench.source.tables["orders"].rows)


def checkpoints(store: Store) -> list[str]:
    return [e.key for e in store.list(log_prefix(STREAM)) if ".checkpoint." in e.key]


def test_the_hundredth_commit_is_followed_by_a_checkpoint_and_all_read_on(
    shop: Bench, tmp_path: Path, logged: Captured
) -> None:
    store = open_folder(tmp_path / "lake")
    tools = tools_of(shop, store)
    commit_some(shop, tools, 99)
    assert checkpoints(store) == []

    commit_some(shop, tools, 1)

    assert checkpoints(store) == [AT_VERSION]
    assert logged.events().count("checkpoint_written") == 1
    commit_some(shop, tools, 2)
    assert checkpoints(store) == [AT_VERSION]
    head = read_head(store, STREAM, Asked("", LONG_AGO), can_write=False)
    assert (head.version, head.trouble, len(head.files)) == (101, None, 102)
    wanted = sorted(row["id"] for row in shop.source.tables["orders"].rows)
    for name, read in READERS.items():
        rows = read(f"{store.uri}/acme/shop/orders", {})
        assert sorted(row["id"] for row in rows) == wanted, name
    assert verify(store, STREAM, Depth(deep=True), now=store.now()).findings == ()


@pytest.fixture
def at_every_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpp_extractor.trial.CHECKPOINT_EVERY_COMMITS", 1)


def _without_deltalake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "find_spec", lambda name: None)


def _killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MODULE", "no_such_module")


def _too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "AFTER_RUN_SECONDS", 0.01)


@pytest.mark.usefixtures("at_every_commit")
@pytest.mark.parametrize(
    ("break_it", "event"),
    [
        pytest.param(_without_deltalake, "checkpoint_left_out", id="deltalake is missing"),
        pytest.param(_killed, "checkpoint_failed", id="the process ends at once"),
        pytest.param(_too_slow, "checkpoint_failed", id="the process takes too long"),
    ],
)
def test_a_checkpoint_that_cannot_be_written_only_warns(
    break_it: Callable[[pytest.MonkeyPatch], None],
    event: str,
    shop: Bench,
    tmp_path: Path,
    logged: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = open_folder(tmp_path / "lake")
    break_it(monkeypatch)

    report = commit_some(shop, tools_of(shop, store), 1)

    assert (report.exit_code, report.units[0].seq) == (0, 1)
    assert checkpoints(store) == []
    assert event in logged.events()
    assert verify(store, STREAM, Depth(), now=store.now()).findings == ()


@pytest.mark.usefixtures("at_every_commit")
def test_it_can_be_switched_off(shop: Bench, tmp_path: Path, logged: Captured) -> None:
    store = open_folder(tmp_path / "lake")

    commit_some(shop, tools_of(shop, store, DPP_AUTO_CHECKPOINT="false"), 1)

    assert checkpoints(store) == []
    assert not [event for event in logged.events() if event.startswith("checkpoint")]


@pytest.mark.usefixtures("at_every_commit")
def test_a_run_that_commits_nothing_writes_none(
    shop: Bench, tmp_path: Path, logged: Captured
) -> None:
    store = open_folder(tmp_path / "lake")
    tools = tools_of(shop, store)
    commit_some(shop, tools, 1)
    before = checkpoints(store)
    request = shop.request(APPEND)

    report = run(
        request.model_copy(
            update={"deadline_at": store.now() + (request.deadline_at - request.created_at)}
        ),
        tools,
    )

    assert report.units[0].outcome == "Unchanged"
    assert (len(before), checkpoints(store)) == (1, before)
    assert logged.events().count("checkpoint_written") == 1
