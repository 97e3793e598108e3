"""The run on fakes: what is asked in which order, what a failure stops, and what a killed run leaves."""

from datetime import timedelta

import pytest

from dpp_core.errors import (
    CredentialsRefusedError,
    DppError,
    InternalError,
    ResourcesError,
    SourceObjectError,
    SourceUnavailableError,
    VaultUnavailableError,
)
from dpp_core.names import Reason, RunOutcome, UnitOutcome
from dpp_extractor.publish.keys import Stream, claim_key
from fake_source import Broken
from run_bench import APPEND, REPLACE, Bench, FakeIndex, Killed, make_shop, order, unit_of

THREE = tuple(unit_of(name) for name in ("customers", "orders", "stock"))


@pytest.fixture
def bench() -> Bench:
    """Give three tables of which `orders` has three rows."""
    return make_shop()


# --- order of things ---


def test_every_head_is_read_before_the_clocks_and_the_clocks_before_the_view(bench: Bench) -> None:
    bench.run(*THREE)

    heads = [n for n, call in enumerate(bench.journal) if call == "hook heads_read"]
    places = [
        bench.journal.index(call)
        for call in ("connect", "clocks", "snapshot", "describe customers")
    ]
    assert len(heads) == 3
    assert places == sorted(places)
    assert max(heads) < places[0]


def test_all_datasets_are_read_from_one_view(bench: Bench) -> None:
    bench.run(*THREE)

    assert bench.source.calls.count("connect") == 1
    assert bench.source.calls.count("snapshot") == 1
    assert bench.source.calls[-2:] == ["close", "disconnect"]


def test_the_record_tells_what_the_source_bore_for_each_dataset_and_for_all(bench: Bench) -> None:
    bench.source.notes = ("It has no key.",)
    bench.index = FakeIndex()

    report = bench.run(*THREE)

    record = bench.records(report.run_id)[0]
    assert [unit.load and unit.load.longest_statement_seconds for unit in record.units] == [2.0] * 3
    assert record.load is not None
    assert record.load.statements == 3
    assert record.units[1].warnings == ("It has no key.",)
    assert report.longest_statement_seconds == 2.0
    assert bench.index.of("runs")[0]["load"]["longest_statement"] == "Reading"


def test_the_record_tells_what_the_source_bore_for_a_dataset_that_failed(bench: Bench) -> None:
    _failing(bench, "orders", SourceUnavailableError("gone"))

    report = bench.run(*THREE)

    loads = {unit.dataset: unit.load for unit in bench.records(report.run_id)[0].units}
    assert loads["orders"] is not None
    assert loads["stock"] is None, "the source was not asked for it"


def test_every_part_and_the_rejected_rows_are_stored_before_the_commit(bench: Bench) -> None:
    bench.source.put("orders", order(9, item=Broken("\x00")))

    bench.run(APPEND)

    kept = [call for call in bench.journal if "quarantine" in call or "commit_sent" in call]
    uploaded = bench.journal.index("hook part_uploaded")
    assert [call.split()[0] for call in kept] == ["put", "hook"]
    assert uploaded < bench.journal.index(kept[0])


# --- what stops what ---


def _failing(bench: Bench, dataset: str, error: BaseException, at: str = "describe") -> None:
    def before(call: str) -> None:
        bench.journal.append(call)
        if call == f"{at} {dataset}":
            raise error

    bench.source.before = before


@pytest.mark.parametrize(
    "error",
    [SourceObjectError("gone"), InternalError("bug")],
    ids=lambda error: type(error).__name__,
)
def test_one_datasets_failure_leaves_the_others_alone(bench: Bench, error: DppError) -> None:
    _failing(bench, "orders", error)

    report = bench.run(*THREE)

    assert [unit.code for unit in report.units] == [0, error.exit_code, 0]
    assert (report.outcome, report.exit_code) == (RunOutcome.PARTIAL, error.exit_code)
    assert bench.commits("orders") == 0
    assert bench.commits("stock") == 1


