"""A status stays small: it is read by every watcher of the API server, for ever."""

from datetime import UTC, datetime

from dpp_core.names import Condition, RunOutcome
from dpp_core.status import ConditionStatus, EffectiveStatus, ExtractionStatus, RunSummary

NOW = datetime(2026, 1, 31, 2, 0, 7, tzinfo=UTC)


def test_a_full_status_of_an_extraction_fits_into_4_kilobytes() -> None:
    run = RunSummary(
        name="a" * 63,
        outcome=RunOutcome.PARTIAL,
        started_at=NOW,
        ended_at=NOW,
        rows=10**12,
        exit_code=24,
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
                message="m" * 120,
            )
            for each in Condition
        ),
        mode="Database",
        effective=EffectiveStatus(
            policy_digest="sha256:" + "0" * 64, image="i" * 120, schedule=("0 2 * * *",)
        ),
        active_run=run,
        last_run=run,
        last_success_at=NOW,
        next_run_at=NOW,
        last_manual_trigger="t" * 64,
        watermark="w" * 32,
        consecutive_failures=99,
    )

    body = status.model_dump_json(by_alias=True, exclude_none=True)

    assert len(body.encode()) <= 4096
