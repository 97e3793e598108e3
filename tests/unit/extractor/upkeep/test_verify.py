"""Verify finds every damage there is a word for, says it in that word, and finds nothing where nothing is."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dpp_extractor.publish.keys import Stream, copy_key, log_key, quarantine_key, table_prefix
from dpp_extractor.upkeep.findings import Problem, Verdict
from dpp_extractor.upkeep.verify import Depth, verify
from fake_source import FakeTable
from run_bench import APPEND, Killed, order
from tamper import (
    ORDERS,
    STOCK,
    STOCK_UNIT,
    Action,
    Lake,
    action_of,
    claim_of,
    control_of,
    dpp_of,
    flip,
    make_lake,
    versions_of,
)

P = Problem


@pytest.fixture
def lake() -> Lake:
    return make_lake()


def look(lake: Lake, stream: Stream = ORDERS, *, deep: bool = True, days: int = 30) -> Verdict:
    return verify(lake.store, stream, Depth(deep, days), now=lake.store.clock)


def problems(verdict: Verdict) -> set[Problem]:
    return {finding.problem for finding in verdict.findings}


# --- where nothing is wrong ---


@pytest.mark.parametrize("deep", [True, False], ids=["deep", "quick"])
@pytest.mark.parametrize("stream", [ORDERS, STOCK], ids=["append", "replace"])
def test_a_clean_table_gives_no_finding(lake: Lake, stream: Stream, deep: bool) -> None:
    verdict = look(lake, stream, deep=deep)

    assert verdict.findings == ()
    assert verdict.is_whole
    assert (verdict.versions, verdict.commits, verdict.strangers) == (4, 4, 0)
    assert verdict.digests == (verdict.files if deep else 0)


def test_what_was_looked_at_is_counted(lake: Lake) -> None:
    verdict = look(lake, STOCK)

    assert (verdict.files, verdict.unused) == (1, 3)
    assert verdict.rows == len(lake.bench.rows("stock"))


def test_a_reset_and_a_run_killed_behind_its_commit_leave_nothing_to_find(lake: Lake) -> None:
    lake.bench.source.put("orders", order(900, 60))
    lake.bench.tick(60)
    lake.bench.run(APPEND.model_copy(update={"epoch": 1}))
    lake.bench.source.put("orders", order(901, 120))
    lake.bench.tick(60)
    lake.bench.kill_at("copied")
    with pytest.raises(Killed):
        lake.bench.run(APPEND.model_copy(update={"epoch": 1}))

    assert look(lake).findings == ()


def test_a_claimed_stream_without_a_table_is_whole(lake: Lake) -> None:
    lake.bench.source.tables["bare"] = FakeTable(rows=[])
    lake.write("acme/shop/_dpp/datasets/bare/claim.json", lake.store.objects[claim_of()])

    assert look(lake, Stream("acme", "shop", "bare")).findings == ()


def test_the_last_copy_may_be_yet_to_come(lake: Lake) -> None:
    lake.remove(copy_key(ORDERS, "live", 4))

    verdict = look(lake)

    assert problems(verdict) == {P.LAST_COPY_MISSING}
    assert verdict.is_whole


def test_quarantine_that_was_cleaned_by_age_is_not_missed(lake: Lake) -> None:
    for key in lake.keys("/quarantine/"):
        lake.remove(key)

    assert problems(look(lake, days=30)) == {P.QUARANTINE_MISSING}
    lake.store.clock += timedelta(days=31)
    assert look(lake, days=30).findings == ()


def test_records_of_an_earlier_table_of_this_name_do_not_count(lake: Lake) -> None:
    for key in [*lake.keys(f"{table_prefix(ORDERS)}/"), *lake.keys(f"{control_of()}/")]:
        lake.remove(key)
    lake.bench.tick(3600)
    lake.bench.source.put("orders", order(900, 3000))
    assert lake.bench.run(APPEND).exit_code == 0

    assert look(lake).findings == ()


# --- damage by a careless hand: bytes changed, things gone ---


def drop_last(lake: Lake) -> None:
    lake.remove(log_key(ORDERS, 3))
    lake.remove(copy_key(ORDERS, "live", 4))


def remove_all_of_the_log(lake: Lake) -> None:
    for key in lake.keys(f"{table_prefix(ORDERS)}/_delta_log/"):
        lake.remove(key)


def truncate(lake: Lake, key: str) -> None:
    lake.write(key, lake.store.objects[key][:-1])


def swap(lake: Lake, one: str, other: str) -> None:
    objects = lake.store.objects
    objects[one], objects[other] = objects[other], objects[one]


def edit_counts(actions: list[Action]) -> None:
    dpp_of(actions)["counts"]["read"] += 1


def add_line_of_quarantine(lake: Lake) -> None:
    key = lake.keys("/quarantine/")[0]
    lake.write(key, lake.store.objects[key] + b"{}\n")


CARELESS: dict[str, tuple[Callable[[Lake], object], set[Problem]]] = {
    "a bit of a data file is flipped": (
        lambda lake: lake.write(lake.data(), flip(lake.store.objects[lake.data()])),
        {P.FILE_DIGEST_DIFFERS},
    ),
    "a data file is gone": (lambda lake: lake.remove(lake.data()), {P.FILE_MISSING}),
    "a data file is cut": (
        lambda lake: truncate(lake, lake.data()),
        {P.FILE_SIZE_DIFFERS, P.FILE_DIGEST_DIFFERS, P.FILE_UNREADABLE},
    ),
    "two data files are swapped": (
        lambda lake: swap(lake, lake.data(2), lake.data(3)),
        {P.FILE_DIGEST_DIFFERS},
    ),
    "a version is gone": (lambda lake: lake.remove(log_key(ORDERS, 2)), {P.VERSION_MISSING}),
    "the first version is gone": (
        lambda lake: lake.remove(log_key(ORDERS, 0)),
        {P.VERSION_MISSING},
    ),
    "the last version is gone": (
        lambda lake: lake.remove(log_key(ORDERS, 3)),
        {P.COPY_ALONE, P.RECORD_AHEAD},
    ),
    "the last version and its copy are gone": (drop_last, {P.RECORD_AHEAD}),
    "the log is gone": (remove_all_of_the_log, {P.TABLE_MISSING, P.COPY_ALONE}),
    "a version is torn": (
        lambda lake: lake.write(log_key(ORDERS, 1), lake.store.objects[log_key(ORDERS, 1)][:200]),
        {P.VERSION_UNREADABLE},
    ),
    "a version is empty": (
        lambda lake: lake.write(log_key(ORDERS, 1), b""),
        {P.VERSION_UNREADABLE},
    ),
    "a commit is edited": (
        lambda lake: lake.edit(1, edit_counts),
        {P.COPY_DIFFERS, P.CHAIN_BROKEN, P.COUNTS_DIFFER},
    ),
    "the last commit is edited": (
        lambda lake: lake.edit(3, lambda actions: dpp_of(actions).update(code_version="9")),
        {P.COPY_DIFFERS},
    ),
    "two versions are swapped": (
        lambda lake: swap(lake, log_key(ORDERS, 1), log_key(ORDERS, 2)),
        {P.CHAIN_BROKEN},
    ),
    "a copy is gone": (lambda lake: lake.remove(copy_key(ORDERS, "live", 2)), {P.COPY_MISSING}),
    "a copy is edited": (
        lambda lake: lake.write(copy_key(ORDERS, "live", 2), b"{}\n"),
        {P.COPY_DIFFERS},
    ),
    "the last copy is edited": (
        lambda lake: lake.write(
            copy_key(ORDERS, "live", 4), flip(lake.store.objects[copy_key(ORDERS, "live", 4)])
        ),
        {P.COPY_DIFFERS},
    ),
    "a copy of no commit is there": (
        lambda lake: lake.write(copy_key(ORDERS, "live", 9), b"{}\n"),
        {P.COPY_ALONE},
    ),
    "the claim is gone": (lambda lake: lake.remove(claim_of()), {P.CLAIM_MISSING}),
    "the claim is torn": (lambda lake: lake.write(claim_of(), b"{"), {P.CLAIM_MISSING}),
    "quarantined rows are gone": (
        lambda lake: lake.remove(lake.keys("/quarantine/")[0]),
        {P.QUARANTINE_MISSING},
    ),
    "quarantined rows are more": (add_line_of_quarantine, {P.QUARANTINE_DIFFERS}),
}


@pytest.mark.parametrize(("damage", "wanted"), CARELESS.values(), ids=CARELESS)
def test_damage_is_found_and_named(
    damage: Callable[[Lake], object], wanted: set[Problem], lake: Lake
) -> None:
    damage(lake)

    verdict = look(lake)

    assert wanted <= problems(verdict)
    assert not verdict.is_whole
    assert look(lake, STOCK).findings == (), "the other stream is as it was"


# --- damage by a careful forger: copy and chain are made to fit ---


def move_low(actions: list[Action]) -> None:
    dpp_of(actions)["window"]["low"] = "2026-01-02T03:04:06.000000+00:00"


def swap_windows(lake: Lake) -> None:
    one, other = (dict(dpp_of(lake.read(version))) for version in (1, 2))
    for version, said in ((1, other), (2, one)):
        part = {name: said[name] for name in ("window", "watermark")}
        lake.forge(version, lambda actions, part=part: dpp_of(actions).update(part))


def empty_window(actions: list[Action]) -> None:
    dpp = dpp_of(actions)
    dpp["window"]["high"] = dpp["watermark"] = dpp["window"]["low"]


def lose_a_row(actions: list[Action]) -> None:
    add = action_of(actions, "add")
    stats = json.loads(add["stats"])
    stats["numRecords"] -= 1
    add["stats"] = json.dumps(stats)
    dpp_of(actions)["counts"]["written"] -= 1
    dpp_of(actions)["counts"]["read"] -= 1


def drop_stats(actions: list[Action]) -> None:
    action_of(actions, "add").pop("stats")


def double_an_add(actions: list[Action]) -> None:
    actions.append({"add": dict(action_of(actions, "add"))})


def add_of(lake: Lake, version: int, stream: Stream = ORDERS) -> Callable[[list[Action]], None]:
    taken = dict(action_of(lake.read(version, stream), "add"))

    def change(actions: list[Action]) -> None:
        actions.append({"add": taken})

    return change


def keep_a_file(actions: list[Action]) -> None:
    actions.remove(next(each for each in actions if "remove" in each))


def remove_a_file(lake: Lake) -> None:
    path = action_of(lake.read(0), "add")["path"]
    remove = {"remove": {"path": path, "dataChange": True, "deletionTimestamp": 1}}
    lake.forge(2, lambda actions: actions.append(remove))


def same_run(lake: Lake) -> None:
    run_id = dpp_of(lake.read(1))["run_id"]
    lake.forge(2, lambda actions: dpp_of(actions).update(run_id=run_id))


def weaken(actions: list[Action]) -> None:
    configuration = action_of(actions, "metaData")["configuration"]
    configuration["delta.deletedFileRetentionDuration"] = "interval 1 hours"


def say(**changes: Any) -> Callable[[list[Action]], None]:
    return lambda actions: dpp_of(actions).update(changes)


FORGED: dict[str, tuple[Callable[[Lake], object], set[Problem]]] = {
    "a window begins later": (lambda lake: lake.forge(2, move_low), {P.WINDOW_GAP}),
    "two windows are swapped": (swap_windows, {P.WINDOW_GAP}),
    "a window is taken out": (
        lambda lake: lake.forge(2, say(window=None, watermark=None)),
        {P.WINDOW_GAP},
    ),
    "a window is empty": (lambda lake: lake.forge(3, empty_window), {P.WINDOW_BACKWARDS}),
    "a watermark is ahead of its window": (
        lambda lake: lake.forge(3, say(watermark="2027-01-02T03:04:06.000000+00:00")),
        {P.WATERMARK_DIFFERS},
    ),
    "a read lies before the last": (
        lambda lake: lake.forge(3, say(read_at="2026-01-02T03:04:05.000000+00:00")),
        {P.READ_AT_BACKWARDS},
    ),
    "an epoch goes up without a reset": (
        lambda lake: lake.forge(3, say(epoch=7)),
        {P.EPOCH_BACKWARDS},
    ),
    "a seq is left out": (
        lambda lake: lake.forge(3, say(seq=5, base_seq=4)),
        {P.TRANSACTION_DIFFERS},
    ),
    "a commit says another version": (
        lambda lake: lake.forge(3, say(version=9)),
        {P.CHAIN_BROKEN},
    ),
    "the transaction is another": (
        lambda lake: lake.forge(3, lambda actions: action_of(actions, "txn").update(version=9)),
        {P.TRANSACTION_DIFFERS},
    ),
    "a run commits twice": (same_run, {P.RUN_TWICE}),
    "counts do not add up": (lambda lake: lake.forge(1, edit_counts), {P.COUNTS_DIFFER}),
    "a row is counted away": (lambda lake: lake.forge(1, lose_a_row), {P.FILE_ROWS_DIFFER}),
    "a file has no count": (lambda lake: lake.forge(1, drop_stats), {P.COUNTS_DIFFER}),
    "an add is doubled": (lambda lake: lake.forge(1, double_an_add), {P.FILE_TWICE}),
    "a file is in two commits": (
        lambda lake: lake.forge(2, add_of(lake, 1)),
        {P.FILE_TWICE, P.FILE_OF_ANOTHER},
    ),
    "an append removes a file": (remove_a_file, {P.REMOVES_DIFFER}),
    "the retention is weakened": (lambda lake: lake.forge(0, weaken), {P.RETENTION_WEAKENED}),
    "a newer writer is claimed": (
        lambda lake: lake.forge(3, say(min_reader=9)),
        {P.VERSION_UNREADABLE},
    ),
    "more rows were quarantined than are there": (
        lambda lake: lake.forge(
            1, lambda actions: dpp_of(actions)["counts"].update(quarantined=2, read=5)
        ),
        {P.QUARANTINE_DIFFERS},
    ),
}


@pytest.mark.parametrize(("damage", "wanted"), FORGED.values(), ids=FORGED)
def test_a_forgery_is_found_by_the_rule_it_breaks(
    damage: Callable[[Lake], object], wanted: set[Problem], lake: Lake
) -> None:
    damage(lake)

    verdict = look(lake)

    assert wanted <= problems(verdict)
    assert not problems(verdict) & {P.COPY_DIFFERS, P.COPY_MISSING}
    assert not verdict.is_whole


def test_a_replace_that_keeps_an_old_file_is_found(lake: Lake) -> None:
    lake.forge(3, keep_a_file, STOCK)

    verdict = look(lake, STOCK)

    assert P.REMOVES_DIFFER in problems(verdict)


# --- strangers ---


def stranger(operation: str, *actions: Action, **info: Any) -> bytes:
    head = {"commitInfo": {"timestamp": 1, "operation": operation, "engineInfo": "other", **info}}
    return b"\n".join(json.dumps(each).encode() for each in (head, *actions))


def test_what_a_stranger_may_do_is_counted_and_no_damage(lake: Lake) -> None:
    lake.write(log_key(ORDERS, 4), stranger("VACUUM START"))
    lake.write(log_key(ORDERS, 5), stranger("VACUUM END"))

    verdict = look(lake)

    assert (verdict.findings, verdict.strangers) == ((), 2)


def test_a_vacuum_below_the_retention_is_named_and_leaves_the_table_whole(lake: Lake) -> None:
    asked = {"specifiedRetentionMillis": "3600000", "retentionCheckEnabled": "false"}
    lake.write(log_key(ORDERS, 4), stranger("VACUUM START", operationParameters=asked))

    verdict = look(lake)

    assert problems(verdict) == {P.VACUUM_TOO_EARLY}
    assert verdict.is_whole
    assert "1 hours" in verdict.findings[0].message


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [pytest.param(0, set(), id="as many"), pytest.param(-1, {P.ROWS_CHANGED}, id="one less")],
)
def test_a_compaction_must_keep_the_number_of_rows(
    rows: int, wanted: set[Problem], lake: Lake
) -> None:
    old = action_of(lake.read(1), "add")
    stats = {"numRecords": json.loads(old["stats"])["numRecords"] + rows}
    body = lake.store.objects[lake.data(1)]
    lake.write(f"{table_prefix(ORDERS)}/new.parquet", body)
    add = {
        "path": "new.parquet",
        "size": len(body),
        "partitionValues": {},
        "modificationTime": 1,
        "dataChange": False,
        "stats": json.dumps(stats),
    }
    remove = {"path": old["path"], "dataChange": False, "deletionTimestamp": 1}
    lake.write(log_key(ORDERS, 4), stranger("OPTIMIZE", {"add": add}, {"remove": remove}))

    found = problems(look(lake, deep=False))

    assert found == wanted


@pytest.mark.parametrize("operation", ["RESTORE", "WRITE"])
def test_what_dpp_cannot_build_on_is_named_until_a_reset_heals_it(
    operation: str, lake: Lake
) -> None:
    path = action_of(lake.read(0), "add")["path"]
    remove = {"path": path, "dataChange": True, "deletionTimestamp": 1}
    lake.write(log_key(ORDERS, 4), stranger(operation, {"remove": remove}))

    assert problems(look(lake)) == {P.TABLE_CHANGED}

    lake.bench.tick(60)
    assert lake.bench.run(APPEND.model_copy(update={"epoch": 1})).exit_code == 0
    assert look(lake).findings == ()


def test_the_log_goes_on_behind_damage_and_finds_the_next(lake: Lake) -> None:
    lake.remove(log_key(ORDERS, 1))
    lake.remove(lake.data(3))

    verdict = look(lake)

    assert {P.VERSION_MISSING, P.FILE_MISSING} <= problems(verdict)
    assert P.CHAIN_BROKEN not in problems(verdict), "the copy stood in for the lost version"


def test_a_first_version_that_is_lost_is_the_only_finding_while_its_copy_is_there(
    lake: Lake,
) -> None:
    lake.remove(log_key(ORDERS, 0))

    assert problems(look(lake)) == {P.VERSION_MISSING}


def test_nothing_is_written_by_looking(lake: Lake) -> None:
    before, puts = dict(lake.store.objects), len(lake.store.puts)

    look(lake)
    look(lake, STOCK)

    assert (lake.store.objects, len(lake.store.puts)) == (before, puts)


def test_findings_beyond_a_thousand_are_counted_and_not_kept(lake: Lake) -> None:
    for seq in range(10, 1210):
        lake.write(copy_key(ORDERS, "live", seq), b"{}")

    verdict = look(lake)

    assert (len(verdict.findings), verdict.more_findings) == (1000, 200)


def test_where_and_what_are_said_for_a_person(lake: Lake) -> None:
    lake.remove(lake.data(1))

    (finding,) = look(lake).findings

    assert finding.where == lake.data(1).removeprefix(f"{table_prefix(ORDERS)}/")
    assert finding.message == "The table needs this file; it is not there."


def test_a_stock_of_the_last_run_is_what_is_live(lake: Lake) -> None:
    """The helper that other tests damage must point at the live file."""
    assert versions_of(lake, STOCK) == [0, 1, 2, 3]
    assert lake.live_of_stock().endswith(next(iter(lake.bench.head("stock").files)))
    assert STOCK_UNIT.write == "Replace"
    assert quarantine_key(ORDERS, "r", "a").startswith(control_of())
