"""Decide which rows a run reads: `[low, high)` on the cursor, such that no late commit is ever
skipped.

Called by `unit.py` after the clocks were taken; pure, no clock and no source in here. The rule is
in the design page "Windows": high = min(clock, horizon) - lag, floored to the cursor's precision,
never below the last high.

Timestamps without a zone are compared as stored, so the instant is expressed in the source's own
zone. In the hour that such a zone repeats when its clocks go back, rows of the second pass carry
stamps of the first: `high` waits at the start of that hour until the second pass has begun.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa

from dpp_core.errors import SpecError, StreamError
from dpp_core.handover import Incremental
from dpp_core.names import Reason
from dpp_extractor.batch import CursorKind, SourceColumn, Window
from dpp_extractor.ports import Clocks

LAG_WITH_HORIZON_SECONDS: Final = 1
LAG_WITHOUT_HORIZON_SECONDS: Final = 300
LEAST_INTEGER: Final = -(2**63)
"""The bound of an empty table: no later number lies below it."""
FUTURE_AFTER: Final = timedelta(days=1)

CursorValue = datetime | date | int

_INTEGER: Final = re.compile(r"-?\d{1,19}")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


def decide_window(
    incremental: Incremental,
    column: SourceColumn,
    low: str | None,
    clocks: Clocks,
    max_cursor: int | None = None,
) -> Window | None:
    """Fix `[low, high)` before the first row is read; None when nothing can be new since `low`.

    `low` is the last commit's watermark in canonical text, None on the first run (then
    `incremental.initial`, then the beginning). A first run always has a window, if need be an empty
    one, since it always commits. `max_cursor` is the greatest integer cursor in the snapshot, None
    for an empty table. Calling it twice gives the same.

    Raises SpecError for a cursor or `initial` that cannot be used, StreamError (29) for a watermark
    of another type.
    """
    kind = cursor_kind(column)
    first = _initial(column, incremental.initial) if low is None else _watermark(column, low)
    high, held = _high(incremental, column, clocks, max_cursor)
    if first is not None and not _is_before(first, high):
        if low is not None:
            return None
        high = first
    return Window(
        cursor=column.name,
        kind=kind,
        low=None if first is None else format_cursor(first),
        high=format_cursor(high),
        holder=held,
        reason="" if kind == "integer" or _has_horizon(clocks) else Reason.NO_HORIZON.value,
    )


def cursor_kind(column: SourceColumn) -> CursorKind:
    """Say how a column's values are compared, or refuse it as a cursor with SpecError."""
    if pa.types.is_timestamp(column.arrow_type):
        return "timestamp"
    if pa.types.is_date(column.arrow_type):
        return "date"
    if pa.types.is_integer(column.arrow_type):
        return "integer"
    raise SpecError(
        f"Column {column.name!r} of type {column.source_type} cannot be an incremental cursor.",
        field="incremental.cursor",
        fix="Use a timestamp, date or integer column that changes with every write of the row.",
    )


def decide_lag_seconds(given: int | None, clocks: Clocks) -> int:
    """Lag in seconds: 0 is safe only when no writer was open at the clock; else at least 1, by
    default 300 blind.
    """
    if clocks.is_exclusive:
        return 0 if given is None else given
    default = (
        LAG_WITH_HORIZON_SECONDS if clocks.horizon_at is not None else LAG_WITHOUT_HORIZON_SECONDS
    )
    return max(1, default if given is None else given)


def future_from(column: SourceColumn, clocks: Clocks) -> CursorValue | None:
    """Cursor values after this cannot be true stamps: the source's clock plus one day. None for
    integers.
    """
    if cursor_kind(column) == "integer":
        return None
    return _as_stored(column, clocks.clock_at + FUTURE_AFTER, clocks.zone)


