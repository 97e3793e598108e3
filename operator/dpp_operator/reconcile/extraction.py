"""One extraction, looked at as a whole. This is the file to read first.

Called by `worker` whenever anything of an extraction changed or an instant came that was waited for. Pure: the same
facts at the same instant give the same decision, and a decision that was carried out is not made again.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from dpp_core.status import ExtractionStatus, RunStatus
from dpp_operator.reconcile.ending import Around, Step
from dpp_operator.reconcile.facts import Accepted, Decision, Observed
from dpp_operator.reconcile.history import find_surplus
from dpp_operator.reconcile.report import fold_endings
from dpp_operator.reconcile.run import advance
from dpp_operator.reconcile.turn import choose_turn
from dpp_operator.reconcile.upkeep import is_upkeep
from dpp_operator.reconcile.verdict import build_status, find_next_look, list_notes


def decide(
    accepted: Accepted, status: ExtractionStatus, observed: Observed, now: datetime
) -> Decision:
    """Decide what happens to an extraction now: its runs, its status, and when to look again."""
    if accepted.is_deleted:
        return Decision()  # what it owns goes with it; running Jobs are stopped by the cluster

    failures = _count_failures(observed)
    steps = [
        advance(
            run, Around(accepted, observed.policy, failures, now, observed.heartbeats.get(run.name))
        )
        for run in observed.runs
    ]
    standing = fold_endings(status, accepted, [(step.facts, step.status) for step in steps])
    turn = choose_turn(steps, accepted, standing.status, observed, now)
    told = build_status(accepted, status, standing, turn, observed, now)

    last = told.last_run.name if told.last_run else ""
    return Decision(
        start=turn.current.start if turn.current else None,
        runs={step.facts.name: step.status for step in turn.steps if _is_news(step)},
        status=told if told != status else None,
        delete_jobs=tuple(job for step in turn.steps for job in step.delete_jobs),
        delete_runs=find_surplus(turn.steps, accepted, observed.policy, last),
        adopt_runs=tuple(
            run.name for run in observed.runs if not run.is_owned and not run.is_deleted
        ),
        notes=list_notes(accepted, status, told, turn),
        check_at=find_next_look(accepted, told, turn, now),
    )


def decide_orphans(observed: Observed, now: datetime) -> Decision:
    """Decide for runs whose extraction is not there: they wait a little for it, then they are refused."""
    steps = [advance(run, Around(None, observed.policy, {}, now)) for run in observed.runs]
    waits = [step.facts.created_at for step in steps if not step.is_over]
    patience = observed.policy.start_deadline_seconds
    return Decision(
        runs={step.facts.name: step.status for step in steps if _is_news(step)},
        delete_jobs=tuple(job for step in steps for job in step.delete_jobs),
        notes=tuple(note for step in steps for note in step.notes),
        check_at=min(waits) + timedelta(seconds=patience) if waits else None,
    )


def _is_news(step: Step) -> bool:
    return bool(step.facts.uid) and step.status != step.facts.status


def _count_failures(observed: Observed) -> Mapping[str, int]:
    """Count each dataset's failures in a row, as the runs that ended last tell."""
    counts: dict[str, int] = {}
    reads = [run for run in observed.runs if not is_upkeep(run)]
    for run in sorted(reads, key=lambda run: (_ended(run.status), run.name)):
        counts |= {unit.name: unit.failures for unit in run.status.units if run.status.outcome}
    return counts


def _ended(status: RunStatus) -> float:
    return status.ended_at.timestamp() if status.ended_at else 0.0
