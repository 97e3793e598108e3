"""Progress: a line every five seconds for programs, a bar for people."""

import io
import sys
from typing import Any

import pytest

from dpp_core import logs
from dpp_extractor.cli import progress


class Bar:
    """Keeps what was shown last."""

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}

    def update(self, task: object, **shown: Any) -> None:
        self.shown = shown


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Take down the lines."""
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(
        logs, "info", lambda event, **fields: lines.append({"event": event, **fields})
    )
    return lines


def test_lines_come_no_more_often_than_every_five_seconds(told: list[dict[str, Any]]) -> None:
    now = 0.0
    report = progress._lines(progress.Watch(lambda: now))
    for second in range(13):
        now = float(second)
        report("orders", second * 100, second * 1000)

    assert told == [
        {"event": "progress", "dataset": "orders", "rows": 500, "bytes": 5000},
        {"event": "progress", "dataset": "orders", "rows": 1000, "bytes": 10000},
    ]


def test_what_is_left_is_guessed_from_the_sources_guess_and_the_rate(
    told: list[dict[str, Any]],
) -> None:
    now = 0.0
    watch = progress.Watch(lambda: now)
    report = progress._lines(watch)
    watch.expect("orders", 10_000)
    for now in (6.0, 12.0):
        report("orders", int(now) * 100, 1)
    watch.expect("stock", 50)
    now = 18.0
    report("stock", 70, 1)

    assert [line.get("seconds_left") for line in told] == [94, 88, None]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (9.4, "about 9 s left"),
        (61, "about 1 min left"),
        (7380, "about 2 h 03 min left"),
    ],
)
def test_what_is_left_is_written_for_a_person(seconds: float | None, words: str) -> None:
    assert progress.write_left(seconds) == words


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2 * 10**9, "2.0 GB"), (3 * 10**12, "3.0 TB")],
)
def test_sizes_are_written_for_a_person(size_bytes: int, words: str) -> None:
    assert progress.write_size(size_bytes) == words


def test_a_short_run_says_nothing_on_the_way(told: list[dict[str, Any]]) -> None:
    with progress.open_progress(1, is_terminal=False) as told_of:
        told_of.expect("orders", 10)
        told_of.report("orders", 1, 1)

    assert told == []


def test_the_bar_counts_rows_of_all_datasets() -> None:
    bar = Bar()
    report = progress._bar(progress.Watch(lambda: 0.0), bar, 0)
    report("orders", 10, 1)
    report("orders", 30, 2)
    report("stock", 5, 3)

    assert bar.shown["rows"] == 35
    assert bar.shown["completed"] == 2
    assert bar.shown["description"] == "stock"


def test_a_bar_goes_to_standard_error_and_tidies_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)

    with progress.open_progress(2, is_terminal=True) as told_of:
        told_of.report("orders", 10, 1)

    assert capsys.readouterr().out == ""
