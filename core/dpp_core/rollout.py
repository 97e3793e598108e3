"""Which extractor image is active: the one pointer that a blue-green rollout moves.

Called by `plan.new_run` and, later, the operator. Runs are pinned to their image; moving the
pointer touches new runs only.
"""

from dataclasses import dataclass

from dpp_core.policy import Policy


@dataclass(frozen=True, slots=True)
class Rollout:
    """What is read of an ExtractorRollout: the image it has promoted."""

    promoted_image: str


def active_image(policy: Policy, rollout: Rollout | None) -> str:
    """Name the image of new runs: the promoted one, else the policy's default, else none ("")."""
    if rollout is not None:
        return rollout.promoted_image
    return policy.images.default or ""
