"""From ended runs to the status of their extraction: last run, failures in a row, and what is known of the source.

Called by `extraction.decide`. Pure, and it reads only what is written in the runs' statuses, so that a restarted
operator comes to the same result. Each run is folded once, in the order in which the runs ended.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from dpp_core.names import Condition, Reason, RunOutcome, UnitOutcome
from dpp_core.status import ExtractionStatus, RunStatus, RunSummary
from dpp_operator.reconcile.breaker import FENCED
from dpp_operator.reconcile.conditions import NOT_YET_KNOWN, Verdict, false, read_verdicts, true
from dpp_operator.reconcile.facts import Accepted, RunFacts
from dpp_operator.reconcile.schedule import name_manual
from dpp_operator.reconcile.upkeep import is_upkeep

CARRIED: Final = (
    Condition.LAST_RUN_SUCCEEDED,
    Condition.SOURCE_REACHABLE,
    Condition.CREDENTIALS_VALID,
    Condition.CONTRACT_SATISFIED,
    Condition.SCHEMA_STABLE,
)
"""What only a run can tell; it holds until the next one tells otherwise."""
_TELLS_OF: Final[Mapping[int, tuple[Condition, ...]]] = {
    21: (Condition.CREDENTIALS_VALID,),
    22: (Condition.CREDENTIALS_VALID,),
    23: (Condition.SOURCE_REACHABLE,),
    24: (Condition.CONTRACT_SATISFIED,),
    25: (Condition.SCHEMA_STABLE,),
}
_REACHED_THE_SOURCE: Final = (0, 22, 24, 25, 31)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an extraction stands after its ended runs: its status so far and what is carried of its conditions."""

    status: ExtractionStatus
    verdicts: Mapping[Condition, Verdict]


def fold_endings(
    status: ExtractionStatus, accepted: Accepted, runs: Iterable[tuple[RunFacts, RunStatus]]
) -> Standing:
    """Fold every run that ended since the last one was folded. A run that never began tells nothing, nor does
    upkeep: it says nothing of the source, and its failure stands in its own status and Event.
    """
    known = read_verdicts(status.conditions)
    standing = Standing(
        status, {condition: known.get(condition, NOT_YET_KNOWN) for condition in CARRIED}
    )
    ended = [
        pair
        for pair in runs
        if pair[1].ended_at is not None and pair[1].attempts > 0 and not is_upkeep(pair[0])
    ]
    for facts, run in sorted(ended, key=lambda pair: (pair[1].ended_at, pair[0].name)):
        if _is_news(facts.name, run, standing.status):
            standing = _fold(standing, accepted, facts, run)
    return standing


def _is_news(name: str, run: RunStatus, status: ExtractionStatus) -> bool:
    last = status.last_run
    if last is None or last.ended_at is None:
        return True
    assert run.ended_at is not None
    is_active = status.active_run is not None and status.active_run.name == name
    return name != last.name and (is_active or run.ended_at > last.ended_at)


def _fold(standing: Standing, accepted: Accepted, facts: RunFacts, run: RunStatus) -> Standing:
    status, spec = standing.status, facts.run.spec if facts.run else None
    is_good = run.outcome is RunOutcome.SUCCEEDED
    summary = RunSummary(
        name=facts.name,
        outcome=run.outcome,
        started_at=run.started_at,
        ended_at=run.ended_at,
        rows=run.rows,
        exit_code=run.exit_code,
        reason=run.reason,
        type=spec.type if spec else "",
        generation=spec.generation if spec else 0,
    )
    changes: dict[str, object] = {"last_run": summary, "active_run": None}
    if is_good and (spec is None or spec.publish == "Live"):
        changes |= {"last_success_at": run.ended_at}
    if run.reason is not Reason.CANCELLED and run.exit_code != FENCED:
        changes["consecutive_failures"] = 0 if is_good else _count_failures(status, run)
    manual = _find_trigger(accepted)
    if manual and facts.name == name_manual(accepted.name, accepted.uid, manual):
        changes["last_manual_trigger"] = manual
    highs = [unit.high for unit in run.units if unit.high]
    if highs:
        changes["watermark"] = min(highs)
    return Standing(
        status.model_copy(update=changes), {**standing.verdicts, **_read_signs(facts.name, run)}
    )


def _count_failures(status: ExtractionStatus, run: RunStatus) -> int:
    """Count by dataset where the run tells of datasets, else by run."""
    most = max((unit.failures for unit in run.units), default=0)
    return most or status.consecutive_failures + 1


def _find_trigger(accepted: Accepted) -> str:
    trigger = accepted.extraction.spec.trigger if accepted.extraction else None
    return trigger.manual if trigger else ""


def _read_signs(name: str, run: RunStatus) -> dict[Condition, Verdict]:
    """Read what a run tells of the source, the secret and the contracts."""
    code = run.exit_code or 0
    codes = {unit.code or 0 for unit in run.units} | {code}
    reason = run.reason or Reason.INTERNAL
    signs: dict[Condition, Verdict] = {}
    if codes & set(_REACHED_THE_SOURCE) and run.units:
        signs[Condition.SOURCE_REACHABLE] = true(Reason.SUCCEEDED)
        signs[Condition.CREDENTIALS_VALID] = true(Reason.SUCCEEDED)
    if any(unit.outcome in (UnitOutcome.COMMITTED, UnitOutcome.UNCHANGED) for unit in run.units):
        signs[Condition.CONTRACT_SATISFIED] = true(Reason.SUCCEEDED)
        signs[Condition.SCHEMA_STABLE] = true(Reason.SUCCEEDED)
    for each in sorted(codes):
        for condition in _TELLS_OF.get(each, ()):
            unit = next((unit for unit in run.units if unit.code == each), None)
            told = unit.reason if unit and unit.reason else reason
            signs[condition] = false(told, run.message if each == code else _name(unit))
    if run.reason is Reason.CANCELLED or code == FENCED:
        return signs
    signs[Condition.LAST_RUN_SUCCEEDED] = _judge(name, run, reason)
    return signs


def read_failed_try(run: RunStatus | None) -> dict[Condition, Verdict]:
    """Read what a try that failed tells while the run waits for the next one: nobody waits for the last to know."""
    if run is None or run.outcome is not None or not run.exit_code or run.reason is None:
        return {}
    if run.reason is Reason.RUN_UNDER_WAY:
        return {}
    told = false(run.reason, run.message)
    return dict.fromkeys(_TELLS_OF.get(run.exit_code, ()), told)


def _name(unit: object) -> str:
    return f"dataset {getattr(unit, 'name', '')}"


def _judge(name: str, run: RunStatus, reason: Reason) -> Verdict:
    if run.outcome is RunOutcome.SUCCEEDED:
        return true(Reason.SUCCEEDED, name)
    told = Reason.PARTIAL_RUN if run.outcome is RunOutcome.PARTIAL else reason
    return false(told, run.message or name)


def with_verdict(standing: Standing, condition: Condition, verdict: Verdict) -> Standing:
    """Replace one verdict."""
    return replace(standing, verdicts={**standing.verdicts, condition: verdict})
