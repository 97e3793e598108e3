"""The record of one process's try of a run, and the report that goes to whoever started it.

Called by `run` at the end, whatever happened. Pure builders; `run` writes the record to the bucket.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from dpp_core.errors import decide_exit_code
from dpp_core.handover import RunReport, RunRequest, UnitReport
from dpp_core.names import RunOutcome
from dpp_core.records import LoadRecord, RunRecord, UnitRecord

IndexState = Literal["Current", "Behind", "Off"]


def compute_plan_digest(request: bytes) -> str:
    """Hash the canonical request: what the run was asked to do."""
    return "sha256:" + hashlib.sha256(request).hexdigest()


def decide_outcome(units: Sequence[UnitRecord]) -> RunOutcome:
    """Fold units into the run's outcome: all good, some good, none. Skipped on purpose (code 0) is good."""
    good = sum(unit.code == 0 for unit in units)
    if good == len(units):
        return RunOutcome.SUCCEEDED
    return RunOutcome.PARTIAL if good else RunOutcome.FAILED


def fold_loads(units: Sequence[UnitRecord]) -> LoadRecord | None:
    """Fold what the source bore for each unit into the run's: all statements, the longest, the greatest age."""
    loads = [unit.load for unit in units if unit.load is not None]
    if not loads:
        return None
    longest = max(loads, key=lambda load: load.longest_statement_seconds)
    return LoadRecord(
        statements=sum(load.statements for load in loads),
        longest_statement_seconds=longest.longest_statement_seconds,
        longest_statement=longest.longest_statement,
        snapshot_age_seconds=max(load.snapshot_age_seconds for load in loads),
    )


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a try of a run knows beside its request and its units."""

    attempt_id: str
    started_at: datetime
    ended_at: datetime
    plan_digest: str
    source: Mapping[str, Any]
    code_version: str = ""
    warnings: tuple[str, ...] = ()
    index: IndexState = "Off"


def build_run_record(
    request: RunRequest, units: Sequence[UnitRecord], around: Circumstances
) -> RunRecord:
    """Build the run record from the request, the units' ends and the circumstances."""
    return RunRecord(
        **request.model_dump(
            include={
                "run_id",
                "correlation_id",
                "cluster",
                "namespace",
                "extraction",
                "distributor",
                "generation",
                "type",
                "publish",
                "created_at",
                "image",
            }
        ),
        attempt_id=around.attempt_id,
        started_at=around.started_at,
        ended_at=around.ended_at,
        outcome=decide_outcome(units),
        exit_code=decide_exit_code(unit.code for unit in units),
        plan_digest=around.plan_digest,
        code_version=around.code_version,
        source=dict(around.source),
        index=around.index,
        warnings=around.warnings,
        units=tuple(units),
        load=fold_loads(units),
    )


def build_run_report(record: RunRecord) -> RunReport:
    """Shorten a run record to what the operator needs."""
    load = record.load or LoadRecord()
    return RunReport(
        run_id=record.run_id,
        attempt_id=record.attempt_id,
        outcome=record.outcome,
        exit_code=record.exit_code,
        started_at=record.started_at,
        ended_at=record.ended_at,
        index=record.index,
        longest_statement_seconds=load.longest_statement_seconds,
        snapshot_age_seconds=load.snapshot_age_seconds,
        units=tuple(
            UnitReport(
                dataset=unit.dataset,
                outcome=unit.outcome,
                seq=unit.seq,
                version=unit.version,
                rows=unit.counts.written,
                quarantined=unit.counts.quarantined,
                deleted=unit.counts.deleted,
                high=unit.window.high if unit.window else "",
                code=unit.code,
                reason=unit.reason,
                message=unit.message,
                fingerprint=unit.fingerprint,
            )
            for unit in record.units
        ),
    )
