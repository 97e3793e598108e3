"""How a run tells where it is: a progress bar on a terminal, JSON lines otherwise.

Called by the `run` command only. Progress goes to standard error, so that standard output stays the result.
How long is left is a guess: the source's own of how many rows there are, at the rate of the dataset so far.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from dpp_core import logs

ReportProgress = Callable[[str, int, int], None]
"""(dataset, rows so far, bytes so far); called once a batch."""

LINE_EVERY_SECONDS: Final = 5.0
_KILO: Final = 1000.0


@dataclass(slots=True)
class Watch:
    """What is known of the datasets so far: rows to expect, rows and bytes read, and since when each is read."""

    clock: Callable[[], float]
    expected: dict[str, int] = field(default_factory=dict)
    began_at: dict[str, float] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    size_bytes: dict[str, int] = field(default_factory=dict)

    def expect(self, dataset: str, rows: int) -> None:
        """Take the source's guess; twice is harmless, a dataset that is read anew begins anew."""
        self.expected[dataset] = rows
        self.began_at[dataset] = self.clock()

    def note(self, dataset: str, rows: int, size_bytes: int) -> None:
        self.began_at.setdefault(dataset, self.clock())
        self.rows[dataset], self.size_bytes[dataset] = rows, size_bytes

    def seconds_left(self, dataset: str) -> float | None:
        """Guess when the dataset is read; None while nothing is known, or more came than was thought."""
        rows, expected = self.rows.get(dataset, 0), self.expected.get(dataset, 0)
        seconds = self.clock() - self.began_at.get(dataset, self.clock())
        if not rows or seconds <= 0 or expected <= rows:
            return None
        return (expected - rows) * seconds / rows


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run calls: `expect` before a read, `report` once a batch."""

    expect: Callable[[str, int], None]
    report: ReportProgress


@contextmanager
def open_progress(total_units: int, *, is_terminal: bool) -> Iterator[Progress]:
    """Give what a unit calls; tidy up the terminal at the end."""
    watch = Watch(time.monotonic)
    if not is_terminal:
        yield Progress(watch.expect, _lines(watch))
        return
    from rich import progress as progress_bar
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rows]:>12,} rows  {task.fields[rate]:>9,} rows/s"),
        TextColumn("{task.fields[size]:>9}  {task.fields[left]}"),
        TimeElapsedColumn(),
    )
    console = Console(file=sys.stderr)
    with progress_bar.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("datasets", total=total_units, rows=0, rate=0, size="", left="")
        yield Progress(watch.expect, _bar(watch, bar, task))


def _bar(watch: Watch, bar: object, task: object) -> ReportProgress:
    started = watch.clock()

    def report(dataset: str, rows: int, size_bytes: int) -> None:
        watch.note(dataset, rows, size_bytes)
        total = sum(watch.rows.values())
        bar.update(  # type: ignore[attr-defined]
            task,
            description=dataset,
            completed=len(watch.rows),
            rows=total,
            rate=int(total / max(watch.clock() - started, 0.001)),
            size=write_size(sum(watch.size_bytes.values())),
            left=write_left(watch.seconds_left(dataset)),
        )

    return report


def _lines(watch: Watch) -> ReportProgress:
    last = watch.clock()

    def report(dataset: str, rows: int, size_bytes: int) -> None:
        nonlocal last
        watch.note(dataset, rows, size_bytes)
        if watch.clock() - last >= LINE_EVERY_SECONDS:
            last = watch.clock()
            left = watch.seconds_left(dataset)
            guess = {} if left is None else {"seconds_left": round(left)}
            logs.info("progress", dataset=dataset, rows=rows, bytes=size_bytes, **guess)

    return report


def write_size(size_bytes: int) -> str:
    """Write bytes as a person reads them: 950 B, 1.5 MB."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < _KILO:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= _KILO
    return f"{size:.1f} TB"


def write_left(seconds: float | None) -> str:
    """Write how long is left, to the minute where it is long; nothing where nobody knows."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"about {hours} h {minutes:02} min left"
    return f"about {minutes} min left" if minutes else f"about {rest} s left"
