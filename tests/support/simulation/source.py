"""A source whose writers work while runs read it, and its journal: what was there at every instant.

Called by the simulated processes, and by the ledger, which asks the journal. A row carries the begin of its
transaction and is seen when that commits. An open transaction locks its rows; others see it a moment after it began.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from simulation.clockwork import HOUR, SECOND, Clockwork

ROWS: Final = 8
_SEEN_AFTER_US: Final = SECOND // 2
_BURST_US: Final = 10 * SECOND


class Row(NamedTuple):
    """A version of a row: key, cursor (begin of the transaction that wrote it, µs) and a number of its own."""

    key: int
    stamp_us: int
    version: int


class Written(NamedTuple):
    """A line of the journal: what a key became, None = deleted."""

    key: int
    row: Row | None


@dataclass(eq=False, slots=True)
class Transaction:
    stamp_us: int
    seen_at_us: int
    keys: tuple[int, ...]


@dataclass(slots=True)
class SimulatedSource:
    """`may_delete` rows; never the last one, since an emptied table is blocked until somebody approves."""

    clockwork: Clockwork
    may_delete: bool = False
    rows: dict[int, Row] = field(default_factory=dict)
    journal: list[Written] = field(default_factory=list)
    open: list[Transaction] = field(default_factory=list)
    on_row: Callable[[Row], None] = lambda row: None
    is_quiet: bool = False
    versions: int = 0

    def stir(self) -> None:
        """Let a few writers come, now and soon."""
        for _ in range(self.clockwork.dice.randrange(1, 4)):
            self.clockwork.at(self.clockwork.dice.randrange(_BURST_US), self._begin)

    def horizon_us(self) -> int:
        """Return the earliest begin of an open transaction that can be seen, else now."""
        now_us = self.clockwork.now_us
        seen = (each.stamp_us for each in self.open if each.seen_at_us <= now_us)
        return min(seen, default=now_us)

    def as_of(self, lines: int) -> dict[int, Row]:
        """Return what was there after so many lines of the journal."""
        found: dict[int, Row] = {}
        for key, row in self.journal[:lines]:
            if row is None:
                found.pop(key, None)
            else:
                found[key] = row
        return found

    def _begin(self) -> None:
        if self.is_quiet:
            return
        clockwork, dice = self.clockwork, self.clockwork.dice
        locked = {key for each in self.open for key in each.keys}
        free = [key for key in range(ROWS) if key not in locked]
        keys = tuple(sorted(dice.sample(free, min(len(free), dice.choice((0, 1, 1, 2))))))
        now_us = clockwork.now_us
        opened = Transaction(now_us, now_us + dice.randrange(_SEEN_AFTER_US), keys)
        self.open.append(opened)
        lasts_us = dice.choice((SECOND // 10, 5 * SECOND, 30 * SECOND, 2 * HOUR))
        clockwork.at(dice.randrange(lasts_us), lambda: self._commit(opened))

    def _commit(self, done: Transaction) -> None:
        for key in done.keys:
            is_deleting = self.may_delete and len(self.rows) > 2 and self.clockwork.chance(0.3)
            if is_deleting and key in self.rows:
                del self.rows[key]
                self.journal.append(Written(key, None))
            elif not is_deleting:
                self.versions += 1
                self.rows[key] = Row(key, done.stamp_us, self.versions)
                self.journal.append(Written(key, self.rows[key]))
                self.on_row(self.rows[key])
        self.open.remove(done)
