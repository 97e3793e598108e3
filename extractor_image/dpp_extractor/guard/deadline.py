"""When a run must end: its deadline, and the signal that asks it to stop.

Called by `__main__` and `cli` (they install the stop), by `run` and the stages between batches, and
by `retry`, which sleeps through `Stop.sleep` so that a signal ends a wait. Not here: what was
committed; that stays by itself.

    deadline = Deadline(request.deadline_at, store.now)
    with open_stop() as stop:               # SIGTERM and SIGINT; restores the handlers at the end
        retry = retrying(RetryPolicy(), deadline=deadline, sleep=stop.sleep)
        for batch in batches:
            stop.raise_if_stopped()         # StoppedError, exit 143, after the current batch
            deadline.raise_if_over()        # DeadlineError, exit 75
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import FrameType
from typing import Final

from dpp_core.errors import DeadlineError, StoppedError

COMMIT_RESERVE_SECONDS: Final = 60
"""No commit is sent later than this before the deadline (data-log.md, rule 4)."""
_SLICE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Deadline:
    """The instant at which a run must have ended, on the clock that counts for it (the store's)."""

    ends_at: datetime
    now: Callable[[], datetime]

    def remaining_seconds(self) -> float:
        """Seconds left; negative once the deadline is over."""
        return (self.ends_at - self.now()).total_seconds()

    def has_time_to_commit(self) -> bool:
        return self.remaining_seconds() > COMMIT_RESERVE_SECONDS

    def raise_if_over(self, reserve_seconds: float = 0) -> None:
        """Raise DeadlineError (75) when no more than the reserve is left."""
        if self.remaining_seconds() <= reserve_seconds:
            raise DeadlineError(
                f"The deadline {self.ends_at.isoformat()} is reached; what was committed stays.",
                fix="Start the run again, or raise run.deadlineSeconds.",
            )


class Stop:
    """Remembers that a signal asked to stop. No lock: a handler may run inside any line."""

    __slots__ = ("_signal_name", "_sleep")

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._signal_name = ""
        self._sleep = sleep

    @property
    def is_asked(self) -> bool:
        return bool(self._signal_name)

    def ask(self, signal_name: str) -> None:
        """Ask to stop; a second time it does not wait for the batch but raises StoppedError at
        once.
        """
        if self._signal_name:
            raise _stopped(signal_name)
        self._signal_name = signal_name

    def raise_if_stopped(self) -> None:
        """Raise StoppedError (143) once a stop was asked for. Call it between batches."""
        if self._signal_name:
            raise _stopped(self._signal_name)

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than a fifth of a second after a stop was asked for; then
        StoppedError.
        """
        left = seconds
        while left > 0:
            self.raise_if_stopped()
            self._sleep(min(_SLICE_SECONDS, left))
            left -= _SLICE_SECONDS
        self.raise_if_stopped()


@contextmanager
def open_stop(
    signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT),
) -> Iterator[Stop]:
    """Catch the signals for as long as the block runs; the first ends the run after its batch, the
    second at once.

    Must be called in the main thread. The handlers that were there come back at the end.
    """
    stop = Stop()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.ask(signal.Signals(number).name)

    before = {each: signal.signal(each, on_signal) for each in signals}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _stopped(signal_name: str) -> StoppedError:
    return StoppedError(
        f"Stopped by {signal_name}; what was committed stays.",
        fix="Start the run again; it goes on where the log stands.",
    )
