"""Windows: which rows a run reads, and that no late commit is ever skipped or read twice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpp_core.errors import SpecError, StreamError
from dpp_core.handover import Incremental
from dpp_core.names import Reason
from dpp_extractor.batch import SourceColumn
from dpp_extractor.extract.database.window import (
    cursor_kind,
    decide_lag_seconds,
    decide_window,
    earliest_local,
    floor_to,
    future_from,
    parse_cursor,
)
from dpp_extractor.ports import Clocks

NOW = datetime(2026, 3, 10, 12, 0, 0, 654321, UTC)
OLD = NOW - timedelta(minutes=10)
ZONED = SourceColumn("at", "timestamptz", pa.timestamp("us", "UTC"))
NAIVE = SourceColumn("at", "timestamp", pa.timestamp("us"))
MILLIS = replace(ZONED, second_digits=3)
SECONDS = replace(NAIVE, second_digits=0)
DAY = SourceColumn("at", "date", pa.date32())
NUMBER = SourceColumn("at", "bigint", pa.int64())

SEEN = Clocks(NOW, NOW)
HELD = Clocks(NOW, OLD, "pid 7")
BLIND = Clocks(NOW, None, "no pg_monitor", "NoHorizon")
ALONE = Clocks(NOW, NOW, is_exclusive=True)
BERLIN = replace(SEEN, zone="Europe/Berlin")


@dataclass(frozen=True)
class Case:
    column: SourceColumn
    clocks: Clocks
    high: str | None
    low: str | None = None
    lag: int | None = None
    initial: str | None = None
    max_cursor: int | None = None


CASES = {
    "first run, horizon seen": Case(ZONED, SEEN, "2026-03-10T11:59:59.654321+00:00"),
    "held by a transaction": Case(ZONED, HELD, "2026-03-10T11:49:59.654321+00:00"),
    "lag 0 with a horizon is 1": Case(ZONED, SEEN, "2026-03-10T11:59:59.654321+00:00", lag=0),
    "lag 60": Case(ZONED, SEEN, "2026-03-10T11:59:00.654321+00:00", lag=60),
    "lag counts from the horizon": Case(ZONED, HELD, "2026-03-10T11:49:00.654321+00:00", lag=60),
    "no horizon": Case(ZONED, BLIND, "2026-03-10T11:55:00.654321+00:00"),
    "no horizon, own lag": Case(ZONED, BLIND, "2026-03-10T11:59:50.654321+00:00", lag=10),
    "no horizon, lag 0 is 1": Case(ZONED, BLIND, "2026-03-10T11:59:59.654321+00:00", lag=0),
    "no writer": Case(ZONED, ALONE, "2026-03-10T12:00:00.654321+00:00"),
    "no writer, own lag": Case(ZONED, ALONE, "2026-03-10T11:59:55.654321+00:00", lag=5),
    "horizon after the clock": Case(
        ZONED, replace(SEEN, horizon_at=NOW + timedelta(1)), "2026-03-10T11:59:59.654321+00:00"
    ),
    "milliseconds are floored": Case(MILLIS, SEEN, "2026-03-10T11:59:59.654000+00:00"),
    "seconds are floored": Case(SECONDS, SEEN, "2026-03-10T11:59:59.000000"),
    "naive in UTC": Case(NAIVE, SEEN, "2026-03-10T11:59:59.654321"),
    "naive in Berlin": Case(NAIVE, BERLIN, "2026-03-10T12:59:59.654321"),
    "zoned in Berlin": Case(ZONED, BERLIN, "2026-03-10T11:59:59.654321+00:00"),
    "date is the day": Case(DAY, SEEN, "2026-03-10"),
    "date in a zone ahead": Case(DAY, replace(SEEN, zone="Pacific/Auckland"), "2026-03-11"),
    "date a moment after midnight": Case(
        DAY, Clocks(NOW.replace(hour=0, second=0), NOW.replace(hour=0, second=0)), "2026-03-09"
    ),
    "low is kept": Case(
        ZONED, SEEN, "2026-03-10T11:59:59.654321+00:00", low="2026-03-10T11:00:00.000000+00:00"
    ),
    "low at high": Case(ZONED, SEEN, None, low="2026-03-10T11:59:59.654321+00:00"),
    "low above high": Case(ZONED, SEEN, None, low="2026-03-11T00:00:00.000000+00:00"),
    "held below low": Case(ZONED, HELD, None, low="2026-03-10T11:55:00.000000+00:00"),
    "one microsecond": Case(
        ZONED, SEEN, "2026-03-10T11:59:59.654321+00:00", low="2026-03-10T11:59:59.654320+00:00"
    ),
    "date not over": Case(DAY, SEEN, None, low="2026-03-10"),
    "initial": Case(ZONED, SEEN, "2026-03-10T11:59:59.654321+00:00", initial="2026-01-01"),
    "initial in the future is an empty window": Case(
        ZONED, SEEN, "2027-01-01T00:00:00.000000+00:00", initial="2027-01-01"
    ),
    "low wins over initial": Case(
        ZONED, SEEN, None, low="2026-03-11T00:00:00.000000+00:00", initial="2020-01-01"
    ),
    "integers": Case(NUMBER, SEEN, "42", max_cursor=41),
    "integers, nothing new": Case(NUMBER, SEEN, None, low="42", max_cursor=41),
    "integers, one new": Case(NUMBER, SEEN, "43", low="42", max_cursor=42),
    "integers, greatest row gone": Case(NUMBER, SEEN, None, low="42", max_cursor=7),
    "integers, empty table": Case(NUMBER, SEEN, "-9223372036854775808"),
    "integers, table emptied": Case(NUMBER, SEEN, None, low="42"),
    "integers, initial above all": Case(NUMBER, SEEN, "100", initial="100", max_cursor=41),
    "integers, initial": Case(NUMBER, SEEN, "42", initial="-5", max_cursor=41),
    "integers, the greatest there is": Case(
        NUMBER, SEEN, "9223372036854775808", max_cursor=2**63 - 1
    ),
    "integers need no horizon": Case(NUMBER, BLIND, "42", max_cursor=41),
}


def decide(case: Case) -> str | None:
    rule = Incremental(cursor="at", lag_seconds=case.lag, initial=case.initial)
    window = decide_window(rule, case.column, case.low, case.clocks, case.max_cursor)
    return window.high if window else None


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_high_is_what_the_clocks_allow(case: Case) -> None:
    assert decide(case) == case.high


@pytest.mark.parametrize(
    ("column", "initial", "low"),
    [
        (ZONED, "2026-01-01", "2026-01-01T00:00:00.000000+00:00"),
        (ZONED, "2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00.000000+00:00"),
        (ZONED, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000+00:00"),
        (NAIVE, "2026-01-01 05:06:07", "2026-01-01T05:06:07.000000"),
        (SECONDS, "2026-01-01T05:06:07.9", "2026-01-01T05:06:07.000000"),
        (DAY, "2026-01-01", "2026-01-01"),
        (NUMBER, "7", "7"),
        (NUMBER, None, None),
    ],
)
def test_initial_becomes_the_first_low_in_canonical_form(
    column: SourceColumn, initial: str | None, low: str | None
) -> None:
    rule = Incremental(cursor="at", initial=initial)
    window = decide_window(rule, column, None, SEEN, max_cursor=100)
    assert window is not None
    assert window.low == low


@pytest.mark.parametrize(
    ("column", "initial"),
    [
        (ZONED, "yesterday"),
        (NAIVE, "2026-01-01T00:00:00Z"),
        (DAY, "2026-01-01T00:00:00"),
        (DAY, "20260101"),
        (DAY, "2026-02-30"),
        (NUMBER, "1.5"),
        (NUMBER, "1e3"),
    ],
)
def test_an_initial_of_another_form_is_refused_by_name(column: SourceColumn, initial: str) -> None:
    with pytest.raises(SpecError, match=initial) as refused:
        decide_window(Incremental(cursor="at", initial=initial), column, None, SEEN, 1)
    assert refused.value.field == "incremental.initial"


def test_a_watermark_of_another_type_is_a_changed_stream() -> None:
    with pytest.raises(StreamError) as refused:
        decide_window(Incremental(cursor="at"), DAY, "42", SEEN)
    assert refused.value.reason is Reason.STREAM_IDENTITY_CHANGED


@pytest.mark.parametrize(
    "arrow_type", [pa.string(), pa.float64(), pa.decimal128(5, 0), pa.bool_(), pa.binary()], ids=str
)
def test_a_column_that_is_no_instant_and_no_number_is_no_cursor(arrow_type: pa.DataType) -> None:
    with pytest.raises(SpecError, match="cannot be an incremental cursor"):
        cursor_kind(SourceColumn("at", "other", arrow_type))


@pytest.mark.parametrize(
    ("clocks", "holder", "reason"),
    [(SEEN, "", ""), (HELD, "pid 7", ""), (BLIND, "", "NoHorizon"), (ALONE, "", "")],
    ids=["seen", "held", "blind", "alone"],
)
def test_a_window_tells_what_held_it_back(clocks: Clocks, holder: str, reason: str) -> None:
    window = decide_window(Incremental(cursor="at"), ZONED, None, clocks)
    assert window is not None
    assert (window.holder, window.reason) == (holder, reason)


def test_lag_zero_is_kept_only_when_no_writer_was_open() -> None:
    assert [decide_lag_seconds(0, clocks) for clocks in (SEEN, HELD, BLIND, ALONE)] == [1, 1, 1, 0]


def test_the_future_begins_a_day_after_the_clock() -> None:
    assert future_from(ZONED, SEEN) == NOW + timedelta(days=1)
    assert future_from(NUMBER, SEEN) is None


def test_an_unknown_zone_is_refused_only_for_a_column_without_one() -> None:
    odd = replace(SEEN, zone="<+02>-02")
    assert decide_window(Incremental(cursor="at"), ZONED, None, odd) is not None
    with pytest.raises(SpecError, match="own zone"):
        decide_window(Incremental(cursor="at"), NAIVE, None, odd)


@pytest.mark.parametrize(
    ("instant", "local"),
    [
        ("2026-10-24T23:59:59+00:00", "2026-10-25T01:59:59"),
        ("2026-10-25T00:00:00+00:00", "2026-10-25T02:00:00"),
        ("2026-10-25T00:30:00+00:00", "2026-10-25T02:00:00"),
        ("2026-10-25T00:59:59.999999+00:00", "2026-10-25T02:00:00"),
        ("2026-10-25T01:00:00+00:00", "2026-10-25T02:00:00"),
        ("2026-10-25T01:30:00+00:00", "2026-10-25T02:30:00"),
        ("2026-10-25T02:00:00+00:00", "2026-10-25T03:00:00"),
        ("2026-03-29T01:00:00+00:00", "2026-03-29T03:00:00"),
    ],
)
def test_the_repeated_hour_is_waited_for_at_its_start(instant: str, local: str) -> None:
    found = earliest_local(datetime.fromisoformat(instant), ZoneInfo("Europe/Berlin"))
    assert found == datetime.fromisoformat(local)


ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
)
INSTANTS = st.datetimes(
    datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC), allow_imaginary=False
)


@given(ZONES, INSTANTS, st.integers(0, 30 * 3600))
def test_no_later_instant_reads_earlier_on_the_wall(
    zone_name: str, instant: datetime, later_seconds: int
) -> None:
    zone = ZoneInfo(zone_name)
    later = (instant + timedelta(seconds=later_seconds)).astimezone(zone)
    assert earliest_local(instant, zone) <= later.replace(tzinfo=None)


@given(st.datetimes(), st.integers(0, 6))
def test_flooring_never_goes_up_and_loses_less_than_a_unit(value: datetime, digits: int) -> None:
    floored = floor_to(value, digits)
    assert timedelta() <= value - floored < timedelta(microseconds=10 ** (6 - digits))


@dataclass(frozen=True)
class Transaction:
    """Stamps its row with its start; others see it from its end on. Seconds from the beginning."""

    start: int
    seconds: int

    @property
    def end(self) -> int:
        return self.start + self.seconds


TRANSACTIONS = st.lists(
    st.builds(Transaction, st.integers(0, 400), st.integers(0, 120)), max_size=30
)
RUNS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3), st.integers(0, 3)), max_size=8)


def run_all(
    transactions: Sequence[Transaction], runs: Sequence[tuple[int, int, int]], column: SourceColumn
) -> list[int]:
    """Play runs over a log of transactions; give back the numbers of those that were read."""
    epoch = datetime(2026, 10, 25, 0, 57, tzinfo=UTC)  # three minutes before clocks go back
    zone = ZoneInfo("Europe/Berlin")
    read: list[int] = []
    low: str | None = None
    clock = 0
    for pause, to_horizon, to_snapshot in [*runs, (4 * 3600, 0, 0)]:
        clock += pause
        asked = clock + to_horizon
        snapshot = asked + to_snapshot
        opened = [t.start for t in transactions if t.start <= asked < t.end]
        horizon = epoch + timedelta(seconds=min([*opened, clock]))
        clocks = Clocks(epoch + timedelta(seconds=clock), horizon, zone="Europe/Berlin")
        window = decide_window(Incremental(cursor="at"), column, low, clocks)
        if window is None:
            continue
        bounds = [parse_cursor(column, text) if text else None for text in (low, window.high)]
        for number, transaction in enumerate(transactions):
            stamp = epoch + timedelta(seconds=transaction.start)
            if column.arrow_type.tz is None:
                stamp = stamp.astimezone(zone).replace(tzinfo=None)
            is_after = bounds[0] is None or stamp >= bounds[0]
            if transaction.end <= snapshot and is_after and stamp < bounds[1]:
                read.append(number)
        low = window.high
    return read


@pytest.mark.parametrize("column", [ZONED, MILLIS, NAIVE, SECONDS], ids=lambda c: c.source_type)
@settings(max_examples=60, deadline=None)
@given(transactions=TRANSACTIONS, runs=RUNS)
def test_every_row_is_read_exactly_once_however_late_it_is_committed(
    column: SourceColumn, transactions: list[Transaction], runs: list[tuple[int, int, int]]
) -> None:
    read = run_all(transactions, runs, column)
    assert sorted(read) == list(range(len(transactions)))
