"""What becomes of one run: wait, start a try, try again, or write down how it ended.

Called by `extraction.decide` for each run. Pure. A run is over when its status has an outcome; until then it is asked
again, which is harmless, because the extractor finds its own commits. Nothing here depends on a Job still being there.
"""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from dpp_core.errors import DppError
from dpp_core.names import Reason
from dpp_core.plan import resolve_bytes
from dpp_core.rollout import active_image
from dpp_core.run import ExtractionRun
from dpp_operator.reconcile.breaker import MORE_MEMORY, find_wait, should_try_again
from dpp_operator.reconcile.conditions import NOT_YET_KNOWN, false, shorten, true
from dpp_operator.reconcile.ending import (
    PROGRESS_EVERY,
    Around,
    Step,
    add_progress,
    build_verdicts,
    end,
    end_as,
    tell,
)
from dpp_operator.reconcile.facts import Accepted, Ending, Note, RunFacts, Start, Try

GIVE_UP_AFTER_START_DEADLINES: Final = 5
TIMES_A_REPORT_IS_ASKED: Final = 2
LOOK_AGAIN: Final = timedelta(seconds=5)


def advance(run: RunFacts, around: Around) -> Step:
    """Say what becomes of a run now. Asked twice with the same facts it says the same."""
    if run.status.outcome is not None or run.is_deleted:
        live = tuple(
            each.job_name for each in run.tries if each.ending is None and not each.is_deleted
        )
        return Step(run, run.status, delete_jobs=live if run.status.outcome else ())
    refusal = _refuse(run, around)
    if refusal is not None:
        return end(run, around, *refusal)
    assert run.run is not None
    if run.run.spec.cancel:
        return end(run, around, Reason.CANCELLED, f"Cancelled: {run.run.spec.cancel}")
    latest = run.tries[-1] if run.tries else None
    if latest is None and run.status.attempts == 0:
        return Step(run, run.status, is_waiting=True)
    if latest is None or latest.number < run.status.attempts:
        return _after_loss(run, around)
    if latest.ending is None:
        return _under_way(run, latest, around)
    return _after(run, latest, latest.ending, around)


def begin(step: Step, around: Around, *, is_new: bool = False) -> Step:
    """Begin a run that waits: resolve it and start its first try. What cannot be resolved ends at once."""
    run, accepted = step.facts, around.accepted
    assert run.run is not None
    assert accepted is not None
    assert accepted.extraction is not None
    try:
        request = resolve_bytes(accepted.extraction, around.policy, run.run)
    except DppError as error:
        return end(run, around, error.reason, str(error))
    start = Start(
        run=run.run,
        number=1,
        request=request,
        image=run.run.spec.image or active_image(around.policy, None),
        size=_find_size(accepted),
        is_new=is_new,
    )
    return replace(step, start=start, is_waiting=False)


def _refuse(run: RunFacts, around: Around) -> tuple[Reason, str] | None:
    if run.refusal or run.run is None:
        return Reason.INVALID_SPEC, run.refusal or "the run cannot be read."
    image, allowed = run.run.spec.image, around.policy.images.allowed
    if image and image not in allowed and not run.tries:
        said = f"spec.image: the policy does not allow it. Allowed: {', '.join(allowed[:3]) or 'none'}."
        return Reason.IMAGE_NOT_ALLOWED, said
    patience = timedelta(seconds=around.policy.start_deadline_seconds)
    if around.accepted is None and around.now >= run.created_at + patience:
        return (
            Reason.EXTRACTION_MISSING,
            f"There is no DistributorExtraction {run.run.spec.extraction}.",
        )
    return None


def _under_way(run: RunFacts, latest: Try, around: Around) -> Step:
    """Tell that a try runs, or why it does not yet; a pod that never starts is given up after five deadlines."""
    if latest.started_at is not None:
        verdicts = build_verdicts(true(Reason.RUN_UNDER_WAY), NOT_YET_KNOWN)
        status = tell(run, around, verdicts, try_=latest, reason=Reason.RUN_UNDER_WAY)
        status = add_progress(run, status, around)
        return Step(run, status, check_at=around.now + PROGRESS_EVERY)
    patience = timedelta(seconds=around.policy.start_deadline_seconds)
    told_at = latest.created_at + patience
    if around.now < told_at or latest.trouble is None:
        return Step(run, run.status, check_at=told_at)
    trouble = latest.trouble
    given_up_at = latest.created_at + patience * GIVE_UP_AFTER_START_DEADLINES
    if around.now >= given_up_at:
        return end(run, around, trouble.reason, trouble.message, try_=latest)
    if run.status.reason is trouble.reason and run.status.message:
        trouble = replace(
            trouble, message=run.status.message
        )  # its words change, its cause does not
    verdicts = build_verdicts(false(trouble.reason, trouble.message), NOT_YET_KNOWN, True)
    status = tell(run, around, verdicts, try_=latest, reason=trouble.reason)
    status = status.model_copy(update={"message": shorten(trouble.message)})
    note = Note("Warning", trouble.reason, trouble.message, run.name, latest.job_name)
    return Step(run, status, notes=(note,), check_at=given_up_at, trouble=trouble)