@pytest.mark.parametrize(
    "error",
    [SourceUnavailableError("gone"), CredentialsRefusedError("no"), ResourcesError("full")],
    ids=lambda error: type(error).__name__,
)
def test_a_shared_failure_skips_the_rest_with_its_code(bench: Bench, error: DppError) -> None:
    _failing(bench, "orders", error)

    report = bench.run(*THREE)

    assert [(unit.outcome.value, unit.code) for unit in report.units] == [
        ("Committed", 0),
        ("Failed", error.exit_code),
        ("Skipped", error.exit_code),
    ]
    assert "describe stock" not in bench.journal
    assert report.outcome is RunOutcome.PARTIAL


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceUnavailableError("down"), 23),
        (CredentialsRefusedError("no"), 22),
        (VaultUnavailableError("sealed"), 30),
        (RuntimeError("a bug while connecting"), 70),
        (MemoryError(), 28),
    ],
    ids=["down", "refused", "sealed", "bug", "memory"],
)
def test_a_source_that_cannot_be_opened_fails_every_dataset(
    bench: Bench, error: Exception, code: int
) -> None:
    def before(call: str) -> None:
        if call == "connect":
            raise error

    bench.source.before = before

    report = bench.run(*THREE)

    assert [(unit.outcome.value, unit.code) for unit in report.units] == [("Failed", code)] * 3
    assert (report.outcome, report.exit_code) == (RunOutcome.FAILED, code)
    assert len(bench.records(report.run_id)) == 1


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (ZeroDivisionError("sum of nothing"), 70, Reason.INTERNAL),
        (KeyError("id"), 70, Reason.INTERNAL),
        (OSError(28, "No space left on device"), 28, Reason.RESOURCES_EXHAUSTED),
        (OSError(24, "Too many open files"), 28, Reason.RESOURCES_EXHAUSTED),
        (OSError(2, "No such file"), 70, Reason.INTERNAL),
        (MemoryError("out of memory"), 28, Reason.RESOURCES_EXHAUSTED),
    ],
    ids=["bug", "key", "disk", "descriptors", "file", "memory"],
)
def test_what_nobody_foresaw_is_named_with_its_dataset(
    bench: Bench, error: Exception, code: int, reason: Reason
) -> None:
    _failing(bench, "orders", error, at="read")

    unit = bench.run(*THREE).units[1]

    assert (unit.code, unit.reason) == (code, reason)
    assert unit.message.startswith(f"orders: {type(error).__name__}")
    assert bench.commits("orders") == 0


def test_a_store_that_is_down_fails_every_dataset_before_the_source_is_asked(bench: Bench) -> None:
    bench.store.faults.down = True

    report = bench.run(*THREE)

    assert [unit.code for unit in report.units] == [26, 26, 26]
    assert report.exit_code == 26
    assert bench.source.calls == []


def test_a_stream_that_needs_a_person_does_not_stop_the_others(bench: Bench) -> None:
    bench.run(*THREE)
    bench.tick()
    bench.store.put_raw(claim_key(Stream("acme", "shop", "orders")), b"{torn")

    report = bench.run(*THREE)

    assert [unit.code for unit in report.units] == [0, 29, 0]
    assert report.units[1].reason is Reason.STREAM_OWNED_BY_ANOTHER


def test_a_wrong_choice_of_columns_in_one_dataset_does_not_stop_the_others(bench: Bench) -> None:
    wrong = unit_of("orders", rename={"colour": "shade"})

    report = bench.run(THREE[0], wrong, THREE[2])

    assert [unit.code for unit in report.units] == [0, 20, 0]
    assert "colour" in report.units[1].message


def test_a_crash_while_one_head_is_read_stays_with_its_dataset(bench: Bench) -> None:
    def note(call: str) -> None:
        if call.startswith("list acme/shop/orders/_delta_log"):
            raise ValueError("a bug in the fold")

    bench.store.note = note

    report = bench.run(*THREE)

    assert [unit.code for unit in report.units] == [0, 70, 0]


# --- stop and deadline ---


def test_a_stop_between_two_batches_ends_with_143_and_nothing_of_the_unit_is_seen(
    bench: Bench,
) -> None:
    bench.on_hook = lambda point: (
        bench.stop.ask("SIGTERM") if point == "batch_read" and not bench.stop.is_asked else None
    )

    report = bench.run(*THREE)

    assert [(unit.outcome.value, unit.code) for unit in report.units] == [
        ("Committed", 0),
        ("Failed", 143),
        ("Skipped", 143),
    ]
    assert report.exit_code == 143
    assert bench.commits("orders") == 0
    assert bench.source.calls.count("read orders") <= 2
    assert not any(key.endswith(".parquet") for key in bench.store.objects)
    assert len(bench.records(report.run_id)) == 1


def test_a_stopped_run_goes_on_with_the_same_name(bench: Bench) -> None:
    bench.on_hook = lambda point: (
        bench.stop.ask("SIGTERM") if point == "batch_read" and not bench.stop.is_asked else None
    )
    request = bench.request(*THREE)
    bench.again(request)
    bench.on_hook, bench.stop = lambda point: None, Bench().stop

    report = bench.again(request)

    assert [unit.outcome.value for unit in report.units] == [
        "AlreadyCommitted",
        "Committed",
        "Committed",
    ]
    assert bench.current() == bench.source_rows()


