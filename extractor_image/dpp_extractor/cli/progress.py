"""How a run tells where it is: a progress bar on a terminal, JSON lines otherwise.

Called by the `run` command only. Progress goes to standard error, so that standard output stays the result.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from dpp_core import logs

ReportProgress = Callable[[str, int, int], None]
"""(dataset, rows so far, bytes so far); called once a batch."""

LINE_EVERY_SECONDS: Final = 5.0


@contextmanager
def open_progress(total_units: int, *, is_terminal: bool) -> Iterator[ReportProgress]:
    """Give the function that a unit calls once a batch; tidy up the terminal at the end."""
    if not is_terminal:
        yield _lines(time.monotonic)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
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
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("datasets", total=total_units, rows=0, rate=0)
        yield _bar(progress, task)


def _bar(progress: object, task: object) -> ReportProgress:
    started = time.monotonic()
    rows_by_dataset: dict[str, int] = {}

    def report(dataset: str, rows: int, size_bytes: int) -> None:
        rows_by_dataset[dataset] = rows
        total = sum(rows_by_dataset.values())
        rate = int(total / max(time.monotonic() - started, 0.001))
        progress.update(  # type: ignore[attr-defined]
            task, description=dataset, completed=len(rows_by_dataset), rows=total, rate=rate
        )

    return report


def _lines(clock: Callable[[], float]) -> ReportProgress:
    last = clock()

    def report(dataset: str, rows: int, size_bytes: int) -> None:
        nonlocal last
        if clock() - last >= LINE_EVERY_SECONDS:
            last = clock()
            logs.info("progress", dataset=dataset, rows=rows, bytes=size_bytes)

    return report
