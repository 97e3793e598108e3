"""A table at the end of a run: how many tests each folder holds and how long they took, servers' start included.

Loaded as a pytest plugin by `tests/conftest.py`. It only adds up what pytest has measured, and judges nothing.
"""

from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any

import pytest

DEEPEST = 3


def add_up(reports: list[pytest.TestReport]) -> dict[str, tuple[int, float]]:
    """Give tests and seconds by folder, as `tests/faults` or `tests/unit/core`."""
    tests: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    for report in reports:
        place = PurePosixPath(report.nodeid.partition("::")[0]).parent
        folder = "/".join(place.parts[:DEEPEST])
        tests[folder] += report.when == "call"
        seconds[folder] += report.duration
    return {folder: (tests[folder], seconds[folder]) for folder in sorted(seconds)}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table when more than one folder was tested."""
    reports = [
        each
        for found in terminalreporter.stats.values()
        for each in found
        if isinstance(each, pytest.TestReport)
    ]
    ledger = add_up(reports)
    if len(ledger) < 2:
        return
    terminalreporter.section("time by folder")
    for folder, (count, taken) in ledger.items():
        terminalreporter.line(f"{folder:<40}{count:>6} tests {taken:>8.1f} s")
