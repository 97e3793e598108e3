"""A status stays small: it is read by every watcher of the API server, for ever."""

from datetime import UTC, datetime

from dpp_core.names import Condition, Reason, RunOutcome
from dpp_core.status import (
    OF_EXTRACTION,
    ConditionStatus,
    EffectiveStatus,
    ExtractionStatus,
    RunSummary,
)

NOW = datetime(2026, 1, 31, 2, 0, 7, tzinfo=UTC)


def test_a_full_status_of_an_extraction_fits_into_4_kilobytes() -> None:
    run = RunSummary(
        name="a" * 63,
        outcome=RunOutcome.PARTIAL,
        started_at=NOW,
        ended_at=NOW,
        rows=10**12,
        exit_code=24,
        reason=Reason.SOURCE_OBJECT_MISSING,
        type="Scheduled",
        generation=10**6,
    )
    status = ExtractionStatus(
        observed_generation=10**6,
        conditions=tuple(
            ConditionStatus(
                type=each,
                status="Unknown",
                observed_generation=10**6,
                last_transition_time=NOW,
                reason="SourceObjectMissing",
                message="" if each in (Condition.SUSPENDED, Condition.RECONCILING) else "m" * 120,
            )
            for each in OF_EXTRACTION
        ),
        mode="Database",
        effective=EffectiveStatus(
            policy_digest="sha256:" + "0" * 64,
            image="i" * 120,
            schedule=("0 2 * * *",),
            time_zone="Europe/Berlin",
        ),
        active_run=RunSummary(name="a" * 63, started_at=NOW, type="Scheduled", generation=10**6),
        last_run=run,
        last_success_at=NOW,
        next_run_at=NOW,
        scheduled_until=NOW,
        last_manual_trigger="t" * 64,
        watermark="w" * 32,
        consecutive_failures=99,
    )

    body = status.model_dump_json(by_alias=True, exclude_none=True)

    assert len(body.encode()) <= 4096
