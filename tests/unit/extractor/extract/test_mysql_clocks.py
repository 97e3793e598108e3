"""The horizon of MySQL without a server: who holds a window back, who does not, and in which zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dpp_extractor.extract.database.mysql.clocks import (
    Statement,
    Transaction,
    decide_horizon,
    is_fresh,
)
from dpp_extractor.extract.database.mysql.zones import decide_zone

NOW = datetime(2026, 7, 1, 12, 0, 0, 500_000, UTC)


def before(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def transaction(seconds: float, thread: int = 7, *, is_read_only: bool = False) -> Transaction:
    return Transaction(thread, is_read_only, before(seconds))


@pytest.mark.parametrize(
    ("transactions", "statements", "age_seconds", "holder"),
    [
        ([], [], 0, ""),
        ([transaction(30)], [], 30, "thread 7"),
        ([transaction(30), transaction(90, 8)], [], 90, "thread 8"),
        ([transaction(30, is_read_only=True)], [], 0, ""),
        ([], [Statement(5, "erp", 12.5)], 12.5, "thread 5 (erp)"),
        ([transaction(3, 5)], [Statement(5, "erp", 40)], 40, "thread 5 (erp)"),
        ([transaction(3, 5, is_read_only=True)], [Statement(5, "dpp", 9_000)], 0, ""),
        ([transaction(10, 0)], [], 310, "a prepared transaction"),
        ([transaction(-1)], [], 0, ""),
    ],
    ids=[
        "nobody",
        "an open transaction",
        "the older of two",
        "a read-only one",
        "a statement that has not touched a table yet",
        "a transaction younger than its statement",
        "a reader's long statement",
        "a prepared one",
        "one begun after the clock",
    ],
)
def test_the_earliest_that_may_still_write_is_the_horizon(
    transactions: list[Transaction], statements: list[Statement], age_seconds: float, holder: str
) -> None:
    clocks = decide_horizon(NOW, "UTC", transactions, statements)

    assert clocks.horizon_at == before(age_seconds)
    assert clocks.holder.startswith(holder)
    assert bool(clocks.holder) == bool(holder)


def test_a_list_without_our_own_transaction_is_old() -> None:
    assert is_fresh([transaction(0.5, 3)], 3, NOW)
    assert not is_fresh([transaction(0.5, 4)], 3, NOW)
    assert not is_fresh([transaction(60, 3)], 3, NOW)


@pytest.mark.parametrize(
    ("name", "offsets", "expected"),
    [
        ("Europe/Berlin", [], "Europe/Berlin"),
        ("+00:00", [], "UTC"),
        ("+02:00", [], "Etc/GMT-2"),
        ("-03:30", [], "Etc/GMT+4"),
        ("+05:30", [], "Etc/GMT-5"),
        ("SYSTEM", [0, 0], "UTC"),
        ("SYSTEM", [60, 120], "Etc/GMT-1"),
        ("SYSTEM", [-240, -300], "Etc/GMT+5"),
        ("SYSTEM", [-210], "Etc/GMT+4"),
    ],
)
def test_a_zone_is_the_servers_or_one_that_is_never_ahead_of_it(
    name: str, offsets: list[int], expected: str
) -> None:
    zone = decide_zone(name, offsets)

    assert zone == expected
    for offset in offsets:
        true_local = NOW + timedelta(minutes=offset)
        assert NOW.astimezone(ZoneInfo(zone)).replace(tzinfo=UTC) <= true_local
