"""How a run is written down: while it goes on, and how it ended, as its status and an Event.

Called by `run`. Pure. A run is over when its status has an outcome; that is written before anything of it is deleted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from dpp_core.names import Condition, Reason, RunOutcome, UnitOutcome
from dpp_core.policy import Policy
from dpp_core.status import RunStatus, UnitStatus
from dpp_operator.reconcile.breaker import NOT_STARTED
from dpp_operator.reconcile.conditions import (
    Verdict,
    build_conditions,
    false,
    shorten,
    true,
)
from dpp_operator.reconcile.facts import (
    Accepted,
    Ending,
    Heartbeat,
    Note,
    RunFacts,
    Start,
    Trouble,
    Try,
)

PROGRESS_EVERY: Final = timedelta(seconds=60)
GOOD: Final = (UnitOutcome.COMMITTED, UnitOutcome.UNCHANGED, UnitOutcome.ALREADY_COMMITTED)
_CODES: Final = {
    Reason.CREDENTIALS_UNAVAILABLE: 21,
    Reason.INVALID_SPEC: 20,
    Reason.TENANCY_DENIED: 20,
    Reason.IMAGE_NOT_ALLOWED: 20,
    Reason.EXTRACTION_MISSING: 20,
    Reason.CANCELLED: 143,
}


@dataclass(frozen=True, slots=True)
class Around:
    """What a run meets: its extraction, the policy, the failures of its datasets so far, the instant."""

    accepted: Accepted | None
    policy: Policy
    failures: Mapping[str, int]
    now: datetime
    heartbeat: Heartbeat | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of a run: its status as it should be, and what must be done for it."""

    facts: RunFacts
    status: RunStatus
    is_waiting: bool = False
    start: Start | None = None
    delete_jobs: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    check_at: datetime | None = None
    trouble: Trouble | None = None

    @property
    def is_over(self) -> bool:
        return self.status.outcome is not None


def end_as(run: RunFacts, latest: Try, ending: Ending, around: Around) -> Step:
    """Write down how a run ended, from its report or, without one, from its code."""
    report = ending.report
    if report is None:
        outcome = RunOutcome.SUCCEEDED if ending.code == 0 else RunOutcome.FAILED
        step = end(run, around, ending.reason, ending.message, try_=latest, outcome=outcome)
        return replace(step, status=step.status.model_copy(update={"exit_code": ending.code}))
    units = tuple(
        UnitStatus(
            name=unit.dataset,
            outcome=unit.outcome,
            reason=unit.reason,
            code=unit.code or None,
            failures=0 if unit.outcome in GOOD else around.failures.get(unit.dataset, 0) + 1,
            seq=unit.seq,
            rows=unit.rows,
            deleted=unit.deleted or None,
            high=unit.high[:32] or None,
        )
        for unit in report.units
    )
    step = end(run, around, ending.reason, ending.message, try_=latest, outcome=report.outcome)
    status = step.status.model_copy(
        update={
            "exit_code": ending.code,
            "units": units,
            "rows": sum(unit.rows for unit in units),
            "message": shorten(_sayend(report.outcome, units, ending)),
        }
    )
    return replace(step, status=status)


def _sayend(outcome: RunOutcome, units: tuple[UnitStatus, ...], ending: Ending) -> str:
    if outcome is RunOutcome.SUCCEEDED:
        deleted = sum(unit.deleted or 0 for unit in units)
        more = f", {deleted} deleted" if deleted else ""
        return f"{len(units)} datasets, {sum(unit.rows for unit in units)} rows{more}"
    failed = [unit.name for unit in units if unit.outcome not in GOOD]
    more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
    return f"{', '.join(failed[:3])}{more}: {ending.message or ending.reason}"


def end(
    run: RunFacts,
    around: Around,
    reason: Reason,
    message: str,
    *,
    try_: Try | None = None,
    outcome: RunOutcome = RunOutcome.FAILED,
) -> Step:
    """End a run; Jobs that still run are deleted once that is written down."""
    is_good = outcome is RunOutcome.SUCCEEDED
    told = Reason.SUCCEEDED if is_good else reason
    verdict = true(told) if is_good else false(told, message)
    over = Verdict("False", Reason.IDLE)
    verdicts = build_verdicts(over, verdict)
    if not is_good:
        verdicts[Condition.STALLED] = true(told, message)
    status = tell(run, around, verdicts, try_=try_, reason=told).model_copy(
        update={
            "outcome": outcome,
            "message": shorten(message),
            "ended_at": try_.ending.at if try_ and try_.ending else around.now,
            "exit_code": 0 if is_good else _find_code(reason),
        }
    )
    note = Note(
        "Normal" if is_good else "Warning",
        Reason.RUN_SUCCEEDED if is_good else Reason.RUN_FAILED,
        f"{run.name}: {outcome.value} ({told.value}). {message}".strip(),
        run.name,
        "end",
    )
    return Step(run, status, notes=(note,))


def _find_code(reason: Reason) -> int | None:
    """Find the code that stands for an end that no process told; none when no process ran."""
    return None if reason in NOT_STARTED else _CODES.get(reason, 75)


def tell(
    run: RunFacts,
    around: Around,
    verdicts: Mapping[Condition, Verdict],
    *,
    try_: Try | None,
    reason: Reason,
) -> RunStatus:
    before = run.status
    generation = run.run.metadata.generation if run.run else before.observed_generation
    return before.model_copy(
        update={
            "observed_generation": generation,
            "conditions": build_conditions(verdicts, before.conditions, generation, around.now),
            "reason": reason,
            "job_name": try_.job_name if try_ else before.job_name,
            "attempts": try_.number if try_ else before.attempts,
            "started_at": before.started_at or (try_.started_at if try_ else None),
        }
    )


def build_verdicts(
    running: Verdict, succeeded: Verdict, is_reconciling: bool = False
) -> dict[Condition, Verdict]:
    reason, message = running.reason, running.message
    return {
        Condition.SUCCEEDED: succeeded,
        Condition.RUNNING: running,
        Condition.RECONCILING: true(reason, message) if is_reconciling else false(reason),
        Condition.STALLED: false(Reason.ACCEPTED),
    }


def add_progress(run: RunFacts, status: RunStatus, around: Around) -> RunStatus:
    """Bring counts up to date from the heartbeat, at most once a minute."""
    beat, told_at = around.heartbeat, run.status.progress_at
    if beat is None or (told_at is not None and beat.at < told_at + PROGRESS_EVERY):
        return status
    units = tuple(UnitStatus(name=name, rows=rows) for name, rows in sorted(beat.units.items()))
    return status.model_copy(
        update={"progress_at": beat.at, "rows": beat.rows, "units": units[:100]}
    )
