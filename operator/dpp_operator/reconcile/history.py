"""Which finished runs are kept as objects. Pure; called by `extraction.decide`.

Only runs that the operator made are ever deleted: one that a person (or git) made would come back and run again. The
records in the bucket are not touched. Of upkeep the last run stays: it says how far upkeep has come.
"""

from collections.abc import Sequence

from dpp_core.names import RunOutcome
from dpp_core.policy import Policy
from dpp_operator.reconcile.ending import Step
from dpp_operator.reconcile.facts import Accepted
from dpp_operator.reconcile.upkeep import is_upkeep


def find_surplus(
    steps: Sequence[Step], accepted: Accepted, policy: Policy, kept: str
) -> tuple[str, ...]:
    """Name the runs that are beyond the history's length, oldest first; `kept` (the last one folded) always stays."""
    spec = accepted.extraction.spec.run if accepted.extraction else None
    history = spec.history if spec else None
    most = {
        True: history.successful if history else policy.defaults.history_successful,
        False: history.failed if history else policy.defaults.history_failed,
    }
    ended = sorted(
        (step for step in steps if _is_ended(step)),
        key=lambda step: (step.status.ended_at or step.facts.created_at, step.facts.name),
    )
    upkeep = [step for step in ended if is_upkeep(step.facts)]
    surplus = [step.facts.name for step in upkeep[:-1]]
    for is_good, limit in most.items():
        alike = [step for step in ended if step not in upkeep and _is_good(step) == is_good]
        extra = alike[: len(alike) - limit] if len(alike) > limit else []
        surplus += [step.facts.name for step in extra if step.facts.name != kept]
    return tuple(surplus)


def _is_ended(step: Step) -> bool:
    facts = step.facts
    return facts.is_ours and not facts.is_deleted and facts.status.outcome is not None


def _is_good(step: Step) -> bool:
    return step.facts.status.outcome is RunOutcome.SUCCEEDED
