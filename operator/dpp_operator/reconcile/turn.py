"""Whose turn it is: the run that goes on, the one that waits, or a new one that is due, and why not now.

Called by `extraction.decide`. Pure. One run of an extraction at a time. A new run is made in the order: asked for by
hand, the first of a new object, due, made up for one that failed, upkeep. Its name follows from its cause, so a
restarted operator makes the same one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from dpp_core.names import Reason, RunOutcome
from dpp_core.plan import new_run
from dpp_core.run import ExtractionRun, RunType
from dpp_core.spec.extraction import Extraction
from dpp_core.spec.schedule import ScheduleSpec
from dpp_core.status import ExtractionStatus, RunSummary
from dpp_operator.reconcile import schedule as cron
from dpp_operator.reconcile import upkeep
from dpp_operator.reconcile.breaker import NEEDS_A_CHANGE, find_hold, is_owed
from dpp_operator.reconcile.ending import Around, Step
from dpp_operator.reconcile.facts import Accepted, Note, Observed, RunFacts
from dpp_operator.reconcile.run import begin


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a new run is made. `may_pass` means that waits and holds do not concern it: a person asked, or it
    leaves the source alone.
    """

    name: str
    type: RunType
    scheduled_at: datetime | None = None
    may_pass: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is. `steps` are those of the runs, one of them perhaps begun; the rest is for the status."""

    steps: tuple[Step, ...]
    current: Step | None = None
    crons: tuple[str, ...] = ()
    scheduled_until: datetime | None = None
    next_run_at: datetime | None = None
    check_at: datetime | None = None
    hold_reason: Reason | None = None
    notes: tuple[Note, ...] = ()


def choose_turn(
    steps: Sequence[Step],
    accepted: Accepted,
    status: ExtractionStatus,
    observed: Observed,
    now: datetime,
) -> Turn:
    """Choose the run that may go on or begin now."""
    around = Around(accepted, observed.policy, {}, now)
    turn = _read_schedule(accepted, status, observed, now)
    turn = replace(turn, steps=tuple(steps))
    current = _find_current(steps)
    if current is not None:
        return _go_on(turn, current, accepted, around)
    if not accepted.may_run or is_suspended(accepted):
        return replace(turn, next_run_at=None, check_at=None)
    cause = _find_cause(turn, accepted, status, observed, now)
    if cause is None:
        return turn
    hold_at, reason = (None, None) if cause.may_pass else _find_hold(accepted, status, observed)
    if reason is not None and (hold_at is None or hold_at > now):
        return replace(turn, next_run_at=hold_at, check_at=hold_at, hold_reason=reason)
    return _begin_new(turn, cause, accepted, observed, around)


def is_suspended(accepted: Accepted) -> bool:
    """Say whether nothing new may start: the extraction, or each of its datasets, is suspended."""
    spec = accepted.extraction.spec if accepted.extraction else None
    return spec is not None and (spec.suspend or all(each.suspend for each in spec.datasets))


def _find_current(steps: Sequence[Step]) -> Step | None:
    """Find the run under way, else the one that waits longest."""
    open_steps = [step for step in steps if not step.is_over and not step.facts.is_deleted]
    begun = [step for step in open_steps if not step.is_waiting]
    waiting = sorted(open_steps, key=lambda step: (step.facts.created_at, step.facts.name))
    return next(iter((*begun, *waiting)), None)


def _go_on(turn: Turn, current: Step, accepted: Accepted, around: Around) -> Turn:
    if current.is_waiting and accepted.may_run and not is_suspended(accepted):
        begun = begin(current, around)
        steps = tuple(begun if step is current else step for step in turn.steps)
        turn, current = replace(turn, steps=steps), begun
    return replace(turn, current=current)


def _read_schedule(
    accepted: Accepted, status: ExtractionStatus, observed: Observed, now: datetime
) -> Turn:
    """Find what is due since the anchor: the last due time that was served, or when the schedule began to hold."""
    spec = accepted.extraction.spec.schedule if accepted.extraction else None
    if spec is None:
        return Turn((), scheduled_until=status.scheduled_until)
    crons = cron.fill_in(spec, accepted.namespace, accepted.name)
    anchor = _find_anchor(spec, crons, accepted, status, observed, now)
    due = cron.find_due(crons, spec.time_zone, anchor or now, now)
    notes: tuple[Note, ...] = ()
    limit = spec.starting_deadline_seconds
    if due.at is not None and limit is not None and now > due.at + timedelta(seconds=limit):
        said = f"Due at {due.at:%Y-%m-%dT%H:%MZ}, let go: more than {limit} s have passed."
        notes = (Note("Warning", Reason.RUN_MISSED, said, key=due.at.isoformat()),)
        anchor = due.at
    return Turn(
        (),
        crons=crons,
        scheduled_until=anchor,
        next_run_at=due.next_at,
        check_at=due.next_at,
        notes=notes,
    )


def _find_anchor(
    spec: ScheduleSpec,
    crons: tuple[str, ...],
    accepted: Accepted,
    status: ExtractionStatus,
    observed: Observed,
    now: datetime,
) -> datetime | None:
    """None means: a new object that begins with a run at once."""
    before = status.effective
    is_changed = before is not None and (before.schedule, before.time_zone) != (
        crons,
        spec.time_zone,
    )
    if is_changed and (status.scheduled_until or status.last_run or (before and before.schedule)):
        return now
    served = [
        run.run.spec.scheduled_at
        for run in observed.runs
        if run.run and run.is_ours and run.run.spec.scheduled_at
    ]
    first = cron.name_first(accepted.name, accepted.uid)
    served += [run.created_at for run in observed.runs if run.name == first]
    if status.scheduled_until is not None:
        served.append(status.scheduled_until)
    if not served and spec.first_run == "Scheduled":
        return accepted.created_at
    return max(served, default=None)


def _find_cause(
    turn: Turn, accepted: Accepted, status: ExtractionStatus, observed: Observed, now: datetime
) -> Cause | None:
    assert accepted.extraction is not None
    spec, known = accepted.extraction.spec, {run.name for run in observed.runs}
    name, uid = accepted.name, accepted.uid
    manual = spec.trigger.manual if spec.trigger else None
    if manual and manual != status.last_manual_trigger:
        wanted = cron.name_manual(name, uid, manual)
        if wanted not in known:
            return Cause(wanted, "Manual", may_pass=True)
    cause = _find_scheduled(turn, spec.schedule, accepted, status, now)
    return cause or _find_upkeep(accepted, observed)


def _find_scheduled(
    turn: Turn,
    spec: ScheduleSpec | None,
    accepted: Accepted,
    status: ExtractionStatus,
    now: datetime,
) -> Cause | None:
    name, uid = accepted.name, accepted.uid
    if spec is None:
        return None
    if turn.scheduled_until is None:
        return Cause(cron.name_first(name, uid), "Scheduled")
    due = cron.find_due(turn.crons, spec.time_zone, turn.scheduled_until, now)
    if due.at is not None:
        return Cause(cron.name_due(name, uid, due.at), "Scheduled", due.at)
    if is_owed(status.last_run) and status.last_run is not None:
        return Cause(cron.name_again(name, uid, status.last_run.name), "Scheduled")
    return None


def _find_upkeep(accepted: Accepted, observed: Observed) -> Cause | None:
    """Upkeep comes last: a run that is due goes first, and one at a time is the rule for it too."""
    assert accepted.extraction is not None
    datasets = [each.name for each in accepted.extraction.spec.datasets if not each.suspend]
    mark = upkeep.find_due(observed.runs, find_known_seqs(observed), datasets)
    wanted = cron.name_upkeep(accepted.name, accepted.uid, mark)
    if not mark or any(run.name == wanted for run in observed.runs):
        return None
    return Cause(wanted, "Maintain", may_pass=True)


def _find_hold(
    accepted: Accepted, status: ExtractionStatus, observed: Observed
) -> tuple[datetime | None, Reason | None]:
    """Find what keeps a due run from starting: until when, or until something changes (None, reason)."""
    last = status.last_run
    if last is not None and last.generation < accepted.generation:
        return None, None
    if last is not None and _needs_a_change(last) and not _has_new_image(last.name, observed):
        return None, last.reason or Reason.INVALID_SPEC
    own = find_hold(status, observed.policy.backoff)
    latest = max((at for at in (own, *observed.circuits) if at is not None), default=None)
    if latest is None:
        return None, None
    reason = (
        Reason.CIRCUIT_OPENED if observed.circuits or _is_refused(status) else Reason.RUN_FAILED
    )
    return latest, reason


def _needs_a_change(last: RunSummary) -> bool:
    return last.outcome is RunOutcome.FAILED and last.exit_code in NEEDS_A_CHANGE


def _is_refused(status: ExtractionStatus) -> bool:
    return status.last_run is not None and status.last_run.exit_code == 22


def _has_new_image(name: str, observed: Observed) -> bool:
    """Say whether a run would have another image than the one that failed."""
    for run in observed.runs:
        if run.name == name and run.run is not None and run.run.spec.image:
            return run.run.spec.image != observed.policy.images.default
    return False


def _begin_new(
    turn: Turn, cause: Cause, accepted: Accepted, observed: Observed, around: Around
) -> Turn:
    assert accepted.extraction is not None
    run = build_run(accepted.extraction, cause, observed, around.now)
    facts = RunFacts(cause.name, "", around.now, run, is_ours=True)
    step = begin(Step(facts, facts.status, is_waiting=True), around, is_new=True)
    if step.is_over:
        return replace(turn, next_run_at=None)  # it cannot even be resolved; `accept` says why
    served = cause.scheduled_at or (
        around.now if turn.scheduled_until is None and turn.crons else None
    )
    if cause.type in ("Manual", "Maintain"):
        served = None
    return replace(
        turn,
        steps=(*turn.steps, step),
        current=step,
        scheduled_until=served or turn.scheduled_until,
    )


def build_run(
    extraction: Extraction, cause: Cause, observed: Observed, now: datetime
) -> ExtractionRun:
    """Build the run of a cause, pinned to what is known: image, generation, each dataset's last commit."""
    whole = now.astimezone(UTC).replace(microsecond=0)
    run = new_run(extraction, observed.policy, whole, cause.name)
    epochs = {unit.name: unit.epoch for unit in run.spec.units}
    seqs = find_known_seqs(observed, epochs)
    units = tuple(
        unit.model_copy(update={"known_seq": seqs.get(unit.name)}) for unit in run.spec.units
    )
    changes = {"type": cause.type, "scheduled_at": cause.scheduled_at, "units": units}
    return run.model_copy(update={"spec": run.spec.model_copy(update=changes)})


def find_known_seqs(observed: Observed, epochs: Mapping[str, int] | None = None) -> dict[str, int]:
    """Find each dataset's last commit that a run told of; with `epochs`, that a run of that epoch told of.

    A raised epoch reads everything anew, wherever the destination lies now. So it is not held to
    what was known before: after a move there is nothing yet.
    """
    known: dict[str, int] = {}
    for run in observed.runs:
        pinned = {unit.name: unit.epoch for unit in run.run.spec.units} if run.run else {}
        for unit in run.status.units:
            is_other = epochs is not None and pinned.get(unit.name, 0) != epochs.get(unit.name, 0)
            if unit.seq is not None and not is_other:
                known[unit.name] = max(unit.seq, known.get(unit.name, 0))
    return known
