"""How long to wait, whether to try again, and when a circuit is open: the exit-code table as arithmetic.

Called by `run` (tries of one run) and `turn` (runs in a row). Pure: chance is a hash of the name, so a restarted
operator waits until the same instant.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Final

from dpp_core.errors import EXIT_CODES
from dpp_core.names import Reason, RunOutcome
from dpp_core.policy import BackoffPolicy
from dpp_core.status import ExtractionStatus, RunSummary

ONCE_MORE: Final = (21, 70)
"""Codes that get one more try, and no more: an injection that was skipped, our own bug."""
INTERNAL: Final = 70
MORE_MEMORY: Final = 28
AUTH_REFUSED: Final = 22
FENCED: Final = 27
NEEDS_A_CHANGE: Final = (20, 29)
"""No due time is served after these until the spec or the image changes, or a person asks."""
NOT_STARTED: Final = (
    Reason.IMAGE_UNAVAILABLE,
    Reason.UNSCHEDULABLE,
    Reason.ADMISSION_DENIED,
    Reason.POD_NOT_STARTED,
)
"""No process ran, so there is no exit code: a person must act, and then it goes on by itself."""
LONGEST_CIRCUIT: Final = timedelta(hours=24)
_EXTRA_TRIES: Final = 2
_SHORTEST_WAIT_SECONDS: Final = 0.5


def is_passing(last: RunSummary) -> bool:
    """Say whether a run failed for something that may pass by itself, or be mended without a change of the spec."""
    if last.exit_code is None:
        return last.reason in NOT_STARTED
    return is_temporary(last.exit_code)


def is_temporary(code: int) -> bool:
    """Say whether a code may pass by itself."""
    row = EXIT_CODES.get(code)
    return row is not None and row.is_temporary


def should_try_again(code: int, earlier_codes: tuple[int, ...], most_tries: int) -> bool:
    """Say whether the same run gets another try after this code.

    Temporary codes up to `most_tries` of all tries; 21 and 70 once, 28 once with more memory; every other code never.
    A code that is not in the table counts as 70.
    """
    code, *earlier = (each if each in EXIT_CODES else INTERNAL for each in (code, *earlier_codes))
    tries = len(earlier_codes) + 1
    if tries >= most_tries + _EXTRA_TRIES:
        return False
    if is_temporary(code):
        return tries < most_tries
    if code in (*ONCE_MORE, MORE_MEMORY):
        return code not in earlier
    return False


def find_wait(backoff: BackoffPolicy, failures: int, name: str) -> timedelta:
    """Find how long to wait after so many failures in a row: full jitter below a bound that doubles."""
    doubled = backoff.base_seconds * 2 ** min(max(failures, 1) - 1, 20)
    bound = min(float(doubled), float(backoff.most_seconds))
    digest = hashlib.sha256(f"{name}\0{failures}".encode()).digest()[:8]
    share = int.from_bytes(digest, "big") / 2**64
    return timedelta(seconds=round(max(_SHORTEST_WAIT_SECONDS, bound * share), 3))


def find_hold(status: ExtractionStatus, backoff: BackoffPolicy) -> datetime | None:
    """Find until when no new run is started after the last one failed; None when nothing is in the way."""
    last = status.last_run
    if last is None or last.ended_at is None or last.outcome is RunOutcome.SUCCEEDED:
        return None
    if last.exit_code == AUTH_REFUSED:
        return find_circuit(status, backoff)
    if is_passing(last):
        return last.ended_at + find_wait(backoff, status.consecutive_failures, last.name)
    return None


def find_circuit(status: ExtractionStatus, backoff: BackoffPolicy) -> datetime | None:
    """Find until when the secret of an extraction must rest, because the source refused it.

    One try an hour (the policy's longest wait), then every two, four …, at most a day: no account gets locked.
    """
    last = status.last_run
    if last is None or last.ended_at is None or last.exit_code != AUTH_REFUSED:
        return None
    times = min(max(status.consecutive_failures, 1) - 1, 10)
    doubled = timedelta(seconds=backoff.most_seconds * 2**times)
    return last.ended_at + min(doubled, LONGEST_CIRCUIT)


def is_owed(last: RunSummary | None) -> bool:
    """Say whether the last run failed for a passing reason, so that its due time is not served yet."""
    return (
        last is not None
        and last.outcome in (RunOutcome.FAILED, RunOutcome.PARTIAL)
        and last.type == "Scheduled"
        and is_passing(last)
    )
