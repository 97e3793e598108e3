"""The one layer that tries again. Drivers' own retries are off; nobody else may loop around a call.

Called by `wiring`, which hands the result to the adapters. A call is repeated only when it raised a
DppError that was born temporary; everything else goes up at once. Not here: which driver error is
temporary (`failures`).

    retry = retrying(RetryPolicy(), deadline=deadline, sleep=stop.sleep, what="vault")
    secret = retry(lambda: read(path))

The wait before try n + 1 is full jitter, uniform in [0, min(cap, base * 2^(n-1))] (Brooker,
"Exponential Backoff and Jitter", 2015), never less than the error's `retry_after_seconds` and never
past the deadline: then the last error goes up instead.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import tenacity

from dpp_core import logs
from dpp_core.errors import DppError, StoppedError
from dpp_extractor.guard.deadline import Deadline

T = TypeVar("T")


class Retry(Protocol):
    """Call until it succeeds, fails for good or patience ends; then what the last try did."""

    def __call__(self, call: Callable[[], T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient one call may be. `attempts` counts the first try too."""

    base_seconds: float = 0.5
    cap_seconds: float = 30.0
    attempts: int = 5


ONCE: Final = RetryPolicy(attempts=1)


def retrying(
    policy: RetryPolicy,
    *,
    deadline: Deadline | None = None,
    sleep: Callable[[float], None] = time.sleep,
    rng: Callable[[], float] = random.random,
    what: str = "",
) -> Retry:
    """Build the retry of one outside system; `what` names it in the log line of every retry.

    The call must be safe to repeat: that is the adapter's promise, not this function's.
    """

    def wait_seconds(state: tenacity.RetryCallState) -> float:
        return decide_wait_seconds(policy, state.attempt_number, _error(state), rng())

    def is_patience_over(state: tenacity.RetryCallState) -> bool:
        if state.attempt_number >= policy.attempts:
            return True
        return deadline is not None and deadline.remaining_seconds() <= state.upcoming_sleep

    def retry(call: Callable[[], T], /) -> T:
        loop = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_retryable),
            wait=wait_seconds,
            stop=is_patience_over,
            sleep=sleep,
            before_sleep=lambda state: _tell(state, policy, what),
            reraise=True,
        )
        return loop(call)

    return retry


def is_retryable(error: BaseException) -> bool:
    """Say whether trying again can help. A stop is temporary for the run, but not for the call."""
    return (
        isinstance(error, DppError) and error.is_temporary and not isinstance(error, StoppedError)
    )


def decide_wait_seconds(
    policy: RetryPolicy, attempt: int, error: BaseException | None, chance: float
) -> float:
    """Choose the wait after try `attempt` (1 = the first); `chance` is uniform in [0, 1)."""
    ceiling = min(policy.cap_seconds, policy.base_seconds * 2.0 ** (attempt - 1))
    asked = error.retry_after_seconds if isinstance(error, DppError) else 0.0
    return max(asked, chance * ceiling)


def _tell(state: tenacity.RetryCallState, policy: RetryPolicy, what: str) -> None:
    error = _error(state)
    logs.warning(
        "retry",
        what=what,
        attempt=state.attempt_number,
        attempts=policy.attempts,
        wait_seconds=round(state.upcoming_sleep, 3),
        error=type(error).__name__,
        message=str(error),
    )


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
