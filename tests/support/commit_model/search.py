"""The search: breadth first through every world that may be, so that the first violation has the shortest story.

Called by the tests and by `make model`.
"""

import time
from dataclasses import dataclass

from commit_model.rules import Rules
from commit_model.world import Scenario, World


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, and the shortest story of how."""

    problem: str
    depth: int
    story: tuple[str, ...]

    def __str__(self) -> str:
        told = "\n".join(f"  {number:2}. {words}" for number, words in enumerate(self.story, 1))
        return f"{self.problem}, after {self.depth} moves:\n{told}"


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search has gone through; `seconds` of processor time."""

    world: World
    states: int
    transitions: int
    depth: int
    seconds: float
    violation: Violation | None

    def __str__(self) -> str:
        rate = self.transitions / max(self.seconds, 0.001)
        return (
            f"{self.world.scenario.name:10} {self.states:>9,} states {self.transitions:>10,} transitions, "
            f"depth {self.depth:2}, {self.seconds:5.1f} s, {rate:>8,.0f}/s"
        )


def search(scenario: Scenario, rules: Rules, most_states: int = 5_000_000) -> Searched:
    """Go through every world of a scenario; stop at the first violation. Fails beyond `most_states`."""
    world = World(scenario, rules)
    first = world.first()
    parents = {first: first}
    layer, depth, transitions, violation = [first], 0, 0, None
    began = time.process_time()
    while layer and violation is None:
        following: list[int] = []
        for packed in layer:
            for after, words, problem in world.following(packed):
                transitions += 1
                if problem:
                    story = (*_story(world, parents, packed), words)
                    violation = Violation(problem, depth + 1, story)
                    break
                if after not in parents:
                    parents[after] = packed
                    following.append(after)
            if violation is not None:
                break
        assert len(parents) <= most_states, f"{scenario.name} has more than {most_states:,} states"
        layer, depth = following, depth + 1
    seconds = time.process_time() - began
    return Searched(world, len(parents), transitions, depth, seconds, violation)


def _story(world: World, parents: dict[int, int], last: int) -> tuple[str, ...]:
    """Tell how a world was come to, by asking each parent which move leads on."""
    told: list[str] = []
    while parents[last] != last:
        parent = parents[last]
        told.append(next(words for after, words, _ in world.following(parent) if after == last))
        last = parent
    return tuple(reversed(told))
