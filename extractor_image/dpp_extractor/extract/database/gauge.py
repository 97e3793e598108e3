"""Measure what a source is asked to bear: how long statements live there, and how old a snapshot gets.

Called by each engine's snapshot. Nothing is decided here. A statement counts from its sending to the
taking of its last row: a reader that is slow to take rows keeps it alive at the server just as well.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dpp_extractor.batch import RawBatch, SourceTable, Window
from dpp_extractor.ports import Load


@dataclass(slots=True)
class Gauge:
    """What was asked through one snapshot since it was opened; `now` is a clock in seconds that
    never goes back.
    """

    now: Callable[[], float]
    first_notes: tuple[str, ...] = ()
    _opened: float = field(init=False)
    _statements: int = field(init=False, default=0)
    _longest: float = field(init=False, default=0.0)
    _what: str = field(init=False, default="")
    _notes: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._opened = self.now()
        self._notes.extend(self.first_notes)

    @contextmanager
    def statement(self, what: str) -> Iterator[None]:
        """Measure one statement; also one that fails or is given up."""
        began = self.now()
        try:
            yield
        finally:
            self._statements += 1
            lived = self.now() - began
            if lived > self._longest or not self._what:
                self._longest, self._what = lived, what

    def watch_whole(
        self,
        batches: Iterator[RawBatch],
        table: SourceTable,
        window: Window | None,
        most_seconds: int | None,
    ) -> Iterator[RawBatch]:
        """Pass a read on that is one statement; note when it lived longer than the source allows."""
        began = self.now()
        yield from batches
        lived = self.now() - began
        if most_seconds is not None and lived > most_seconds:
            why = f"its cursor {window.cursor}" if window else "its dataset's key"
            self.note(
                f"{table.object} was read in one statement of {lived:.0f} s, longer than "
                f"maxReadSeconds ({most_seconds}): {why} is not one to divide a read by. It takes a "
                "key that is unique and never NULL at the source."
            )

    def note(self, message: str) -> None:
        """Keep a sentence for whoever looks after the source."""
        self._notes.append(message)

    def take(self) -> Load:
        """Give what was asked since the last time, and begin anew; the snapshot's age goes on."""
        load = Load(
            statements=self._statements,
            longest_statement_seconds=round(self._longest, 3),
            longest_statement=self._what,
            snapshot_age_seconds=round(self.now() - self._opened, 3),
            notes=tuple(self._notes),
        )
        self._statements, self._longest, self._what, self._notes = 0, 0.0, "", []
        return load
