"""Open the view of a run in which integer cursors have a safe end.

Called by `run`. Numbers are drawn when a row is written and seen when it commits, so in one view a
number may be missing below the greatest one, and come later. Therefore the greatest numbers are read
in a view of their own first; then the run's view is opened when no transaction is left that was open
at that time: whatever lies at or below those numbers has been committed or never will be.

SQLite has one writer at a time: what is drawn is seen before the next is drawn. Nothing is waited
for there.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from dpp_core.errors import DppError, SpecError, TemporaryFailure
from dpp_core.handover import RunRequest, Unit
from dpp_core.names import Reason
from dpp_core.redaction import redact
from dpp_extractor.batch import SourceTable
from dpp_extractor.extract.database.window import cursor_kind
from dpp_extractor.guard.deadline import COMMIT_RESERVE_SECONDS, Deadline
from dpp_extractor.ports import Clocks, Counted, Snapshot, Source, Tools
from dpp_extractor.publish.fold import Head

TRIES: Final = 8
"""With the waits between them about a minute: then the unit is left to the next run."""

Greatest = Mapping[tuple[str, str], Counted]


@contextmanager
def open_run_view(
    source: Source, heads: Sequence[tuple[Unit, Head]], request: RunRequest, tools: Tools
) -> Iterator[Snapshot]:
    """Open the view of a run, which waits no longer than its deadline or a stop lets it."""
    deadline = Deadline(request.deadline_at, tools.store.now)

    def pause(waits: int) -> None:
        deadline.raise_if_over(COMMIT_RESERVE_SECONDS)
        tools.pause(waits)

    with open_view(source, request.source.engine, heads, pause) as view:
        yield view


@contextmanager
def open_view(
    source: Source, engine: str, heads: Sequence[tuple[Unit, Head]], pause: Callable[[int], None]
) -> Iterator[Snapshot]:
    """Open one view for all units. Only a unit with an integer cursor makes it wait."""
    units = [] if engine == "sqlite" else [unit for unit, head in heads if may_count(unit, head)]
    if not units:
        with source.snapshot() as view:
            yield view
        return
    with source.snapshot() as first:
        greatest = read_greatest(first, units)
        counted_at = first.snapshot_at
        if not greatest:
            yield first
            return
    for waits in itertools.count():
        with source.snapshot() as view:
            told = {key: settle(each, counted_at, view.clocks) for key, each in greatest.items()}
            # A lag is a time, not a number of tries: without a horizon it is all there is to go by.
            is_over = waits >= TRIES and view.clocks.horizon_at is not None
            if is_over or not any(each.is_waited_for for each in told.values()):
                view.counted.update(told)
                yield view
                return
        pause(waits)


def may_count(unit: Unit, head: Head) -> bool:
    """Say whether a unit's cursor may be an integer, as far as its last commit tells."""
    if unit.incremental is None:
        return False
    return head.live is None or head.live.identity.get("cursor_type") == "integer"


def read_greatest(view: Snapshot, units: Sequence[Unit]) -> Greatest:
    """Read the greatest number of each integer cursor. What fails here fails again in its own unit."""
    found: dict[tuple[str, str], Counted] = {}
    for unit in units:
        if unit.incremental is None:
            continue
        lag, key = unit.incremental.lag_seconds, (unit.object, unit.incremental.cursor)
        try:
            table = view.describe(unit)
            if cursor_kind(table.column(key[1])) == "integer":
                found[key] = Counted(view.max_cursor(table, key[1]), lag)
        except DppError as error:
            found[key] = Counted(None, lag, f"it could not be read ({error.reason})")
            if error.is_shared:
                break
    return found


def settle(counted: Counted, counted_at: datetime, clocks: Clocks) -> Counted:
    """Say whether all that was drawn before is decided by now. Pure."""
    if counted.held:
        return counted
    if clocks.horizon_at is not None:
        held = "" if clocks.horizon_at >= counted_at else clocks.holder or "an open transaction"
        return Counted(counted.value, counted.lag_seconds, held, is_waited_for=bool(held))
    if counted.lag_seconds is None:
        return Counted(counted.value, None, clocks.holder, is_blind=True, fix=clocks.fix)
    is_over = clocks.clock_at - counted_at >= timedelta(seconds=counted.lag_seconds)
    held = "" if is_over else clocks.holder
    return Counted(counted.value, counted.lag_seconds, held, is_waited_for=not is_over)


def find_greatest(view: Snapshot, table: SourceTable, cursor: str) -> int | None:
    """Give the number up to which a window may go; None for an empty table.

    Raises TemporaryFailure (75) while a transaction is still open that may bring a lower one,
    SpecError (20) where nobody can tell. A view that nothing was counted for answers by itself.
    """
    counted = view.counted.get((table.object, cursor))
    if counted is None:
        greatest: int | None = view.max_cursor(table, cursor)
        return greatest
    if counted.is_blind:
        raise _build_blind(table, cursor, counted.held, counted.fix)
    if counted.held:
        raise TemporaryFailure(
            f"A transaction that was open when the greatest {cursor!r} of {table.object} was read has not ended, and "
            f"may bring a lower one: {redact(counted.held)}.",
            reason=Reason.NO_HORIZON,
            fix="The next run goes on when it has ended.",
        )
    return counted.value


def refuse_blind(unit: Unit, table: SourceTable, clocks: Clocks, engine: str) -> None:
    """Raise what a run would: a cursor that counts, open transactions that nobody can see, and no lag."""
    if unit.incremental is None or table.cursor is None or engine == "sqlite":
        return
    is_bounded = clocks.horizon_at is not None or unit.incremental.lag_seconds is not None
    if not is_bounded and cursor_kind(table.column(table.cursor)) == "integer":
        raise _build_blind(table, table.cursor, clocks.holder, clocks.fix)


def _build_blind(table: SourceTable, cursor: str, why: str, fix: str) -> SpecError:
    return SpecError(
        f"The cursor {cursor!r} of {table.object} counts, and which transactions are open cannot be seen: "
        f"{redact(why)}. Numbers of one that commits later would be lost.",
        reason=Reason.NO_HORIZON,
        field="incremental.lagSeconds",
        fix=fix
        or "Set lagSeconds above the longest transaction of the source's writers; each run then waits that long.",
    )
