"""The whole model in one go, as a person reads it: `make model`, or the suite's smaller size.

    python -m commit_model.report [--full]

Prints a line for each scenario and mutant and the table of situations met; ends with 1 when anything is wrong.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from commit_model.coverage import Cell, all_cells, describe_cells
from commit_model.rules import Mutant, Rules, build_mutants
from commit_model.scenarios import build_scenarios
from commit_model.search import Searched, Violation, search


@dataclass(slots=True)
class Explored:
    """What the searches of all scenarios have gone through together."""

    searched: dict[str, Searched] = field(default_factory=dict)
    cells: Counter[Cell] = field(default_factory=Counter)
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    states: int = 0
    transitions: int = 0
    seconds: float = 0.0

    @property
    def violations(self) -> list[Violation]:
        return [each.violation for each in self.searched.values() if each.violation is not None]

    @property
    def unvisited(self) -> list[Cell]:
        return [cell for cell in all_cells() if not self.cells[cell]]


def explore(*, in_full: bool, say: Callable[[str], None] = print) -> Explored:
    """Search every scenario under production's rules."""
    explored = Explored()
    for scenario in build_scenarios(in_full=in_full):
        found = search(scenario, Rules(), most_states=20_000_000)
        say(str(found))
        explored.searched[scenario.name] = found
        explored.cells += found.world.visited_cells()
        explored.ends += found.world.visited_ends()
        explored.states += found.states
        explored.transitions += found.transitions
        explored.seconds += found.seconds
        found.world.forget()
    say(
        f"all        {explored.states:>9,} states {explored.transitions:>10,} transitions, "
        f"{explored.seconds:.1f} s of processor time, {len(explored.violations)} violations"
    )
    return explored


def hunt(mutant: Mutant) -> Searched:
    """Search a mutant's scenario under its rules; it must find a violation."""
    scenarios = {each.name: each for each in build_scenarios(in_full=False)}
    return search(replace(scenarios[mutant.scenario], **mutant.changes), mutant.rules)


def describe_hunt(mutant: Mutant, found: Searched) -> str:
    depth = f"depth {found.violation.depth:2}" if found.violation else "SURVIVES"
    problem = found.violation.problem if found.violation else "nothing is found wrong"
    return f"{mutant.rules.name:37} {depth} {found.states:>8,} states  {problem}"


def describe_ends(ends: Counter[tuple[str, str]]) -> str:
    """Print how attempts of each kind ended, and how often."""
    kinds = sorted({kind for kind, _ in ends if kind})
    verdicts = sorted({verdict for _, verdict in ends})
    lines = [f"{'end':17}" + "".join(f"{kind:>11}" for kind in kinds)]
    for verdict in verdicts:
        lines.append(f"{verdict:17}" + "".join(f"{ends[kind, verdict]:>11,}" for kind in kinds))
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    is_full = "--full" in arguments
    explored = explore(in_full=is_full)
    for violation in explored.violations:
        print(violation)
    survivors = 0
    for mutant in build_mutants():
        found = hunt(mutant)
        survivors += found.violation is None
        print(describe_hunt(mutant, found))
    print(describe_ends(explored.ends))
    print(describe_cells(explored.cells))
    print(f"{len(explored.unvisited)} of {len(list(all_cells()))} cells unvisited")
    return 1 if explored.violations or survivors or explored.unvisited else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
