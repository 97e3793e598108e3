"""When an extraction's tables need upkeep: whenever one of them has come a hundred commits further.

Called by `turn`, `report` and `history`. Pure. The operator never reads the bucket: how far a table is, it knows from
the seq that runs report, and how far upkeep has come, from the seqs that the last Maintain run was pinned to; that run
is kept for it. Commits of others are not counted. Whether anything is to be done the Maintain run itself finds, from
the log: where each hundredth commit already left a checkpoint it has only small files to join, or nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from dpp_operator.reconcile.facts import RunFacts

EVERY_COMMITS: Final = 100


def is_upkeep(run: RunFacts) -> bool:
    """Say whether a run looks after tables, and reads no source: it tells nothing of the extraction."""
    return run.run is not None and run.run.spec.type == "Maintain"


def find_due(runs: Iterable[RunFacts], seqs: Mapping[str, int], datasets: Iterable[str]) -> str:
    """Name the mark that upkeep is due at, `<dataset> <hundreds>`; empty when it is not due.

    The same commits give the same mark, so that a restarted operator makes no second run of it.
    """
    kept_up = _find_marks(runs)
    for dataset in sorted(datasets):
        hundreds = seqs.get(dataset, 0) // EVERY_COMMITS
        if hundreds > kept_up.get(dataset, 0) // EVERY_COMMITS:
            return f"{dataset} {hundreds}"
    return ""


def _find_marks(runs: Iterable[RunFacts]) -> dict[str, int]:
    """Find each dataset's seq when upkeep last came, however it ended: it is not tried again at each commit."""
    marks: dict[str, int] = {}
    for run in runs:
        if run.run is None or not is_upkeep(run):
            continue
        for unit in run.run.spec.units:
            marks[unit.name] = max(unit.known_seq or 0, marks.get(unit.name, 0))
    return marks
