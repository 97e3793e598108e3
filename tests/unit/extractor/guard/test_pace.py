"""Rows go no faster than the source allows, by a clock that only the wait moves."""

from dataclasses import dataclass, field

import pytest

from dpp_extractor.guard.pace import Pace


@dataclass(slots=True)
class Clock:
    seconds: float = 50.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds


@pytest.mark.parametrize("block_rows", [1, 30, 100, 2500])
def test_the_rate_holds_whatever_the_size_of_a_block(block_rows: int) -> None:
    clock = Clock()
    pace = Pace(100, clock, clock.sleep)

    for _ in range(10_000 // block_rows):
        pace(block_rows)

    assert 98.5 <= clock.seconds - 50 <= 100, "10,000 rows, of which one second's are free at first"


def test_a_reader_that_is_slower_than_the_rate_never_waits() -> None:
    clock = Clock()
    pace = Pace(100, clock, clock.sleep)

    for _ in range(50):
        clock.seconds += 1
        pace(90)

    assert clock.waits == []


def test_an_hour_of_idleness_saves_up_one_second_of_rows() -> None:
    clock = Clock()
    pace = Pace(100, clock, clock.sleep)
    clock.seconds += 3600

    pace(100)
    assert clock.waits == []
    pace(100)
    assert clock.waits == [pytest.approx(1.0)]