def parse_cursor(column: SourceColumn, text: str) -> CursorValue:
    """Read a cursor value: canonical text, or what a person writes. Raises ValueError.

    A zone is needed for nothing: text without one means UTC for a zoned column; text with one is
    refused for a column without.
    """
    kind = cursor_kind(column)
    text = text.strip()
    if kind == "integer":
        if not _INTEGER.fullmatch(text):
            raise ValueError("not a whole number")
        return int(text)
    if kind == "date":
        if not _DATE.fullmatch(text):
            raise ValueError("not a date YYYY-MM-DD")
        return date.fromisoformat(text)
    value = datetime.fromisoformat(text)
    if column.arrow_type.tz is None:
        if value.tzinfo is not None:
            raise ValueError("the column has no time zone")
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def format_cursor(value: CursorValue) -> str:
    """Write the canonical text: microseconds, `+00:00` when zoned, YYYY-MM-DD, decimal digits."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return value.isoformat() if isinstance(value, date) else str(value)


def floor_to(value: datetime, second_digits: int) -> datetime:
    """Cut an instant to the cursor's precision; never rounds up."""
    unit = 10 ** (6 - second_digits)
    return value.replace(microsecond=value.microsecond // unit * unit)


def earliest_local(instant: datetime, zone: ZoneInfo) -> datetime:
    """The least local reading that any instant from `instant` on will have in that zone, without
    zone.

    That is the local time itself, but for the first pass of a repeated hour: there it is the hour's
    start.
    """
    local = instant.astimezone(zone)
    before, after = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    if local.fold == 1 or before is None or after is None or before <= after:
        return local.replace(tzinfo=None, fold=0)
    lower, upper = instant, instant + (before - after)
    while upper - lower > timedelta(seconds=1):
        middle = lower + (upper - lower) / 2
        if middle.astimezone(zone).utcoffset() == before:
            lower = middle
        else:
            upper = middle
    return (upper.astimezone(UTC) + after).replace(tzinfo=None, microsecond=0)


def _high(
    incremental: Incremental, column: SourceColumn, clocks: Clocks, max_cursor: int | None
) -> tuple[CursorValue, str]:
    if cursor_kind(column) == "integer":
        return (LEAST_INTEGER if max_cursor is None else max_cursor + 1), ""
    lag = timedelta(seconds=decide_lag_seconds(incremental.lag_seconds, clocks))
    bound, held = clocks.clock_at, ""
    if clocks.horizon_at is not None and clocks.horizon_at < bound:
        bound, held = clocks.horizon_at, clocks.holder
    return _as_stored(column, bound - lag, clocks.zone), held


def _as_stored(column: SourceColumn, instant: datetime, zone_name: str) -> CursorValue:
    if pa.types.is_timestamp(column.arrow_type) and column.arrow_type.tz is not None:
        return floor_to(instant.astimezone(UTC), column.second_digits)
    local = earliest_local(instant, _zone(zone_name, column))
    if pa.types.is_date(column.arrow_type):
        return local.date()
    return floor_to(local, column.second_digits)


def _zone(name: str, column: SourceColumn) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SpecError(
            f"Column {column.name!r} has no time zone and the source's own zone {name!r} is not "
            "known here.",
            field="incremental.cursor",
            fix=(
                "Use a cursor with time zone, or set the database's TimeZone to a name such as "
                "Europe/Berlin."
            ),
        ) from error


def _has_horizon(clocks: Clocks) -> bool:
    return clocks.is_exclusive or clocks.horizon_at is not None


def _watermark(column: SourceColumn, low: str) -> CursorValue:
    try:
        return parse_cursor(column, low)
    except ValueError as error:
        raise StreamError(
            f"The stream's watermark {low!r} does not fit its cursor {column.name!r}, now "
            f"{column.source_type}.",
            reason=Reason.STREAM_IDENTITY_CHANGED,
            field="incremental.cursor",
            fix="Set the cursor back, or raise `epoch` for a full read.",
        ) from error


def _initial(column: SourceColumn, initial: str | None) -> CursorValue | None:
    if initial is None:
        return None
    try:
        value = parse_cursor(column, initial)
    except ValueError as error:
        raise SpecError(
            f"`initial: {initial}` is no value of cursor {column.name!r} ({column.source_type}): "
            f"{error}.",
            field="incremental.initial",
            fix=(
                "Write it as 2026-01-31, 2026-01-31T00:00:00 (with +00:00 when the column has a "
                "zone) or 12345."
            ),
        ) from error
    return floor_to(value, column.second_digits) if isinstance(value, datetime) else value


def _is_before(low: CursorValue, high: CursorValue) -> bool:
    # Both come from the same column, so they have one type; mypy cannot know it.
    return low < high  # type: ignore[operator]
