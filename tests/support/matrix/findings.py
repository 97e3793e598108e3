"""What a matrix finds: five kinds of wrong, each with words that say where; and the table that sums them up."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

KINDS: Final = ("lost", "phantom", "duplicate", "torn", "unclassified")
SHOWN: Final = 6


@dataclass(slots=True)
class Findings:
    """`lost`: due and not there. `phantom`: there and never true. `duplicate`: there twice, or committed twice.

    `torn`: a transaction or a commit in pieces. `unclassified`: a run that ended as nothing says it may.
    """

    lost: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    unclassified: list[str] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        for kind in KINDS:
            getattr(self, kind).extend(getattr(other, kind))

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(len(getattr(self, kind)) for kind in KINDS)

    @property
    def is_clean(self) -> bool:
        return not any(self.counts)

    def __str__(self) -> str:
        lines = []
        for kind in KINDS:
            found = getattr(self, kind)
            lines += [f"    {kind}: {words}" for words in found[:SHOWN]]
            if len(found) > SHOWN:
                lines.append(f"    {kind}: ... and {len(found) - SHOWN} more")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Case:
    """One case that was tried: `step` and `fault` are its row of the table, `seed` finds it again."""

    step: str
    fault: str
    seed: str
    runs: int
    findings: Findings
    seconds: float
    note: str = ""

    @property
    def line(self) -> str:
        verdict = "ok" if self.findings.is_clean else "WRONG"
        note = f"  {self.note}" if self.note else ""
        head = f"{verdict:5} {self.step:19} {self.fault:18} seed {self.seed:32} {self.runs:4} runs"
        again = f"\n    again: make faults STEP={self.step} SEED={shlex.quote(self.seed)}"
        tail = "" if self.findings.is_clean else f"{again}\n{self.findings}"
        return f"{head} {self.seconds:6.1f} s{note}{tail}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    step: str
    fault: str
    cases: int
    runs: int
    counts: tuple[int, ...]


def fold(cases: Iterable[Case]) -> list[Row]:
    """Sum the cases up, in the order in which their rows first came."""
    rows: dict[tuple[str, str], Row] = {}
    for case in cases:
        key = (case.step, case.fault)
        before = rows.get(key) or Row(*key, 0, 0, (0,) * len(KINDS))
        counts = tuple(a + b for a, b in zip(before.counts, case.findings.counts, strict=True))
        rows[key] = Row(*key, before.cases + 1, before.runs + case.runs, counts)
    return list(rows.values())
