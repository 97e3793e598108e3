"""The status of an extraction, put together: is it ready, fresh, stalled, and until when.

Called by `extraction.decide`. Pure. Ready means: accepted, would run, and its objectives hold. It is False together
with Stalled (a person must act) or with Reconciling (a pod has not started, and that has a deadline), never alone.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from dpp_core.names import Condition, Reason, RunOutcome
from dpp_core.policy import compute_policy_digest
from dpp_core.rollout import active_image
from dpp_core.status import EffectiveStatus, ExtractionStatus, RunSummary
from dpp_operator.reconcile.breaker import NOT_STARTED
from dpp_operator.reconcile.conditions import (
    Verdict,
    build_conditions,
    false,
    read_verdicts,
    true,
)
from dpp_operator.reconcile.ending import Step
from dpp_operator.reconcile.facts import Accepted, Note, Observed
from dpp_operator.reconcile.report import Standing, read_failed_try
from dpp_operator.reconcile.turn import Turn, is_suspended

STALLING_CODES: Final = (20, 21, 22, 29)
"""Ends of a run after which a person must act; the others pass, or show when an objective is broken."""


def build_status(
    accepted: Accepted,
    before: ExtractionStatus,
    standing: Standing,
    turn: Turn,
    observed: Observed,
    now: datetime,
) -> ExtractionStatus:
    """Build the whole status; equal to the one before when nothing has changed."""
    status = standing.status
    tried = read_failed_try(turn.current.status if turn.current else None)
    verdicts = {**standing.verdicts, **tried, **_judge(accepted, standing, turn, now)}
    database = accepted.extraction and accepted.extraction.spec.source.database
    return status.model_copy(
        update={
            "observed_generation": accepted.generation,
            "conditions": build_conditions(verdicts, before.conditions, accepted.generation, now),
            "mode": ("Database" if database else "Api") if accepted.extraction else status.mode,
            "effective": _build_effective(accepted, status, turn, observed),
            "active_run": _build_active(status, turn.current, now),
            "scheduled_until": turn.scheduled_until,
            "next_run_at": turn.next_run_at,
        }
    )


def _build_effective(
    accepted: Accepted, status: ExtractionStatus, turn: Turn, observed: Observed
) -> EffectiveStatus:
    digest, image = compute_policy_digest(observed.policy), active_image(observed.policy, None)
    if accepted.extraction is None and status.effective is not None:
        return status.effective.model_copy(update={"policy_digest": digest, "image": image})
    schedule = accepted.extraction.spec.schedule if accepted.extraction else None
    return EffectiveStatus(
        policy_digest=digest,
        image=image,
        schedule=turn.crons,
        time_zone=schedule.time_zone if schedule else "",
    )


def _build_active(
    status: ExtractionStatus, current: Step | None, now: datetime
) -> RunSummary | None:
    """Name the run under way; its counts and progress are in its own status."""
    if current is None or current.is_waiting or current.is_over:
        return None
    name, spec = current.facts.name, current.facts.run.spec if current.facts.run else None
    if status.active_run is not None and status.active_run.name == name:
        return status.active_run
    return RunSummary(
        name=name,
        started_at=current.status.started_at or now.replace(microsecond=0),
        type=spec.type if spec else "",
        generation=spec.generation if spec else 0,
    )


def _judge(
    accepted: Accepted, standing: Standing, turn: Turn, now: datetime
) -> Mapping[Condition, Verdict]:
    is_running = (
        turn.current is not None and not turn.current.is_waiting and not turn.current.is_over
    )
    name = turn.current.facts.name if turn.current else ""
    fresh = _judge_freshness(accepted, standing.status, now)
    stalled = _judge_stall(accepted, standing, fresh)
    trouble = turn.current.trouble if turn.current else None
    if stalled is not None:
        ready, reconciling = false(stalled.reason, stalled.message), false(stalled.reason)
    elif trouble is not None:
        ready = false(trouble.reason, trouble.message)
        reconciling = true(trouble.reason, f"{name} has not started")
    else:
        ready = true(Reason.ACCEPTED, f"{name} is under way" if is_running else "")
        reconciling = false(Reason.ACCEPTED)
    suspended = is_suspended(accepted)
    return {
        Condition.READY: ready,
        Condition.RECONCILING: reconciling,
        Condition.STALLED: stalled or false(Reason.ACCEPTED),
        Condition.RUNNING: true(Reason.RUN_UNDER_WAY, name) if is_running else false(Reason.IDLE),
        Condition.FRESH: fresh,
        Condition.SUSPENDED: true(Reason.SUSPENDED) if suspended else false(Reason.NOT_SUSPENDED),
    }


def _judge_stall(accepted: Accepted, standing: Standing, fresh: Verdict) -> Verdict | None:
    """Say why a person must act; None when nobody must."""
    status = standing.status
    if accepted.refusal:
        return true(accepted.reason, accepted.refusal)
    last = status.last_run
    is_of_this_spec = last is not None and last.generation >= accepted.generation
    if last is not None and is_of_this_spec and last.outcome is not RunOutcome.SUCCEEDED:
        reason = last.reason or Reason.INTERNAL
        if last.exit_code in STALLING_CODES or reason in NOT_STARTED:
            said = standing.verdicts[Condition.LAST_RUN_SUCCEEDED].message
            return true(reason, said or last.name)
    objectives = accepted.extraction.spec.objectives if accepted.extraction else None
    most = objectives.failures if objectives else None
    if most and status.consecutive_failures >= most:
        said = f"{status.consecutive_failures} failures in a row; {most} are too many"
        return true(Reason.FAILURES_EXCEEDED, said)
    if fresh.status == "False":
        return true(fresh.reason, fresh.message)
    return None


def _judge_freshness(accepted: Accepted, status: ExtractionStatus, now: datetime) -> Verdict:
    breach_at = find_breach(accepted, status)
    if breach_at is None:
        return (
            Verdict("Unknown", Reason.NOT_YET_KNOWN)
            if status.last_success_at is None
            else true(Reason.WITHIN_OBJECTIVES)
        )
    if now < breach_at:
        return true(Reason.WITHIN_OBJECTIVES)
    since = f"since {status.last_success_at:%Y-%m-%dT%H:%MZ}" if status.last_success_at else "yet"
    return false(Reason.FRESHNESS_BREACHED, f"no successful run {since}")


def find_breach(accepted: Accepted, status: ExtractionStatus) -> datetime | None:
    """Find when the freshness objective is broken; None without one, or while suspended."""
    objectives = accepted.extraction.spec.objectives if accepted.extraction else None
    if objectives is None or objectives.freshness_seconds is None or is_suspended(accepted):
        return None
    begin = status.last_success_at or accepted.created_at
    return begin + timedelta(seconds=objectives.freshness_seconds)


def find_next_look(
    accepted: Accepted, status: ExtractionStatus, turn: Turn, now: datetime
) -> datetime | None:
    """Find the next instant at which something may change without anybody telling."""
    looks = [step.check_at for step in turn.steps if step.check_at and not step.is_over]
    if turn.check_at is not None:
        looks.append(turn.check_at)
    breach_at = find_breach(accepted, status)
    if breach_at is not None and breach_at > now:
        looks.append(breach_at)
    return min(looks, default=None)


def list_notes(
    accepted: Accepted, before: ExtractionStatus, after: ExtractionStatus, turn: Turn
) -> tuple[Note, ...]:
    """List the Events: of the runs, and of what became of the extraction itself."""
    told = [step for step in turn.steps if step.start or step.status != step.facts.status]
    notes = [note for step in told for note in step.notes]
    notes += turn.notes
    if turn.current is not None and turn.current.start is not None:
        start = turn.current.start
        said = f"{turn.current.facts.name} started, try {start.number}"
        notes.append(
            Note("Normal", Reason.RUN_STARTED, said, turn.current.facts.name, str(start.number))
        )
    notes += _list_changes(accepted, before, after)
    if turn.hold_reason is Reason.CIRCUIT_OPENED and turn.check_at != before.next_run_at:
        said = f"The source refused the credentials; the next try is at {turn.next_run_at:%Y-%m-%dT%H:%M:%SZ}"
        notes.append(Note("Warning", Reason.CIRCUIT_OPENED, said, key=str(turn.next_run_at)))
    return tuple(notes)


def _list_changes(
    accepted: Accepted, before: ExtractionStatus, after: ExtractionStatus
) -> list[Note]:
    old, new = read_verdicts(before.conditions), read_verdicts(after.conditions)
    stalled, was = new[Condition.STALLED], old.get(Condition.STALLED)
    if stalled.status == "True" and (
        was is None or (was.status, was.reason) != ("True", stalled.reason)
    ):
        said = accepted.refusal or stalled.message
        return [Note("Warning", stalled.reason, said, key=f"stalled-{accepted.generation}")]
    if stalled.status == "False" and was is not None and was.status == "True":
        at = next(each.last_transition_time for each in after.conditions if each.type == "Stalled")
        return [Note("Normal", Reason.ACCEPTED, "It goes on.", key=at.isoformat())]
    return []
