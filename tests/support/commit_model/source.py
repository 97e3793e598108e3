"""A source that moves: a few transactions, each begun, written, committed and perhaps deleted again, at ticks.

Called by the model. A row carries the tick at which its transaction began, as real writers stamp it, and is seen when
it commits. What a window is, production decides (`decide_window`).
"""

from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import cache
from typing import Final, NamedTuple

import pyarrow as pa

from dpp_core.handover import Incremental
from dpp_extractor.batch import SourceColumn
from dpp_extractor.extract.database.window import decide_window, format_cursor, parse_cursor
from dpp_extractor.ports import Clocks

ORIGIN: Final = datetime(2026, 1, 5, tzinfo=UTC)
TICK: Final = timedelta(hours=36)
"""So long that a part of the last tick is old (24 h), and the third tick is past the retention."""
_RULE: Final = Incremental(cursor="at")
_COLUMN: Final = SourceColumn("at", "timestamptz", pa.timestamp("us", "UTC"))
_ROWS_A_SECOND: Final = 8


class Status(IntEnum):
    """How far a transaction is."""

    NONE = 0
    OPEN = 1
    WRITTEN = 2
    COMMITTED = 3
    DELETED = 4


class Change(NamedTuple):
    """One transaction that writes one row; `stamp` is the tick at which it began."""

    status: Status = Status.NONE
    stamp: int = 0


Source = tuple[Change, ...]


def instant(tick: int) -> datetime:
    return ORIGIN + tick * TICK


def order(row: int, stamp: int) -> int:
    """Return a row's place in the order of (cursor, key), as a number that bounds compare with."""
    return _seconds(instant(stamp)) * _ROWS_A_SECOND + row


@cache
def decide_high(low: int, clock: int, horizon: int) -> int | None:
    """Let production decide a window's high; None when nothing can be new. `low` -1 = from the beginning."""
    cursor = ORIGIN + timedelta(seconds=low // _ROWS_A_SECOND)
    text = None if low < 0 else format_cursor(cursor)
    clocks = Clocks(instant(clock), instant(horizon))
    window = decide_window(_RULE, _COLUMN, text, clocks)
    if window is None:
        return None
    high = parse_cursor(_COLUMN, window.high)
    assert isinstance(high, datetime)
    return _seconds(high) * _ROWS_A_SECOND


def horizon_of(source: Source, clock: int, *, is_of_writers: bool) -> int:
    """Return the earliest begin of an open transaction, writing or not; the clock when there is none."""
    open_ones = (Status.WRITTEN,) if is_of_writers else (Status.OPEN, Status.WRITTEN)
    return min((each.stamp for each in source if each.status in open_ones), default=clock)


def rows_of(source: Source) -> tuple[tuple[int, int], ...]:
    """Return what a snapshot sees, as (order, row), in order."""
    return tuple(
        sorted(
            (order(row, each.stamp), row)
            for row, each in enumerate(source)
            if each.status is Status.COMMITTED
        )
    )


def age_of(source: Source) -> int:
    """Return a number that grows with everything a snapshot could see differently."""
    return sum(max(0, each.status - Status.WRITTEN) for each in source)


def move(source: Source, tick: int, *, may_delete: bool) -> list[tuple[str, Source]]:
    """List what writers may do now, each as words and the source after it."""
    found: list[tuple[str, Source]] = []
    for row, each in enumerate(source):
        if each.status is Status.NONE:
            found.append(
                (f"transaction {row} begins", _with(source, row, Change(Status.OPEN, tick)))
            )
        elif each.status is Status.OPEN:
            after = each._replace(status=Status.WRITTEN)
            found.append((f"transaction {row} writes", _with(source, row, after)))
        elif each.status is Status.WRITTEN:
            after = each._replace(status=Status.COMMITTED)
            found.append((f"transaction {row} commits", _with(source, row, after)))
        elif each.status is Status.COMMITTED and may_delete:
            after = each._replace(status=Status.DELETED)
            found.append((f"row {row} is deleted", _with(source, row, after)))
    return found


def _with(source: Source, row: int, change: Change) -> Source:
    return (*source[:row], change, *source[row + 1 :])


def _seconds(moment: datetime) -> int:
    return int((moment - ORIGIN).total_seconds())
