"""Many seeds in one go, as a person reads it: `make model`.

    python -m simulation.many [SEEDS] [WHOLE_RUN_SEEDS]

Prints how the processes ended and how long a seed takes; ends with 1 when a promise was broken, and how to replay it.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from simulation.clockwork import Killed
from simulation.story import PUBLISHING, Cast, tell
from simulation.whole import WHOLE_RUNS


@dataclass(slots=True)
class Figures:
    """What many stories had in them."""

    seeds: int = 0
    commits: int = 0
    calls: int = 0
    lasting: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        ends = ", ".join(f"{end} {count:,}" for end, count in sorted(self.ends.items()))
        each_ms = self.seconds / max(self.seeds, 1) * 1000
        return (
            f"{self.seeds:,} seeds, {len(self.broken)} broken: {self.commits:,} commits, {self.calls:,} calls, "
            f"{self.lasting} tables taken away, {each_ms:.1f} ms of processor time a seed\n  ends: {ends}"
        )


def tell_many(seeds: Iterable[int], cast: Cast = PUBLISHING) -> Figures:
    """Tell the stories of seeds and add them up; a broken one does not stop the others."""
    figures, began = Figures(), time.process_time()
    for seed in seeds:
        figures.seeds += 1
        try:
            told = tell(seed, cast)
        except (Exception, Killed) as error:  # noqa: BLE001 - counted, and told with its seed
            figures.broken.append(f"seed {seed}: {type(error).__name__}: {error}")
            continue
        figures.commits += told.commits
        figures.calls += told.calls
        figures.lasting += told.is_lasting
        figures.ends.update(
            f"{word or 'killed'} {code}".removesuffix(" 0") for word, code in told.ends
        )
    figures.seconds = time.process_time() - began
    return figures


def main(arguments: list[str]) -> int:
    counts = [int(each) for each in (*arguments, "10000", "500")[:2]]
    broken = 0
    for name, count, cast in zip(
        ("publish stage", "whole runs"), counts, (PUBLISHING, WHOLE_RUNS), strict=True
    ):
        figures = tell_many(range(count), cast)
        print(f"{name}: {figures}")
        for line in figures.broken:
            print(f"  {line}; replay with `make model SEED=...`")
        broken += len(figures.broken)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
