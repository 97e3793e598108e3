"""What is old enough to go: only what is named, only by age, and never what a run may still need."""

from datetime import UTC, datetime, timedelta

import pytest

from dpp_core.errors import DestinationUnavailableError, StreamError, UsageError
from dpp_extractor.ports import Entry
from dpp_extractor.publish.fold import Head
from dpp_extractor.publish.keys import Stream, table_prefix
from dpp_extractor.upkeep import vacuum as vacuums
from dpp_extractor.upkeep.child import Bounds
from dpp_extractor.upkeep.control import Keep, choose_old, find_kind, sweep
from dpp_extractor.upkeep.place import Place
from dpp_extractor.upkeep.vacuum import (
    Rule,
    check_list,
    decide_floor_hours,
    parse_interval_hours,
    vacuum,
)
from fake_store import FakeStore
from tamper import ORDERS, STOCK, make_lake

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RUN = "acme/shop/_dpp/runs/run-1/attempt-1.json"
KEPT_FOR_EVER = (
    "acme/shop/_dpp/datasets/orders/claim.json",
    "acme/shop/_dpp/datasets/orders/commits/live/00000000000000000001.json",
    "acme/shop/_dpp/datasets/orders/commits/backfill-x/00000000000000000001.json",
    "acme/shop/_dpp/datasets/orders/seen/live/00000000000000000001",
    "acme/shop/_dpp/datasets/orders/digests/00000000000000000001.json",
    "acme/shop/_dpp/datasets/orders/new/quarantine/x/y",
    "acme/shop/_dpp/unknown/run-1.json",
    "acme/shop/orders/data/attempt-1/part-00000.parquet",
    "acme/shop/orders/_delta_log/00000000000000000001.json",
    "acme/shop/runs/run-1/attempt-1.json",
)


# --- control data ---


@pytest.mark.parametrize("key", KEPT_FOR_EVER)
def test_what_is_not_named_is_never_old(key: str) -> None:
    old = Entry(key, 1, NOW - timedelta(days=4000))

    assert find_kind(key) is None
    assert list(choose_old([old], Keep(1, 1, 1), NOW)) == []


@pytest.mark.parametrize(
    ("key", "kind", "days"),
    [
        pytest.param(RUN, "runs", 400, id="records"),
        pytest.param("acme/shop/_dpp/plans/run-1.json", "plans", 400, id="plans"),
        pytest.param(
            "acme/shop/_dpp/datasets/a.b/quarantine/run-1/attempt-1.jsonl",
            "quarantine",
            30,
            id="quarantine",
        ),
    ],
)
def test_each_kind_goes_the_moment_it_is_over_age(key: str, kind: str, days: int) -> None:
    def is_old(age: timedelta) -> bool:
        return [kind for kind, _ in choose_old([Entry(key, 1, NOW - age)], Keep(), NOW)] == [kind]

    assert not is_old(timedelta(days=days))
    assert is_old(timedelta(days=days, microseconds=1))


def test_a_sweep_counts_first_and_deletes_only_when_told() -> None:
    lake = make_lake(2)
    lake.store.clock += timedelta(days=500)
    before = dict(lake.store.objects)

    listed = sweep(lake.store, (ORDERS, STOCK), Keep(), apply=False)
    assert lake.store.objects == before
    deleted = sweep(lake.store, (ORDERS, STOCK), Keep(), apply=True)

    assert listed == deleted
    assert {each.kind: each.keys for each in deleted} == {"runs": 2, "plans": 2, "quarantine": 1}
    gone = set(before) - set(lake.store.objects)
    assert len(gone) == 5
    assert all("/runs/" in key or "/plans/" in key or "/quarantine/" in key for key in gone)
    assert sum(each.keys for each in sweep(lake.store, (ORDERS, STOCK), Keep(), apply=True)) == 0


# --- data files ---


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("interval 7 days", 168),
        ("interval 1 week", 168),
        ("INTERVAL 30 DAYS", 720),
        ("interval 90 minutes", 1.5),
        ("interval 0 days", 0),
        ("10 years", None),
        ("interval 1 day 2 hours", None),
        ("interval -1 days", None),
        ("", None),
    ],
)
def test_an_interval_is_read_as_engines_read_it(text: str, hours: float | None) -> None:
    assert parse_interval_hours(text) == hours


@pytest.mark.parametrize(
    ("text", "floor"),
    [
        pytest.param("interval 7 days", 168, id="ours"),
        pytest.param("interval 30 days", 720, id="longer"),
        pytest.param("interval 1 hours", 144, id="shorter: twice the longest run counts"),
        pytest.param("nonsense", 168, id="unreadable: the default counts"),
    ],
)
def test_no_retention_is_shorter_than_the_tables_or_two_runs(text: str, floor: int) -> None:
    assert decide_floor_hours({"delta.deletedFileRetentionDuration": text}) == floor


@pytest.mark.parametrize("hours", [1, 24, 167])
def test_a_retention_below_the_floor_is_refused_before_anything_starts(hours: int) -> None:
    lake = make_lake(1)

    with pytest.raises(UsageError, match="168 or more"):
        _vacuum(lake.store, Rule(hours))


def test_without_a_table_there_is_nothing_to_vacuum() -> None:
    assert _vacuum(FakeStore(), Rule()) is None


def test_a_clock_that_is_off_stops_the_vacuum(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make_lake(1)
    monkeypatch.setattr(vacuums, "carry_out", _never)

    with pytest.raises(DestinationUnavailableError, match="clock"):
        _vacuum(lake.store, Rule(), off_seconds=61)


def test_a_live_file_on_the_list_stops_it_and_nothing_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake = make_lake(1)
    path = lake.data(0).removeprefix(f"{table_prefix(ORDERS)}/")
    asked = []
    monkeypatch.setattr(
        vacuums, "carry_out", lambda work, bounds: asked.append(work) or {"paths": [path]}
    )
    lake.store.clock += timedelta(days=30)

    with pytest.raises(StreamError, match="in the table"):
        _vacuum(lake.store, Rule(apply=True))

    assert [work.arguments["dry_run"] for work in asked] == [True]


@pytest.mark.parametrize(
    ("age_hours", "is_refused"), [(167, True), (169, False)], ids=["young", "old"]
)
def test_a_young_file_on_the_list_stops_it(age_hours: int, is_refused: bool) -> None:
    found = {"data/a/p": Entry("data/a/p", 1, NOW - timedelta(hours=age_hours))}
    oldest_kept_at = NOW - timedelta(hours=168)

    if not is_refused:
        check_list(["data/a/p"], Head(), found, oldest_kept_at)
        return
    with pytest.raises(StreamError, match="too young"):
        check_list(["data/a/p"], Head(), found, oldest_kept_at)


def _vacuum(store: FakeStore, rule: Rule, off_seconds: float = 0) -> object:
    return vacuum(
        store,
        Stream("acme", "shop", "orders"),
        Place("/nowhere"),
        Bounds({}),
        rule=rule,
        now=store.clock + timedelta(seconds=off_seconds),
    )


def _never(*_: object) -> None:
    raise AssertionError("nothing may be started")
