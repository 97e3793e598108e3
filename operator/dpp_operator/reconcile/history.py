"""Which finished runs are kept as objects. Pure; called by `extraction.decide`.

Only runs that the operator made are ever deleted: one that a person (or git) made would come back and run again. The
records in the bucket are not touched.
"""

from collections.abc import Sequence

from dpp_core.names import RunOutcome
from dpp_core.policy import Policy
from dpp_operator.reconcile.ending import Step
from dpp_operator.reconcile.facts import Accepted


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
    surplus: list[str] = []
    for is_good, limit in most.items():
        ended = [
            step
            for step in steps
            if step.facts.is_ours
            and not step.facts.is_deleted
            and step.facts.status.outcome is not None
            and (step.facts.status.outcome is RunOutcome.SUCCEEDED) == is_good
        ]
        ended.sort(
            key=lambda step: (step.status.ended_at or step.facts.created_at, step.facts.name)
        )
        extra = ended[: len(ended) - limit] if len(ended) > limit else []
        surplus += [step.facts.name for step in extra if step.facts.name != kept]
    return tuple(surplus)
