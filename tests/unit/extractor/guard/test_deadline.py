"""A run ends at its deadline, and at a signal after the batch it is in."""

import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from dpp_core.errors import StoppedError, TemporaryFailure
from dpp_core.names import Reason
from dpp_extractor.guard.deadline import Deadline, Stop, open_stop

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def deadline_in(seconds: float) -> Deadline:
    return Deadline(NOW + timedelta(seconds=seconds), lambda: NOW)


def test_the_remaining_time_is_counted_on_the_given_clock() -> None:
    assert deadline_in(90).remaining_seconds() == 90
    assert deadline_in(-5).remaining_seconds() == -5


@pytest.mark.parametrize(("seconds", "has_time"), [(61, True), (60, False), (-1, False)])
def test_a_commit_needs_more_than_a_minute(seconds: float, has_time: bool) -> None:
    assert deadline_in(seconds).has_time_to_commit() is has_time


def test_before_the_deadline_nothing_is_raised() -> None:
    deadline_in(1).raise_if_over()


@pytest.mark.parametrize(("seconds", "reserve"), [(0, 0), (-1, 0), (59, 60), (60, 60)])
def test_a_deadline_that_is_over_is_temporary(seconds: float, reserve: float) -> None:
    with pytest.raises(TemporaryFailure, match="deadline") as caught:
        deadline_in(seconds).raise_if_over(reserve)

    assert (caught.value.exit_code, caught.value.reason) == (75, Reason.DEADLINE_EXCEEDED)


def test_nobody_asked_to_stop() -> None:
    stop = Stop()

    stop.raise_if_stopped()

    assert not stop.is_asked


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
def test_the_first_signal_waits_for_the_batch(asked: signal.Signals) -> None:
    with open_stop() as stop:
        os.kill(os.getpid(), asked)

        assert stop.is_asked
        with pytest.raises(StoppedError, match=asked.name) as caught:
            stop.raise_if_stopped()

    assert caught.value.exit_code == 143


def test_the_second_signal_does_not_wait() -> None:
    with open_stop():
        os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(StoppedError, match="SIGTERM"):
            os.kill(os.getpid(), signal.SIGTERM)


def test_the_handlers_from_before_come_back() -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}

    with open_stop():
        assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]

    assert {each: signal.getsignal(each) for each in before} == before


def test_a_wait_is_cut_short_by_a_stop() -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            stop.ask("SIGTERM")

    stop = Stop(sleep)
    with pytest.raises(StoppedError):
        stop.sleep(30)

    assert sum(slept) < 1


def test_an_undisturbed_wait_takes_its_time() -> None:
    slept: list[float] = []

    Stop(slept.append).sleep(1.1)

    assert sum(slept) == pytest.approx(1.1)
