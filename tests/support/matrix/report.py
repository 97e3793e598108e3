"""The table of a matrix: step by fault, and how often something was lost, made up, doubled, torn or without a class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matrix.calls import PROBE, Counted
from matrix.findings import KINDS, Row
from matrix.kills import NOT_YET
from servers.s3_proxy import Seen

REPORT: Final = Path(__file__).parents[3] / "docs" / "reports" / "faults.md"
HEAD: Final = ("step", "fault", "cases", "runs", *KINDS)
INTRODUCTION: Final = """# Faults

<!-- Written by `make faults` when everything was tried and nothing was found; do not edit. -->

What happens to tables when runs are killed, answers are lost, attempts are paused and others write.
Real processes, a real PostgreSQL, a real S3 server and real delta-rs; writers change the source while runs are killed.
[Guarantees](../guarantees.md) says what follows from it.

A *case* is one story with one printed seed; *runs* counts the processes, commits or attempts in it.
*lost*: a version of a row was due and is not there.
*phantom*: a row is there that never was.
*duplicate*: a version of a row twice, or a commit twice.
*torn*: a transaction in pieces, or a commit whose files, copy or chain are not whole.
*unclassified*: a run that ended otherwise than the table of failures says.
"""


def render_table(rows: Sequence[Row]) -> str:
    """Lay the rows out for a terminal, a sum last."""
    lines = [HEAD, *map(_cells, rows), _cells(_sum(rows))]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def render_report(rows: Sequence[Row], counted: Counted) -> str:
    """Write the page: the same table, and what the numbers rest on."""
    head = f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}"
    body = "\n".join(f"| {' | '.join(_cells(row))} |" for row in [*rows, _sum(rows)])
    points = ", ".join(f"`{name}`" for name in NOT_YET)
    return (
        f"{INTRODUCTION}\n{head}\n{body}\n\n"
        f"An undisturbed first run sends {_told(counted.first)}, a later one {_told(counted.next)}.\n"
        "Each request met each fault, of the probe's like ones a share.\n"
        f"No run passes {points} yet: nothing looks back and nothing commits in steps.\n"
    )


def _told(seen: Sequence[Seen]) -> str:
    probes = sum(PROBE in each.path for each in seen)
    return f"{len(seen)} requests" + (f" ({probes} of them to probe the store)" if probes else "")


def _sum(rows: Sequence[Row]) -> Row:
    counts = tuple(sum(row.counts[at] for row in rows) for at in range(len(KINDS)))
    return Row("all", "", sum(row.cases for row in rows), sum(row.runs for row in rows), counts)


def _cells(row: Row) -> tuple[str, ...]:
    return (row.step, row.fault, f"{row.cases:,}", f"{row.runs:,}", *map(str, row.counts))
