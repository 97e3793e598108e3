"""Take rows no faster than a source allows: a token bucket, in which one second's rows fit.

Called by `wiring`, which gives it a clock and a wait that a stop ends; the readers of databases ask it
between two blocks. A block that is larger than the bucket leaves it in debt, and the wait pays that off,
so the rate holds over any time that is long against a block.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Pace:
    """Lets `rows_per_second` through; `clock` never goes back."""

    rows_per_second: int
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    _free: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._free, self._at = float(self.rows_per_second), self.clock()

    def __call__(self, rows: int) -> None:
        """Account for rows that were taken; wait until that many were due."""
        now = self.clock()
        earned = (now - self._at) * self.rows_per_second
        self._free = min(float(self.rows_per_second), self._free + earned) - rows
        self._at = now
        if self._free < 0:
            self.sleep(-self._free / self.rows_per_second)


def unhurried(rows: int) -> None:
    """Let everything through."""
