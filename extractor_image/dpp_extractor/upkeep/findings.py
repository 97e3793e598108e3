"""What verify may find, as values: one word for each kind of damage, and a verdict on a stream.

Called by every part of verify and by the command. Pure. The words are frozen: people alert on them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MOST_FINDINGS: Final = 1000


class Problem(StrEnum):
    """Every kind of finding. Those in WARNINGS leave the table sound."""

    TABLE_MISSING = "TableMissing"
    CLAIM_MISSING = "ClaimMissing"
    VERSION_MISSING = "VersionMissing"
    VERSION_UNREADABLE = "VersionUnreadable"
    CHAIN_BROKEN = "ChainBroken"
    TRANSACTION_DIFFERS = "TransactionDiffers"
    EPOCH_BACKWARDS = "EpochBackwards"
    READ_AT_BACKWARDS = "ReadAtBackwards"
    RUN_TWICE = "RunTwice"
    WINDOW_GAP = "WindowGap"
    WINDOW_BACKWARDS = "WindowBackwards"
    WATERMARK_DIFFERS = "WatermarkDiffers"
    COUNTS_DIFFER = "CountsDiffer"
    REMOVES_DIFFER = "RemovesDiffer"
    FILE_TWICE = "FileTwice"
    FILE_OF_ANOTHER = "FileOfAnother"
    FILE_MISSING = "FileMissing"
    FILE_SIZE_DIFFERS = "FileSizeDiffers"
    FILE_DIGEST_DIFFERS = "FileDigestDiffers"
    FILE_ROWS_DIFFER = "FileRowsDiffer"
    FILE_UNREADABLE = "FileUnreadable"
    COPY_MISSING = "CopyMissing"
    COPY_DIFFERS = "CopyDiffers"
    COPY_ALONE = "CopyAlone"
    RECORD_AHEAD = "RecordAhead"
    QUARANTINE_MISSING = "QuarantineMissing"
    QUARANTINE_DIFFERS = "QuarantineDiffers"
    CHECKPOINT_DIFFERS = "CheckpointDiffers"
    CHECKPOINT_UNREADABLE = "CheckpointUnreadable"
    TABLE_CHANGED = "TableChanged"
    ROWS_CHANGED = "RowsChanged"
    RETENTION_WEAKENED = "RetentionWeakened"
    VACUUM_TOO_EARLY = "VacuumTooEarly"
    LOG_CLEANED = "LogCleaned"
    LAST_COPY_MISSING = "LastCopyMissing"
    NO_DIGEST = "NoDigest"


WARNINGS: Final = frozenset(
    {
        Problem.VACUUM_TOO_EARLY,
        Problem.LOG_CLEANED,
        Problem.LAST_COPY_MISSING,
        Problem.NO_DIGEST,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One damage: what, where (a key or a version), and a sentence for a person."""

    problem: Problem
    where: str
    message: str

    @property
    def is_warning(self) -> bool:
        return self.problem in WARNINGS


@dataclass(slots=True)
class Findings:
    """Findings as they come up; beyond MOST_FINDINGS they are only counted."""

    kept: list[Finding] = field(default_factory=list)
    more: int = 0

    def add(self, problem: Problem, where: str, message: str) -> None:
        if len(self.kept) < MOST_FINDINGS:
            self.kept.append(Finding(problem, where, message))
        else:
            self.more += 1

    def extend(self, found: Iterable[Finding]) -> None:
        for each in found:
            self.add(each.problem, each.where, each.message)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at in one stream, and what was found. `digests` counts files whose content was
    held against its digest, `unused` files that the table does not need now.
    """

    namespace: str
    extraction: str
    dataset: str
    versions: int
    commits: int
    strangers: int
    files: int
    size_bytes: int
    rows: int | None
    unused: int
    digests: int
    findings: tuple[Finding, ...]
    more_findings: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing but warnings was found."""
        return all(finding.is_warning for finding in self.findings)
