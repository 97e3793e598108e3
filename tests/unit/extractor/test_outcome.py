"""How a unit's end is told: every field from where it comes, and never a secret."""

import errno
from datetime import UTC, datetime

import pytest

from dpp_core.errors import (
    BlockedError,
    DppError,
    FencedError,
    InternalError,
    ResourcesError,
    SchemaChangedError,
    SourceObjectError,
    StreamError,
)
from dpp_core.handover import Unit
from dpp_core.names import Reason, UnitOutcome
from dpp_extractor import outcome
from dpp_extractor.batch import Counts
from dpp_extractor.publish.draft import OurCommit

UNIT = Unit(dataset="orders", object="orders", epoch=2)
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BlockedError("Small.", fingerprint="f"), (UnitOutcome.BLOCKED, 24, "f")),
        (SchemaChangedError("Other.", fingerprint="g"), (UnitOutcome.BLOCKED, 25, "g")),
        (StreamError("Moved.", fingerprint="h"), (UnitOutcome.FAILED, 29, "h")),
        (FencedError("Late."), (UnitOutcome.FAILED, 27, "")),
        (SourceObjectError("Gone."), (UnitOutcome.FAILED, 31, "")),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_guard_blocks_and_everything_else_fails(
    error: DppError, expected: tuple[UnitOutcome, int, str]
) -> None:
    record = outcome.build_failed(UNIT, error)

    assert (record.outcome, record.code, record.fingerprint) == expected
    assert (record.dataset, record.epoch, record.reason) == ("orders", 2, error.reason)


def test_a_message_is_what_happened_and_what_to_do_without_secrets() -> None:
    error = SourceObjectError("No entry with postgresql://me:hunter2@erp/x.", fix="Ask.")

    record = outcome.build_failed(UNIT, error)

    assert "hunter2" not in record.message
    assert record.message.endswith("Ask.")


def test_a_skipped_unit_carries_the_code_of_what_stopped_it() -> None:
    record = outcome.build_skipped(UNIT, ResourcesError("Disk full."))

    assert (record.outcome, record.code, record.reason) == (
        UnitOutcome.SKIPPED,
        28,
        Reason.RESOURCES_EXHAUSTED,
    )
    assert record.message == "Not tried: Disk full."


def test_an_earlier_tries_commit_is_told_as_it_stands_in_the_log() -> None:
    window = {"cursor": "at", "kind": "timestamp", "low": None, "high": "2026-01-02"}
    own = OurCommit(
        lane="live",
        seq=3,
        base_seq=2,
        version=7,
        epoch=2,
        kind="append",
        run_id="run-1",
        attempt_id="attempt-1",
        final=True,
        read_at=AT,
        committed_at=AT,
        watermark="2026-01-02",
        identity={},
        counts=Counts(read=9, written=9),
        fingerprint="sha256:f",
        approved=("run-0",),
        prev_sha256=None,
        sha256="s",
        window=window,
    )

    record = outcome.build_already_committed(UNIT, own)

    assert record.outcome is UnitOutcome.ALREADY_COMMITTED
    assert (record.seq, record.version, record.kind, record.code) == (3, 7, "append", 0)
    assert (record.counts.written, record.approved) == (9, ("run-0",))
    assert record.window is not None
    assert record.window.high == "2026-01-02"


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM]
)
def test_what_ran_out_is_resources(number: int) -> None:
    error = outcome.translate("orders", OSError(number, "no more"))

    assert isinstance(error, ResourcesError)
    assert error.message.startswith("orders: OSError")


@pytest.mark.parametrize("crash", [ValueError("x"), OSError(errno.EACCES, "no"), KeyError("k")])
def test_what_nobody_foresaw_is_our_bug_and_asks_for_a_report(crash: Exception) -> None:
    error = outcome.translate("orders", crash)

    assert isinstance(error, InternalError)
    assert type(crash).__name__ in error.message
    assert "report" in error.fix