def test_a_deadline_that_comes_while_rows_are_read_stops_every_dataset(bench: Bench) -> None:
    bench.on_hook = lambda point: bench.store.tick(7200) if point == "batch_read" else None

    report = bench.run(*THREE, deadline_at=bench.source.clock + timedelta(hours=1))

    assert [(unit.outcome.value, unit.code) for unit in report.units] == [
        ("Committed", 0),
        ("Failed", 75),
        ("Skipped", 75),
    ]
    assert report.units[1].reason is Reason.DEADLINE_EXCEEDED
    assert bench.commits("orders") == 0


# --- started again ---


def test_a_run_started_again_finds_its_commits_without_asking_the_source(bench: Bench) -> None:
    request = bench.request(*THREE)
    first = bench.again(request)
    bench.source.calls.clear()

    second = bench.again(request)

    assert [unit.outcome.value for unit in second.units] == ["AlreadyCommitted"] * 3
    assert bench.source.calls == []
    assert [(unit.seq, unit.rows, unit.high) for unit in second.units] == [
        (unit.seq, unit.rows, unit.high) for unit in first.units
    ]
    assert second.exit_code == 0
    assert len(bench.records(request.run_id)) == 2


def test_a_run_started_again_tells_the_index_what_it_missed(bench: Bench) -> None:
    request = bench.request()
    bench.again(request)
    bench.index = FakeIndex()

    report = bench.again(request)

    assert report.index == "Current"
    assert [document["seq"] for document in bench.index.of("commits")] == [1]
    assert [document["watermark"] for document in bench.index.of("watermarks")] == [
        "2026-01-02T03:04:14.000000+00:00"
    ]


def test_an_old_run_started_again_does_not_hide_a_newer_commit_in_the_index(bench: Bench) -> None:
    bench.index = FakeIndex()
    old = bench.request()
    bench.again(old)
    bench.source.put("orders", order(4, 20))
    bench.tick(60)
    bench.run(APPEND)

    report = bench.again(old)

    assert report.units[0].outcome is UnitOutcome.ALREADY_COMMITTED
    assert [document["seq"] for document in bench.index.of("watermarks")] == [2]


def test_what_ended_for_good_is_not_read_again_by_the_same_run(bench: Bench) -> None:
    bench.run(REPLACE)
    bench.source.tables["orders"].rows.clear()
    bench.tick()
    request = bench.request(REPLACE, unit_of("stock"))
    first = bench.again(request)
    bench.source.calls.clear()
    bench.source.put("orders", order(1))

    second = bench.again(request)

    assert [unit.code for unit in first.units] == [24, 0]
    assert second.units[0] == first.units[0]
    assert "describe orders" not in bench.source.calls
    assert bench.commits() == 1


@pytest.mark.parametrize("body", [b"", b"{torn", b"[]", b'{"units": 3}', b'{"units": [{}]}'])
def test_a_record_nobody_understands_costs_a_read_and_not_the_run(
    bench: Bench, body: bytes
) -> None:
    request = bench.request()
    bench.store.put_raw(f"acme/shop/_dpp/runs/{request.run_id}/old.json", body)

    assert bench.again(request).exit_code == 0


# --- killed ---

POINTS = (
    "preflight",
    "claimed",
    "heads_read",
    "snapshot_open",
    "batch_read",
    "part_uploaded",
    "parts_done",
    "commit_sent",
    "commit_unread",
    "committed",
    "copied",
    "indexed",
    "recorded",
    "reported",
)


@pytest.mark.parametrize("same_name", [True, False], ids=["same run", "next run"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_the_next_run_ends_with_the_table_of_an_undisturbed_one(
    bench: Bench, point: str, same_name: bool
) -> None:
    bench.index = FakeIndex()
    request = bench.request()
    bench.kill_at(point)
    with pytest.raises(Killed):
        bench.again(request)
    bench.tick()

    report = bench.again(request) if same_name else bench.run(APPEND)

    assert report.exit_code == 0
    assert bench.current() == bench.source_rows()
    assert len(bench.rows()) == 3
    assert bench.commits() == 1
    is_committed = POINTS.index(point) >= POINTS.index("commit_unread")
    expected = "AlreadyCommitted" if same_name and is_committed else None
    assert expected in (None, report.units[0].outcome.value)


@pytest.mark.parametrize("point", POINTS)
def test_a_hook_of_that_name_is_really_passed(bench: Bench, point: str) -> None:
    bench.index = FakeIndex()
    bench.run(APPEND)

    assert f"hook {point}" in bench.journal