def _after(run: RunFacts, latest: Try, ending: Ending, around: Around) -> Step:
    """A try is over: write down the end of the run, or try again after a while."""
    at = _find_next_try(run, latest, ending, around)
    if at is None:
        return end_as(run, latest, ending, around)
    said = (
        f"Try {latest.number} ended with {ending.code}, the next is at {at:%H:%M:%S}: "
        f"{ending.message}"
    )
    verdicts = build_verdicts(false(ending.reason, ending.message), NOT_YET_KNOWN, True)
    status = tell(run, around, verdicts, try_=latest, reason=ending.reason)
    status = status.model_copy(update={"message": shorten(said), "exit_code": ending.code})
    note = Note("Warning", Reason.RUN_RETRIED, said, run.name, latest.job_name)
    if around.now < at:
        return Step(run, status, notes=(note,), check_at=at)
    if any(each.has_live_pod for each in run.tries):
        return Step(run, status, notes=(note,), check_at=around.now + LOOK_AGAIN)
    codes = (*latest.earlier_codes, ending.code)
    start = _build_start(run, around, latest.number + 1, codes, latest)
    return Step(run, status, start=start, notes=(note,))


def _find_next_try(run: RunFacts, latest: Try, ending: Ending, around: Around) -> datetime | None:
    """Find when the next try begins; None when there is none, by the table or because time is over."""
    if ending.is_lost:
        is_again = latest.earlier_codes.count(ending.code) < TIMES_A_REPORT_IS_ASKED
    elif ending.code == MORE_MEMORY and not ending.is_memory:
        is_again = False
    else:
        most = _find_most_tries(around)
        is_again = should_try_again(ending.code, latest.earlier_codes, most)
    wait = timedelta()
    if not ending.is_lost and ending.code != MORE_MEMORY:
        tries = len(latest.earlier_codes) + 1
        wait = find_wait(around.policy.backoff, tries, run.name)
    at = ending.at + wait
    deadline_at = run.run.spec.deadline_at if run.run else None
    is_late = deadline_at is not None and max(at, around.now) >= deadline_at
    return at if is_again and not is_late else None


def _after_loss(run: RunFacts, around: Around) -> Step:
    """The Job of a try is gone and nobody wrote down how it ended: ask the same run again."""
    lost = run.status
    if lost.attempts >= _find_most_tries(around) + 2:
        said = "Its Jobs were deleted again and again before they ended."
        return end(run, around, Reason.JOB_LOST, said)
    if any(each.has_live_pod for each in run.tries):
        return Step(run, run.status, check_at=around.now + LOOK_AGAIN)
    codes = tuple(run.tries[-1].earlier_codes) if run.tries else ()
    known = run.tries[-1] if run.tries else None
    start = _build_start(run, around, lost.attempts + 1, (*codes, 75), known, lost.job_name)
    if start is None:
        return Step(run, run.status)
    note = Note(
        "Warning",
        Reason.JOB_LOST,
        f"{lost.job_name} is gone; the same run is asked again.",
        run.name,
        lost.job_name,
    )
    return Step(run, run.status, start=start, notes=(note,))


def _build_start(
    run: RunFacts,
    around: Around,
    number: int,
    codes: tuple[int, ...],
    known: Try | None,
    lost_job: str = "",
) -> Start | None:
    """Build the next try: pinned to the request and image of the one before, resolved anew when that is gone."""
    assert run.run is not None
    accepted = around.accepted
    request, image = (known.request, known.image) if known else (b"", "")
    if not request:
        if accepted is None or accepted.extraction is None:
            return None
        request = resolve_bytes(accepted.extraction, around.policy, run.run)
    return Start(
        run=run.run,
        number=number,
        request=request,
        image=image or run.run.spec.image or active_image(around.policy, None),
        size=_find_size(accepted),
        earlier_codes=codes,
        lost_job=lost_job,
    )


def _find_most_tries(around: Around) -> int:
    accepted = around.accepted
    spec = accepted.extraction.spec.run if accepted and accepted.extraction else None
    return (spec and spec.attempts) or around.policy.defaults.attempts


def _find_size(accepted: Accepted | None) -> str:
    spec = accepted.extraction.spec.run if accepted and accepted.extraction else None
    return (spec and spec.size) or "Small"


def find_deadline_seconds(run: ExtractionRun, now: datetime) -> int:
    """Find a Job's own deadline: a minute after the run's, and long enough for the agent's five minutes of tries."""
    left = ((run.spec.deadline_at or now) - now).total_seconds()
    return max(360, math.ceil(left) + 60)
