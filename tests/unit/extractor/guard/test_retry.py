"""One layer retries: only what is temporary, never past the deadline, never sooner than asked."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpp_core.errors import (
    CredentialsMissingError,
    CredentialsRefusedError,
    DestinationUnavailableError,
    DppError,
    FencedError,
    InternalError,
    ResourcesError,
    SourceUnavailableError,
    SpecError,
    StoppedError,
    StreamError,
    TemporaryFailure,
    VaultUnavailableError,
)
from dpp_extractor.guard.deadline import Deadline
from dpp_extractor.guard.retry import ONCE, RetryPolicy, decide_wait_seconds, retrying
from log_capture import captured_logs

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Clock:
    """A clock that only sleeping moves; keeps every wait."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def now(self) -> datetime:
        return NOW + timedelta(seconds=sum(self.waits))

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


class Flaky:
    """Fails with the given errors in turn, then answers `done`."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def chance(value: float) -> Callable[[], float]:
    return lambda: value


def test_a_call_that_works_is_made_once() -> None:
    clock, call = Clock(), Flaky()

    assert retrying(RetryPolicy(), sleep=clock.sleep)(call) == "done"
    assert (call.calls, clock.waits) == (1, [])


@pytest.mark.parametrize(
    "kind",
    [
        VaultUnavailableError,
        SourceUnavailableError,
        DestinationUnavailableError,
        TemporaryFailure,
    ],
)
def test_a_temporary_error_is_tried_again_until_it_works(kind: type[DppError]) -> None:
    clock, call = Clock(), Flaky(kind("away"), kind("away"))

    assert retrying(RetryPolicy(), sleep=clock.sleep)(call) == "done"
    assert call.calls == 3


@pytest.mark.parametrize(
    "kind",
    [
        SpecError,
        CredentialsMissingError,
        CredentialsRefusedError,
        FencedError,
        ResourcesError,
        StreamError,
        InternalError,
        StoppedError,
        KeyError,
    ],
)
def test_what_time_does_not_heal_goes_up_at_once(kind: type[Exception]) -> None:
    clock, call = Clock(), Flaky(kind("no"))

    with pytest.raises(kind):
        retrying(RetryPolicy(), sleep=clock.sleep)(call)

    assert (call.calls, clock.waits) == (1, [])


def test_patience_ends_with_the_last_error_itself() -> None:
    errors = [VaultUnavailableError(f"try {number}") for number in range(1, 9)]
    clock, call = Clock(), Flaky(*errors)

    with pytest.raises(VaultUnavailableError, match="try 5"):
        retrying(RetryPolicy(attempts=5), sleep=clock.sleep)(call)

    assert call.calls == 5
    assert len(clock.waits) == 4


def test_waits_grow_by_two_up_to_the_cap() -> None:
    policy = RetryPolicy(base_seconds=1, cap_seconds=5, attempts=6)
    clock, call = Clock(), Flaky(*[VaultUnavailableError("away")] * 5)

    retrying(policy, sleep=clock.sleep, rng=chance(1.0))(call)

    assert clock.waits == [1, 2, 4, 5, 5]


@given(attempt=st.integers(1, 200), luck=st.floats(0, 1, exclude_max=True))
def test_jitter_is_full_and_never_leaves_zero_to_cap(attempt: int, luck: float) -> None:
    policy = RetryPolicy(base_seconds=0.5, cap_seconds=30)

    waited = decide_wait_seconds(policy, attempt, VaultUnavailableError("away"), luck)

    ceiling = min(30.0, 0.5 * 2 ** (attempt - 1))
    assert waited == luck * ceiling


def test_retry_after_is_the_least_wait() -> None:
    error = VaultUnavailableError("throttled")
    error.retry_after_seconds = 7.0
    clock, call = Clock(), Flaky(error)

    retrying(RetryPolicy(), sleep=clock.sleep, rng=chance(0.1))(call)

    assert clock.waits == [7.0]


def test_no_wait_goes_past_the_deadline() -> None:
    clock, call = Clock(), Flaky(*[VaultUnavailableError("away")] * 9)
    deadline = Deadline(NOW + timedelta(seconds=5), clock.now)
    policy = RetryPolicy(base_seconds=1, cap_seconds=30, attempts=9)

    with pytest.raises(VaultUnavailableError):
        retrying(policy, deadline=deadline, sleep=clock.sleep, rng=chance(1.0))(call)

    assert clock.waits == [1, 2]
    assert clock.now() < deadline.ends_at


def test_a_retry_after_beyond_the_deadline_ends_it_without_a_wait() -> None:
    error = VaultUnavailableError("throttled")
    error.retry_after_seconds = 3600
    clock, call = Clock(), Flaky(error)
    deadline = Deadline(NOW + timedelta(seconds=60), clock.now)

    with pytest.raises(VaultUnavailableError):
        retrying(RetryPolicy(), deadline=deadline, sleep=clock.sleep)(call)

    assert clock.waits == []


def test_a_stop_during_the_wait_ends_it() -> None:
    def stopped(seconds: float) -> None:
        raise StoppedError("Stopped by SIGTERM.")

    call = Flaky(VaultUnavailableError("away"))

    with pytest.raises(StoppedError):
        retrying(RetryPolicy(), sleep=stopped)(call)

    assert call.calls == 1


def test_once_does_not_retry() -> None:
    call = Flaky(VaultUnavailableError("away"))

    with pytest.raises(VaultUnavailableError):
        retrying(ONCE)(call)

    assert call.calls == 1


def test_every_retry_is_one_log_line_without_the_secret() -> None:
    clock = Clock()
    call = Flaky(
        VaultUnavailableError("away from https://u:hunter22@vault"), VaultUnavailableError("away")
    )

    with captured_logs() as captured:
        retrying(RetryPolicy(), sleep=clock.sleep, rng=chance(1.0), what="vault")(call)

    assert [(line["event"], line["what"], line["attempt"]) for line in captured.lines] == [
        ("retry", "vault", 1),
        ("retry", "vault", 2),
    ]
    assert [line["wait_seconds"] for line in captured.lines] == clock.waits
    assert "hunter22" not in captured.text
