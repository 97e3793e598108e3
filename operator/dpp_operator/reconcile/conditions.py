"""Conditions: what is said, and how it meets what was said before.

Called by `run` and `report`. Pure. `lastTransitionTime` moves only when the status itself changes; `observedGeneration`
is always the generation that was looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from dpp_core.names import Condition, Reason
from dpp_core.redaction import redact
from dpp_core.status import ConditionStatus

LONGEST_LINE: Final = 120
_CONDITIONS: Final = {condition.value: condition for condition in Condition}
_REASONS: Final = {reason.value: reason for reason in Reason}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition as it is meant now."""

    status: Literal["True", "False", "Unknown"]
    reason: Reason
    message: str = ""


NOT_YET_KNOWN: Final = Verdict("Unknown", Reason.NOT_YET_KNOWN)


def true(reason: Reason, message: str = "") -> Verdict:
    """Say that it holds."""
    return Verdict("True", reason, message)


def false(reason: Reason, message: str = "") -> Verdict:
    """Say that it does not hold."""
    return Verdict("False", reason, message)


def shorten(text: str) -> str:
    """Bring a message into one line of at most 120 characters, without secrets."""
    line = " ".join(redact(text).split())
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def read_verdicts(conditions: Sequence[ConditionStatus]) -> dict[Condition, Verdict]:
    """Read what was said before; what this version does not know is left out."""
    return {
        _CONDITIONS[each.type]: Verdict(
            each.status, _REASONS.get(each.reason, Reason.NOT_YET_KNOWN), each.message
        )
        for each in conditions
        if each.type in _CONDITIONS
    }


def build_conditions(
    verdicts: Mapping[Condition, Verdict],
    before: Sequence[ConditionStatus],
    generation: int,
    now: datetime,
) -> tuple[ConditionStatus, ...]:
    """Build the list as it is written: in the order of `Condition`, times kept where the status is as before."""
    earlier = {each.type: each for each in before}
    built = []
    for condition in Condition:
        if condition not in verdicts:
            continue
        verdict, old = verdicts[condition], earlier.get(condition)
        is_as_before = old is not None and old.status == verdict.status
        built.append(
            ConditionStatus(
                type=condition,
                status=verdict.status,
                observed_generation=generation,
                last_transition_time=old.last_transition_time if old and is_as_before else now,
                reason=verdict.reason,
                message=shorten(verdict.message),
            )
        )
    return tuple(built)
