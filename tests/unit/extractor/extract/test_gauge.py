"""What a source was asked to bear is measured by a clock that tests move."""

from dataclasses import dataclass

import pytest

from dpp_extractor.extract.database.gauge import Gauge
from dpp_extractor.ports import Load


@dataclass(slots=True)
class Clock:
    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_the_longest_statement_and_the_snapshots_age_are_taken() -> None:
    clock = Clock()
    gauge = Gauge(clock)
    for seconds, what in ((1, "a"), (5, "b"), (2, "c")):
        with gauge.statement(what):
            clock.seconds += seconds

    assert gauge.take() == Load(3, 5.0, "b", 8.0)


def test_what_was_taken_is_not_told_twice_but_the_age_goes_on() -> None:
    clock = Clock()
    gauge = Gauge(clock)
    with gauge.statement("a"):
        clock.seconds += 3
    gauge.note("It has no key.")

    assert gauge.take().notes == ("It has no key.",)
    clock.seconds += 4
    assert gauge.take() == Load(snapshot_age_seconds=7.0)


def test_a_statement_that_fails_counts_too() -> None:
    clock = Clock()
    gauge = Gauge(clock)

    def fail() -> None:
        clock.seconds += 3
        raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"), gauge.statement("a"):
        fail()

    assert gauge.take().longest_statement_seconds == 3.0
