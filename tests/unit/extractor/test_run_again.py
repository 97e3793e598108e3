"""A source that is lost in the middle of a read: the rest is read anew, from a new snapshot, before any commit."""

from dataclasses import replace

import pytest

from dpp_core.errors import DestinationUnavailableError, DppError, SourceUnavailableError
from dpp_core.handover import RunReport
from dpp_core.names import Reason
from dpp_extractor.guard.retry import RetryPolicy, retrying
from dpp_extractor.run import run
from run_bench import Bench, make_shop, order, unit_of

THREE = tuple(unit_of(name) for name in ("customers", "orders", "stock"))


def lose(bench: Bench, error: DppError, times: int, at: str = "read orders") -> None:
    """Let the source fail so often when it is asked for that."""
    left = [error] * times

    def before(call: str) -> None:
        bench.journal.append(call)
        if call == at and left:
            raise left.pop()

    bench.source.before = before


def carry_out(bench: Bench, waits: list[float] | None = None, attempts: int = 3) -> RunReport:
    retry = retrying(
        RetryPolicy(attempts=attempts),
        sleep=(waits if waits is not None else []).append,
        rng=lambda: 1.0,
        what="read",
    )
    tools = bench.tools()
    return run(bench.request(*THREE), replace(tools, retry_read=retry))


@pytest.fixture
def bench() -> Bench:
    """Give three tables of which `orders` has three rows."""
    return make_shop()


def test_what_was_not_read_yet_is_read_from_a_new_snapshot_and_committed_once(bench: Bench) -> None:
    lose(bench, SourceUnavailableError("the line is dead"), times=1)
    waits: list[float] = []

    report = carry_out(bench, waits)

    assert [unit.outcome.value for unit in report.units] == ["Committed"] * 3
    assert bench.commits() == 1
    assert [row["id"] for row in bench.rows()] == [1, 2, 3]
    assert bench.source.calls.count("connect") == 2
    calls = bench.source.calls
    again = calls[len(calls) - calls[::-1].index("connect") :]
    assert "describe customers" not in again, "it was committed already"
    assert waits == [0.5]
    warnings = bench.records(report.run_id)[0].warnings
    assert warnings == ("The connection was lost while orders was read: the line is dead",)


def test_what_the_source_changed_in_between_is_read_as_it_is_then(bench: Bench) -> None:
    lose(bench, SourceUnavailableError("gone"), times=1)
    changed: list[str] = []

    def change(call: str) -> None:
        if call == "hook snapshot_open" and not changed:
            changed.append(call)
            bench.source.put("orders", order(4))

    bench.on_hook = lambda point: change(f"hook {point}")

    carry_out(bench)

    assert [row["id"] for row in bench.rows()] == [1, 2, 3, 4]
    assert bench.commits() == 1


def test_patience_ends_and_nothing_of_the_dataset_is_seen(bench: Bench) -> None:
    lose(bench, SourceUnavailableError("gone"), times=99)

    report = carry_out(bench)

    assert [(unit.outcome.value, unit.code) for unit in report.units] == [
        ("Committed", 0),
        ("Failed", 23),
        ("Skipped", 23),
    ]
    assert bench.commits() == 0
    assert bench.source.calls.count("connect") == 3
    assert bench.records(report.run_id)[0].units[1].load is not None


@pytest.mark.parametrize(
    "error",
    [
        SourceUnavailableError("timed out", reason=Reason.SOURCE_READ_FAILED),
        DestinationUnavailableError("the bucket is away"),
    ],
    ids=["a statement that took too long", "the destination"],
)
def test_what_another_connection_cannot_mend_is_not_read_again(
    bench: Bench, error: DppError
) -> None:
    lose(bench, error, times=1)

    report = carry_out(bench)

    assert report.units[1].code == error.exit_code
    assert bench.source.calls.count("connect") == 1


def test_a_source_that_cannot_be_connected_again_is_not_asked_beyond_that(bench: Bench) -> None:
    lose(bench, SourceUnavailableError("refused"), times=99, at="connect")

    report = carry_out(bench)

    assert [unit.code for unit in report.units] == [23, 23, 23]
    assert bench.journal.count("connect") == 1, "connecting has its own patience"
